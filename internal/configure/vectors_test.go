package configure_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"

	"github.com/slipwayhq/slipway/internal/configure"
	"github.com/slipwayhq/slipway/internal/template"
)

type vector struct {
	ID, Kind, Input, Expected, Compare, ExpectedEncoding string
	Variables                                            []struct {
		Name  string
		Value *string
	}
	AssertXPath map[string]string
}

func TestVectors(t *testing.T) {
	t.Parallel()
	var index struct{ Fixtures []vector }
	if err := json.Unmarshal(golden(t, "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	for _, v := range index.Fixtures {
		got, err := v.run(t)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		switch v.Kind {
		case "structured":
			v.compare(t, got, golden(t, v.Expected))
		case "config-variables":
			v.assertPaths(t, got)
		case "substitute":
			v.assertEncoding(t, got)
		}
	}
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata/vectors", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (v *vector) run(t *testing.T) (out []byte, err error) {
	t.Helper()
	dir := t.TempDir()
	name := path.Base(v.Input)
	if err := os.WriteFile(filepath.Join(dir, name), golden(t, v.Input), 0o600); err != nil {
		t.Fatal(err)
	}
	set := template.NewSet()
	for _, x := range v.Variables {
		if x.Value == nil {
			set.PutValue(x.Name, template.Value{Null: true})
			continue
		}
		set.Put(x.Name, *x.Value)
	}
	opts := configure.Options{}
	switch v.Kind {
	case "structured":
		opts.Structured = []string{name}
	case "config-variables":
		opts.Settings = true
	case "substitute":
		opts.Substitute = []string{name}
	}
	if _, err := configure.Run(open(t, dir), opts, set, newLog(t)); err != nil {
		return nil, err
	}
	out, err = os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func (v *vector) compare(t *testing.T, got, want []byte) {
	t.Helper()
	if v.Compare == "text-normalised-newlines" {
		got, want = normalise(got), normalise(want)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got  %q\n want %q", v.ID, got, want)
	}
}

// normalise keeps the text: line ends and byte order marks are compared by the
// vectors that say bytes.
func normalise(raw []byte) []byte {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	return bytes.TrimSuffix(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"))
}

// assertPaths checks the two forms of path that the vectors use, and that the
// rest of the file is byte for byte as it was.
func (v *vector) assertPaths(t *testing.T, got []byte) {
	t.Helper()
	form := regexp.MustCompile(`\[@(key|name)='([^']+)'\]/(@?)(\w+)$`)
	for expr, want := range v.AssertXPath {
		m := form.FindStringSubmatch(expr)
		if m == nil {
			t.Fatalf("%s: the test cannot read %s", v.ID, expr)
		}
		if found, ok := lookup(t, got, m[1], m[2], m[4], m[3] == "@"); !ok || found != want {
			t.Errorf("%s: %s is %q, want %q", v.ID, expr, found, want)
		}
	}
	before := bytes.Split(golden(t, v.Input), []byte("\n"))
	for i, line := range bytes.Split(got, []byte("\n")) {
		if i < len(before) && !bytes.Equal(line, before[i]) && !touched(line, v) {
			t.Errorf("%s: line %d became %q", v.ID, i+1, line)
		}
	}
}

func touched(line []byte, v *vector) bool {
	if bytes.Contains(line, []byte("<value>")) {
		return true
	}
	for _, x := range v.Variables {
		if bytes.Contains(line, []byte(x.Name)) {
			return true
		}
	}
	return false
}

// lookup reads with the standard library's parser, not with ours.
func lookup(t *testing.T, doc []byte, key, name, target string, attribute bool) (string, bool) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))))
	inside := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return "", false
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if inside && start.Name.Local == target {
			var text string
			if err := decoder.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}
			return text, true
		}
		values := map[string]string{}
		for _, a := range start.Attr {
			values[a.Name.Local] = a.Value
		}
		if values[key] == name {
			if attribute {
				found, ok := values[target]
				return found, ok
			}
			inside = true
		}
	}
}

// assertEncoding builds the expectation from the input: the one token replaced,
// everything else as it was, in the encoding the vector names.
func (v *vector) assertEncoding(t *testing.T, got []byte) {
	t.Helper()
	if v.Expected != "" {
		v.compare(t, got, golden(t, v.Expected))
		return
	}
	const token = "#{LocalCacheFolderName}"
	input, value := golden(t, v.Input), *v.Variables[0].Value
	replace := func(encode func(string) []byte) []byte {
		return bytes.ReplaceAll(input, encode(token), encode(value))
	}
	plain := func(s string) []byte { return []byte(s) }
	var want []byte
	switch {
	case strings.HasPrefix(v.ExpectedEncoding, "utf-16le"):
		want = replace(func(s string) []byte {
			var out []byte
			for _, u := range utf16.Encode([]rune(s)) {
				out = append(out, byte(u), byte(u>>8))
			}
			return out
		})
	case strings.Contains(v.ExpectedEncoding, "upgrade"):
		text, err := charmap.Windows1252.NewDecoder().Bytes(input)
		if err != nil {
			t.Fatal(err)
		}
		input = text
		want = replace(plain)
	default:
		want = replace(plain)
	}
	if bytes.Equal(want, input) {
		t.Fatalf("%s: the input has no token", v.ID)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got  %q\n want %q", v.ID, got, want)
	}
}
