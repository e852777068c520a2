package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/agent/mask"
)

const stars = mask.Stars

// run writes pieces to a log of two streams; a piece that starts with '!' goes
// to the second.
func run(secrets []string, pieces ...string) (first, second string) {
	var out [2]strings.Builder
	log := mask.New(secrets)
	lanes := [2]*mask.Lane{log.Lane(func(p []byte) { out[0].Write(p) }), log.Lane(func(p []byte) { out[1].Write(p) })}
	for _, piece := range pieces {
		rest, isSecond := strings.CutPrefix(piece, "!")
		if isSecond {
			lanes[1].Write([]byte(rest))
		} else {
			lanes[0].Write([]byte(piece))
		}
	}
	log.Flush()
	return out[0].String(), out[1].String()
}

func TestMask(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		secrets []string
		pieces  []string
		want    string
	}{
		"plain":                 {[]string{"hunter22"}, []string{"pw=hunter22;"}, "pw=" + stars + ";"},
		"chunks (69)":           {[]string{"hunter22"}, []string{"pw=hun", "ter", "22;"}, "pw=" + stars + ";"},
		"lines (69)":            {[]string{"hunter22"}, []string{"hunt\r\ner22\n"}, stars + "\r\n" + stars + "\n"},
		"colour between (69)":   {[]string{"hunter22"}, []string{"hun\x1b[31;1mter\x1b", "[0m22."}, stars + "\x1b[31;1m\x1b[0m."},
		"link title is text":    {[]string{"hunter22"}, []string{"\x1b]8;;http://u:hunter22@h\x07x"}, "\x1b]8;;http://u:" + stars + "@h\x07x"},
		"almost":                {[]string{"hunter22"}, []string{"hunter2", "1 hunthunter22"}, "hunter21 hunt" + stars},
		"substring (71)":        {[]string{"abcd", "abcdefgh"}, []string{"abcdefgh abcdef"}, stars + " " + stars + "ef"},
		"overlap (71)":          {[]string{"abcdef", "defghi"}, []string{"xabcdefghix"}, "x" + stars + "x"},
		"inner only (71)":       {[]string{"xxabcdyy", "abcd"}, []string{"xxabcdyz"}, "xx" + stars + "yz"},
		"short (71)":            {[]string{"a", "", "abc"}, []string{"abc a"}, "abc a"},
		"four runes (71)":       {[]string{"äöü"}, []string{"äöü"}, "äöü"},
		"true (71)":             {[]string{"true"}, []string{"true."}, stars + "."},
		"several lines (71)":    {[]string{"first line\nab\nthird line"}, []string{"> first line\n> ab\n> third line"}, "> " + stars + "\n> ab\n> " + stars},
		"several lines at once": {[]string{"first line\nab\nthird line"}, []string{"first line\r\nab\r\nthird line."}, stars + "\r\n" + stars + "\r\n" + stars + "."},
		"ends held":             {[]string{"hunter22"}, []string{"hunter2"}, "hunter2"},
		"twice":                 {[]string{"hunter22"}, []string{"hunter22 hunter22"}, stars + " " + stars},
		"documented: reversed":  {[]string{"hunter22"}, []string{"22retnuh"}, "22retnuh"},
		"documented: upper":     {[]string{"hunter22"}, []string{"HUNTER22"}, "HUNTER22"},
	}
	for name, c := range cases {
		if got, _ := run(c.secrets, c.pieces...); got != c.want {
			t.Errorf("abuse 69: %s: got %q, want %q", name, got, c.want)
		}
		whole := strings.Join(c.pieces, "")
		var bytewise []string
		for i := range len(whole) {
			bytewise = append(bytewise, whole[i:i+1])
		}
		if got, _ := run(c.secrets, bytewise...); got != c.want {
			t.Errorf("%s, byte by byte: got %q, want %q", name, got, c.want)
		}
	}
}

