package mask

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// minRunes is the length from which a secret is masked (abuse 71).
	minRunes = 4
	// maxEncoded is the length up to which a secret is masked in its encoded
	// forms as well.
	maxEncoded = 64 << 10
	// maxLines is the number of lines up to which each has its encoded forms.
	maxLines = 128
)

// patterns lists the byte strings that betray secret: the whole of it and,
// where it has several lines, each line (abuse 71); plain, and in base64 at
// its three alignments, hex, URL, JSON and XML escapes (abuse 70).
func patterns(secret string) []string {
	if utf8.RuneCountInString(secret) < minRunes {
		return nil
	}
	found := forms(secret, len(secret) <= maxEncoded)
	lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > 1 || len(lines) == 1 && lines[0] != secret {
		for _, line := range lines {
			if utf8.RuneCountInString(line) >= minRunes {
				found = append(found, forms(line, len(lines) <= maxLines && len(line) <= maxEncoded)...)
			}
		}
	}
	return found
}

func forms(s string, encoded bool) []string {
	if !encoded {
		return []string{s}
	}
	return append(append(append(append([]string{s}, base64Forms(s)...),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))), urlForms(s)...), markupForms(s)...)
}

// base64Forms are what encoders make of s alone and, wherever s stands in a
// longer text, the characters that do not depend on its neighbours.
func base64Forms(s string) []string {
	found := []string{base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s))}
	for shift, drop := range []int{0, 2, 3} {
		padded := append(make([]byte, shift, shift+len(s)), s...)
		keep := len(padded) * 8 / 6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			found = append(found, encoding.EncodeToString(padded)[drop:keep])
		}
	}
	return found
}

const (
	unreserved = "-_.~"
	reserved   = unreserved + "!*'();:@&=+$,/?#[]"
)

func urlForms(s string) []string {
	var found []string
	for _, keep := range []string{unreserved, unreserved + "!*'()", reserved, "-_.!*()", unreserved + "$&+=:@"} {
		for _, space := range []string{"%20", "+"} {
			for _, format := range []string{"%%%02X", "%%%02x"} {
				found = append(found, percentEncode(s, keep, space, format))
			}
		}
	}
	return found
}

func percentEncode(s, keep, space, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == ' ':
			b.WriteString(space)
		case '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, format, c)
		}
	}
	return b.String()
}

var (
	jsonPlain = []string{`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`, "\f", `\f`}
	replacers = []*strings.Replacer{
		strings.NewReplacer(jsonPlain...),
		strings.NewReplacer(append([]string{"/", `\/`}, jsonPlain...)...),
		strings.NewReplacer(append([]string{"<", `\u003c`, ">", `\u003e`, "&", `\u0026`}, jsonPlain...)...),
		strings.NewReplacer(append([]string{"<", `\u003C`, ">", `\u003E`, "&", `\u0026`, "'", `\u0027`, "+", `\u002B`, `"`, `\u0022`}, jsonPlain...)...),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;"),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;"),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;"),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;"),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),
		strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;"),
	}
)

func markupForms(s string) []string {
	found := make([]string, 0, len(replacers)+1)
	for _, r := range replacers {
		found = append(found, r.Replace(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		found = append(found, asciiJSON(replacers[0].Replace(s)))
	}
	return found
}

func asciiJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
