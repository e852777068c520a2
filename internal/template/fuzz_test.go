package template_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/template"
)

// FuzzEvaluate looks for panics, for text that changes without a token, and for
// an evaluation that fails without saying how.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{
		"#{a}", "##{a}", "###{a}", "#{a[#{b}].c | ToUpper}", "#{if a == \"x\"}1#{elseif b}2#{else}3#{/if}",
		"#{unless a}#{each i in l}#{i.Key}#{/each}#{/unless}", "#{calc (1+2)*{a}/3}", "#{a | Replace \"x\" #{b}}",
		"#{j.k[0].\"}", "#{a | Indent 2/4}", "#{", "#{/if}", "#{a[b[c]].d}", "#{j.k | FromBase64}", "#{a | Append \\\"#\\\"}",
		"#{a | Replace \"(.)(x*)\" \"$2${1}$&$$\"}", "#{a | Format \"yyyy-MM-dd'T'HH:mm:ss.fffK zzz tt\"}", "#{j | Format decimal \\\"#,##0.00\\\"}",
		"#{a | AddHours -1.5 | Format o}", "#{a | UriPart AbsoluteUri}", "#{a | VersionPreReleaseCounter}", "#{ | NowDateUtc d}", "#{j | Format N3}",
	} {
		f.Add(seed, "2030-05-22 09:05:00", "-1234.5")
		f.Add(seed, "#{b}", `{"k":["v",{"n":1.50}],'q':null}`)
	}
	f.Fuzz(func(t *testing.T, text, value, json string) {
		set := template.NewSet()
		set.At(time.Unix(1_900_000_000, 0))
		set.Put("a", value)
		set.Put("b", "B")
		set.Put("l[x].y", value)
		set.Put(value, "by name")
		set.PutLiteral("j", json)
		r := set.Expand(text)
		if !strings.Contains(text, "#{") && r.Text != text {
			t.Errorf("%q became %q", text, r.Text)
		}
		if _, parse := errors.AsType[*template.ParseError](r.Err); parse && r.Text != text {
			t.Errorf("parse error changed %q to %q", text, r.Text)
		}
		if again := set.Expand(text); again.Text != r.Text || (again.Err == nil) != (r.Err == nil) {
			t.Errorf("%q: evaluated twice: %q and %q", text, r.Text, again.Text)
		}
		set.Lenient(text)
		_, _ = template.Arguments(text)
	})
}

// FuzzLiteralRoundTrip checks that a literal comes out of a template as it went
// in.
func FuzzLiteralRoundTrip(f *testing.F) {
	f.Add("#{a} ## {\"x\":1}")
	f.Fuzz(func(t *testing.T, value string) {
		set := template.NewSet()
		set.PutLiteral("v", value)
		if got, err := set.Evaluate("<#{v}>"); err != nil || got != "<"+value+">" {
			t.Errorf("%q came back as %q, %v", value, got, err)
		}
	})
}