// abuse 69: one part to stdout, the other to stderr.
func TestAcrossStreams(t *testing.T) {
	t.Parallel()
	secrets := []string{"hunter22"}
	cases := []struct {
		pieces        []string
		first, second string
	}{
		{[]string{"a hunt", "!er22 b"}, "a " + stars, stars + " b"},
		{[]string{"a hunt\n", "!er22 b\n"}, "a " + stars + "\n", stars + " b\n"},
		{[]string{"h", "!u", "n", "!t", "e", "!r", "2", "!2", "ok", "!ok"}, stars + "ok", stars + "ok"},
		{[]string{"hun", "!noise hunt", "ter22.", "!er22."}, stars + ".", "noise " + stars + "."},
		{[]string{"hun", "!hun", "ter2", "!ter2", "x", "!2"}, "hunter2x", stars},
		{[]string{"hun", "!" + strings.Repeat("flood ", 1000), "k"}, "hunk", strings.Repeat("flood ", 1000)},
	}
	for _, c := range cases {
		if first, second := run(secrets, c.pieces...); first != c.first || second != c.second {
			t.Errorf("%q: got %q, %q", c.pieces, first, second)
		}
	}
}

// abuse 70: the encodings that are promised.
func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"hunter22", `p@$$ w"ö<r>d&'/+?\=`, "tab\there", strings.Repeat("long-", 40)} {
		forms := map[string]string{
			"hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
			"query": url.QueryEscape(secret), "path": url.PathEscape(secret),
			"lower-case query": lowerEscapes(url.QueryEscape(secret)),
			"base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
			"base64url":        base64.URLEncoding.EncodeToString([]byte(secret)),
		}
		quoted, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		forms["json"] = strings.Trim(string(quoted), `"`)
		var escaped bytes.Buffer
		if err := xml.EscapeText(&escaped, []byte(secret)); err != nil {
			t.Fatal(err)
		}
		forms["xml"] = escaped.String()
		for name, form := range forms {
			if got := mask.New([]string{secret}).String("<" + form + ">"); got != "<"+stars+">" {
				t.Errorf("%s of %q: %q", name, secret, got)
			}
		}
		for shift := range 3 {
			whole := base64.StdEncoding.EncodeToString([]byte("0123456789"[:3+shift] + secret + "tail-tail"))
			// Wrapped at 76 columns, as base64(1) does.
			for i := 76; i < len(whole); i += 77 {
				whole = whole[:i] + "\n" + whole[i:]
			}
			got := mask.New([]string{secret}).String(whole)
			if !strings.Contains(got, stars) || len(strings.ReplaceAll(got, stars, "")) > 30 {
				t.Errorf("base64 of %q at %d: %q from %q", secret, shift, got, whole)
			}
		}
	}
}

func lowerEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			b.WriteString(strings.ToLower(s[i : i+3]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func TestAddWhileStreaming(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := mask.New([]string{"hunter22"})
	lane := log.Lane(func(p []byte) { out.Write(p) })
	lane.Write([]byte("newborn hun"))
	log.Add("newborn")
	log.Add("hunger")
	lane.Write([]byte("ger newborn hunter22"))
	log.Flush()
	if got, want := out.String(), fmt.Sprintf("newborn %s %s %s", stars, stars, stars); got != want {
		t.Errorf("%q", got)
	}
}

func TestNothingIsHeldWithoutReason(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	lane := mask.New([]string{"hunter22"}).Lane(func(p []byte) { out.Write(p) })
	lane.Write([]byte("waiting for input\n"))
	if out.String() != "waiting for input\n" {
		t.Errorf("%q", out.String())
	}
	lane.Write([]byte("the hunter22"))
	if want := "waiting for input\nthe " + stars; out.String() != want {
		t.Errorf("%q", out.String())
	}
	lane.Write([]byte("h" + strings.Repeat("\n", 300)))
	if got := out.Len(); got < 300 {
		t.Errorf("held back for ever: %d", got)
	}
}

// oracle masks the opaque text by looking for every secret at every place.
func oracle(text string, secrets []string) []bool {
	hit := make([]bool, len(text))
	for _, secret := range secrets {
		for i := 0; i+len(secret) <= len(text); i++ {
			if text[i:i+len(secret)] == secret {
				for j := range len(secret) {
					hit[i+j] = true
				}
			}
		}
	}
	return hit
}

// Streams of a tiny alphabet, so that prefixes, overlaps and splits abound,
// against the oracle on each stream and on both in order of arrival.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.StringMatching(`[xyz]{4,9}`), 1, 4).Draw(t, "secrets")
		pieces := rapid.SliceOfN(rapid.StringMatching(`!?[xyz]{1,6}`), 0, 20).Draw(t, "pieces")
		var texts [2]string
		var merged string
		var source [][2]int
		for _, piece := range pieces {
			rest, isSecond := strings.CutPrefix(piece, "!")
			lane := 0
			if isSecond {
				lane = 1
			}
			for range rest {
				source = append(source, [2]int{lane, len(texts[lane])})
				texts[lane] += " "
			}
			texts[lane] = texts[lane][:len(texts[lane])-len(rest)] + rest
			merged += rest
		}
		hits := [2][]bool{oracle(texts[0], secrets), oracle(texts[1], secrets)}
		for i, hit := range oracle(merged, secrets) {
			if hit {
				hits[source[i][0]][source[i][1]] = true
			}
		}
		var got [2]string
		got[0], got[1] = run(secrets, pieces...)
		for lane := range 2 {
			if want := stamp(texts[lane], hits[lane]); got[lane] != want {
				t.Fatalf("stream %d: got %q, want %q of %q", lane, got[lane], want, texts[lane])
			}
		}
	})
}

func stamp(text string, hit []bool) string {
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hit[i]:
			b.WriteByte(text[i])
		case i == 0 || !hit[i-1]:
			b.WriteString(stars)
		}
	}
	return b.String()
}

func BenchmarkOutput(b *testing.B) {
	secrets := make([]string, 50)
	for i := range secrets {
		secrets[i] = fmt.Sprintf("s3cr3t-%d-%x", i, i*7919)
	}
	line := "2024-05-06T07:08:09Z INFO  request served path=/api/v1/things/42 status=200 duration=12ms user=someone\n"
	chunk := []byte(strings.Repeat(line, 300))
	n := 0
	log := mask.New(secrets)
	lane := log.Lane(func(p []byte) { n += len(p) })
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		lane.Write(chunk)
	}
	log.Flush()
	if n != b.N*len(chunk) {
		b.Fatalf("%d bytes out of %d", n, b.N*len(chunk))
	}
}

// One endless line, as minified files and progress bars are.
func BenchmarkLongLine(b *testing.B) {
	log := mask.New([]string{"hunter22"})
	lane := log.Lane(func([]byte) {})
	chunk := []byte(strings.Repeat("x", 1<<20))
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		lane.Write(chunk)
	}
}

func BenchmarkNew(b *testing.B) {
	pem := strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n", 26)
	for b.Loop() {
		mask.New([]string{pem})
	}
}

// A long secret that repeats itself, on both streams one after the other, is
// masked in the time that any text takes: marking each of its many overlapping
// finds byte by byte took minutes.
func TestARepetitiveSecretCostsNoMore(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("canary-long-", 1600)
	log := mask.New([]string{secret})
	var got strings.Builder
	sink := func(p []byte) { got.Write(p) }
	stdout, stderr := log.Lane(sink), log.Lane(sink)
	for _, lane := range []*mask.Lane{stdout, stderr, stdout} {
		lane.Write([]byte(secret + "\n"))
	}
	log.Flush()
	if strings.Contains(got.String(), "canary") || strings.Count(got.String(), "\n") != 3 {
		t.Errorf("masked to %d bytes: %.200q", got.Len(), got.String())
	}
}
