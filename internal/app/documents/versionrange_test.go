package documents_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/packages"
)

func TestVersionRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, in, out string }{
		{"", "0.0.1 99.0.0-beta", ""},
		{"1.0", "1.0.0 1.0.1 2.0.0", "0.9.9 1.0.0-beta"},
		{"[1.0]", "1.0.0", "1.0.1 0.9.0"},
		{"[1.0,2.0)", "1.0.0 1.99.0 2.0.0-beta", "2.0.0 0.9.0"},
		{"(1.0,2.0]", "1.0.1 2.0.0", "1.0.0 2.0.1"},
		{"(,1.0]", "0.1.0 1.0.0", "1.0.1"},
		{"[2.0,)", "2.0.0 10.0.0", "1.9.9"},
		{" [1.0,1.1) , [2.0,2.1) ", "1.0.5 2.0.5", "1.5.0 2.1.0"},
	} {
		r, err := documents.ParseVersionRange(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		for want, list := range map[bool]string{true: c.in, false: c.out} {
			for version := range strings.FieldsSeq(list) {
				v, err := packages.ParseOctopus(version)
				if err != nil {
					t.Fatal(err)
				}
				if r.Holds(v) != want {
					t.Errorf("%q holds %s: %v", c.text, version, !want)
				}
			}
		}
	}
	for _, bad := range []string{"[1.0", "1.0]", "[]", "(1.0)", "[1.0,2.0) x", "[1.0,2.0),", "[2.0,1.0]", "1.0,[2.0]", strings.Repeat("[1.0],", 300)} {
		if _, err := documents.ParseVersionRange(bad); err == nil {
			t.Errorf("%.40q was taken", bad)
		}
	}
}

func FuzzParseVersionRange(f *testing.F) {
	for _, seed := range []string{"", "1.0", "[1.0,2.0)", "[1],(2,)", "[", ",", "(,)"} {
		f.Add(seed)
	}
	v, err := packages.ParseOctopus("1.2.3")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if r, err := documents.ParseVersionRange(text); err == nil {
			r.Holds(v)
		}
	})
}
