package configure_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slipwayhq/slipway/internal/configure"
)

// FuzzSettings checks that what was written reads back, that writing it again
// changes nothing, and that a file without a matching key keeps its bytes.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{
		`<c><appSettings><add key="k" value="x"/></appSettings></c>`,
		`<?xml version="1.0" encoding="iso-8859-1"?><c><connectionStrings><add name='k' connectionString='x'/></connectionStrings></c>`,
		"\xef\xbb\xbf<!DOCTYPE c [<!ENTITY e 'x'>]><c><p:applicationSettings xmlns:p='u'><p:s><p:setting name=\"k\"/></p:s></p:applicationSettings></c>",
		`<c><applicationSettings><setting name="k"><value a="1"/></setting></applicationSettings></c>`,
		`<c><appSettings><add key="&#x6b;"/><!-- > --><![CDATA[<]]></appSettings></c>`,
		"\xff\xfe<\x00a\x00/\x00>\x00",
	} {
		f.Add([]byte(seed), `a "b" 'c' <d> & é ő`+"\r\n\t")
	}
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		if len(text) > 1000 || !utf8.ValidString(text) || strings.Contains(text, "#{") {
			return
		}
		vars := variables("k", text)
		after, change, err := configure.EditSettings(t, raw, vars)
		if err != nil {
			return
		}
		if len(change.Variables) == 0 && !bytes.Equal(after, raw) {
			t.Fatalf("no key matched and %q became %q", raw, after)
		}
		again, _, err := configure.EditSettings(t, after, vars)
		if err != nil || !bytes.Equal(again, after) {
			t.Fatalf("%q became %q and then %q, %v", raw, after, again, err)
		}
	})
}

// FuzzStructured checks that the output is JSON wherever the input was, and
// comes to rest when it is written again.
func FuzzStructured(f *testing.F) {
	for _, seed := range []string{
		`{"k":"x","a":[1,2.50,{"k":null}],"n":{}}`, "// c\n{k:'x', /* d */ \"k:k\": 1e-7, // e\n}\n", `[true,"\ud800",]`, "{\"k\" // f\n: 1 // g\n\n// h\n}",
		"\xef\xbb\xbf{\"k\":0}", "{\"k\":{\"k\":1},\"K\":2}",
	} {
		f.Add([]byte(seed), "10.0")
		f.Add([]byte(seed), `{"a":['b']}`)
	}
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		if len(text) > 1000 || !utf8.ValidString(text) || strings.Contains(text, "#{") {
			return
		}
		vars := variables("k", text, "a:0", text, "k:k", text, "0", text)
		after, change, err := configure.EditStructured(t, raw, vars)
		if err != nil {
			return
		}
		if len(change.Variables) == 0 {
			if !bytes.Equal(after, raw) {
				t.Fatalf("nothing was replaced and %q became %q", raw, after)
			}
			return
		}
		// The first time a value may get another kind, which it then keeps.
		second, _, err := configure.EditStructured(t, after, vars)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", raw, after, err)
		}
		if third, _, err := configure.EditStructured(t, second, vars); err != nil || !bytes.Equal(third, second) {
			t.Fatalf("%q became %q, %q and %q, %v", raw, after, second, third, err)
		}
		plain := bytes.TrimPrefix(raw, []byte("\ufeff"))
		if json.Valid(plain) && json.Valid([]byte(text)) && !json.Valid(bytes.TrimPrefix(after, []byte("\ufeff"))) && utf8.Valid(plain) {
			t.Fatalf("%q is JSON and became %q", raw, after)
		}
	})
}
