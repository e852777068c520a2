package template

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escapeFilter holds the filters that make text safe for another format.
func escapeFilter(name string) filter {
	switch name {
	case "tobase64":
		return toBase64
	case "frombase64":
		return fromBase64
	case "htmlescape":
		return mapping(replacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "/", "&#x2F;"))
	case "xmlescape":
		return mapping(replacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;"))
	case "jsonescape":
		return mapping(replacer(`"`, `\"`, `\`, `\\`, "\r", `\r`, "\n", `\n`, "\t", `\t`))
	case "yamlsinglequoteescape":
		return mapping(yamlSingle)
	case "yamldoublequoteescape":
		return mapping(yamlDouble)
	case "propertieskeyescape":
		return mapping(func(s string) string { return propertiesEscape(s, true) })
	case "propertiesvalueescape":
		return mapping(func(s string) string { return propertiesEscape(s, false) })
	case "uriescape":
		return mapping(func(s string) string { return percentEscape(s, "-._~:/?#[]@!$&'()*+,;=%") })
	case "uridataescape":
		return mapping(func(s string) string { return percentEscape(s, "-._~") })
	}
	return nil
}

func replacer(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

// charset reads the optional encoding name of the base64 and hash filters.
func charset(name string) (wide, ok bool) {
	switch strings.ToLower(name) {
	case "utf8", "utf-8":
		return false, true
	case "unicode":
		return true, true
	}
	return false, false
}

func encode(s string, wide bool) []byte {
	if !wide {
		return []byte(s)
	}
	var out []byte
	for _, u := range units(s) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

func base64Charset(has bool, options []string) (wide, ok bool) {
	if !has || len(options) > 1 {
		return false, false
	}
	if len(options) == 0 {
		return false, true
	}
	return charset(options[0])
}

func toBase64(in string, has bool, options []string) (string, bool, error) {
	wide, ok := base64Charset(has, options)
	if !ok {
		return "", false, nil
	}
	return base64.StdEncoding.EncodeToString(encode(in, wide)), true, nil
}

func fromBase64(in string, has bool, options []string) (string, bool, error) {
	wide, ok := base64Charset(has, options)
	if !ok {
		return "", false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(in), ""))
	if err != nil {
		return "", false, errors.New("the value is not base64") // the decoder's text would quote the value
	}
	if !wide {
		return strings.ToValidUTF8(string(raw), string(utf8.RuneError)), true, nil
	}
	u := make([]uint16, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		u = append(u, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return string(utf16.Decode(u)), true, nil
}

// yamlSingle doubles quotes and gives each run of line breaks one more, since a
// single one folds into a space.
func yamlSingle(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	var b strings.Builder
	inRun := false
	for i := range len(s) {
		breaks := s[i] == '\n' || s[i] == '\r'
		if breaks && !inRun {
			if strings.HasPrefix(s[i:], "\r\n") {
				b.WriteString("\r\n")
			} else {
				b.WriteByte(s[i])
			}
		}
		inRun = breaks
		b.WriteByte(s[i])
	}
	return b.String()
}

func yamlDouble(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '\r':
			b.WriteString(`\r`)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			if r >= 0x20 && r <= 0x7E {
				b.WriteRune(r)
				continue
			}
			unicodeEscape(&b, r)
		}
	}
	return b.String()
}

func unicodeEscape(b *strings.Builder, r rune) {
	for _, u := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(b, `\u%04x`, u)
	}
}

// propertiesEscape writes a key or value of a Java properties file.
func propertiesEscape(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == ' ' && (key || i == 0), key && (r == ':' || r == '='), r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r >= 0xFF:
			unicodeEscape(&b, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// percentEscape keeps letters, digits and the characters in keep.
func percentEscape(s, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		if isAlnum(s[i]) || strings.IndexByte(keep, s[i]) >= 0 {
			b.WriteByte(s[i])
			continue
		}
		b.WriteString(strings.ReplaceAll(url.QueryEscape(s[i:i+1]), "+", "%20"))
	}
	return b.String()
}
