package template_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/template"
)

// abuse 63
func TestLiteralsAreNeverExpanded(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.PutSensitive("Secret", "hush")
	set.PutLiteral("Out", `#{Secret}`)
	set.PutLiteral("OutJSON", `{"a":"#{Secret}","b":["#{Secret}"]}`)
	set.PutLiteral("OutList", `#{Secret},x`)
	set.Put("Wrapped", `{"a":"#{Out}"}`)
	set.Put("Joined", `#{Out},#{Out}`)
	for text, want := range map[string]string{
		`#{Out}`:                                  `#{Secret}`,
		`[#{Out | Append "!"}]`:                   `[#{Secret}!]`,
		`#{OutJSON.a}`:                            `#{Secret}`,
		`#{OutJSON.b[0]}`:                         `#{Secret}`,
		`#{Wrapped.a}`:                            `#{Secret}`,
		`#{each x in OutList}<#{x}>#{/each}`:      `<#{Secret}><x>`,
		`#{each x in Joined}<#{x}>#{/each}`:       `<#{Secret}><#{Secret}>`,
		`#{each x in OutJSON}#{x.Value};#{/each}`: `#{Secret};["#{Secret}"];`,
		`#{if Out == "hush"}leak#{/if}`:           ``,
	} {
		r := set.Expand(text)
		if r.Text != want || r.Err != nil || r.Sensitive {
			t.Errorf("%s: got %q, sensitive %v, error %v; want %q", text, r.Text, r.Sensitive, r.Err, want)
		}
	}
}

// abuse 74
func TestWhatTouchesASecretIsSensitive(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.PutSensitive("Secret", `{"k":"v"}`)
	set.Put("Via", "x#{Secret}")
	set.Put("Open", "1")
	set.Put("Map[{\"k\":\"v\"}]", "found")
	for text, want := range map[string]bool{
		`#{Open}`:    false,
		`#{Missing}`: false,
		`#{if Open}#{Open}#{else}#{Secret}#{/if}`: false,
		`#{Secret}`:                        true,
		`#{Via}`:                           true,
		`#{Secret.k}`:                      true,
		`#{Secret | Sha256 1}`:             true,
		`#{Secret | Truncate 0 ""}`:        true,
		`#{Open | Append #{Secret}}`:       true,
		`#{if Secret == "guess"}yes#{/if}`: true,
		`#{each p in Secret}#{/each}`:      true,
		`#{Map[#{Secret}]}`:                true,
		`#{calc {Secret}+1}`:               true,
		`#{Secret | NoSuchFilter}`:         true,
	} {
		if r := set.Expand(text); r.Sensitive != want {
			t.Errorf("%s: sensitive %v, want %v (text %q, error %v)", text, r.Sensitive, want, r.Text, r.Err)
		}
	}
	if r, _ := set.Get("Secret"); !r.Sensitive {
		t.Error("Get of a secret is not sensitive")
	}
}

// abuse 62
func TestLoopsAreNamed(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.Put("A", "x#{B}")
	set.Put("B", "y#{A}")
	r := set.Expand("line one\n  #{A}")
	loop, ok := errors.AsType[*template.LoopError](r.Err)
	if !ok || !slices.Contains(loop.Chain, "A") || !slices.Contains(loop.Chain, "B") {
		t.Fatalf("error %v", r.Err)
	}
	if r.Text != "" || r.Line != 2 || r.Column != 3 {
		t.Errorf("text %q at %d:%d", r.Text, r.Line, r.Column)
	}
}

// abuse 62
func TestBudgets(t *testing.T) {
	t.Parallel()
	doubling := template.NewSet()
	doubling.Put("v0", "x")
	for i := 1; i <= 40; i++ {
		doubling.Put(fmt.Sprintf("v%d", i), fmt.Sprintf("#{v%d}#{v%d}", i-1, i-1))
	}
	wide := template.NewSet()
	wide.Put("l", strings.Repeat(",", 1_000_000))
	wide.Put("big", strings.Repeat("x", 1<<20))
	for name, c := range map[string]struct {
		set        *template.Set
		text, what string
	}{
		"10,000 deep": {chained(10_000), "#{v9999}", "nesting"},
		"doubling":    {doubling, "#{v30}", "steps"},
		"a long loop": {wide, "#{each i in l}#{i}#{/each}", "steps"},
		"output":      {wide, strings.Repeat("#{big}", 17), "output bytes"},
		"filters":     {wide, "#{each i in l}#{big | ToUpper}#{/each}", "steps"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := c.set.Evaluate(c.text)
			budget, ok := errors.AsType[*template.BudgetError](err)
			if !ok || budget.What != c.what || text != "" {
				t.Errorf("abuse 62: error %v, %d bytes; want the budget of %s", err, len(text), c.what)
			}
		})
	}
	if text, err := chained(template.MaxDepth).Evaluate("#{v31}"); err != nil || text != "end" {
		t.Errorf("%d values deep: %q, %v", template.MaxDepth, text, err)
	}
}

func chained(n int) *template.Set {
	set := template.NewSet()
	set.Put("v0", "end")
	for i := 1; i < n; i++ {
		set.Put(fmt.Sprintf("v%d", i), fmt.Sprintf("#{v%d}", i-1))
	}
	return set
}

// abuse 62: what never closes must not take exponential work.
func TestParserBudgets(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"open blocks":      strings.Repeat("#{if a}", 50_000),
		"open indexes":     "#{a" + strings.Repeat("[#{a", 50_000),
		"open brackets":    "#{a" + strings.Repeat("[", 50_000),
		"open options":     strings.Repeat("#{a | b ", 50_000),
		"open parentheses": "#{calc " + strings.Repeat("(", 50_000),
		"elseif":           "#{if a}" + strings.Repeat("#{elseif a}", 50_000),
		"closed blocks":    strings.Repeat("#{if a}", 50_000) + strings.Repeat("#{/if}", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := template.NewSet().Evaluate(text)
			if _, ok := errors.AsType[*template.ParseError](err); !ok || got != text {
				t.Errorf("error %v; want a parse error and the text as it was", err)
			}
		})
	}
}

// abuse 62: hostile files end in bounded time, whole or with an error.
func TestLenientOnHostileFiles(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{
		"openings": "#{", "missing tokens": "#{a}", "one line": "é#{a}", "lines": "\n#{!", "open blocks": "#{if a}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Repeat(unit, 2<<20/len(unit))
			r := template.NewSet().Lenient(text)
			if r.Err == nil && r.Text != text {
				t.Errorf("%d bytes became %d", len(text), len(r.Text))
			}
			if len(r.Problems) == 0 && r.Err == nil {
				t.Error("nothing was reported")
			}
		})
	}
}

func TestLenientReportsLinesAndGoesOn(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.Put("x", "X")
	set.Put("inner", "<#{gone}>")
	r := set.Lenient("a #{x}\nb #{\nc #{nope} #{x}\n#{inner} #{/if} #{x}#{")
	want := "a X\nb #{\nc #{nope} X\n<#{gone}> #{/if} X#{"
	if r.Text != want || r.Err != nil {
		t.Errorf("got %q, %v\nwant %q", r.Text, r.Err, want)
	}
	var found []string
	for _, p := range r.Problems {
		found = append(found, fmt.Sprintf("%d:%d %s %v", p.Line, p.Column, strings.TrimSpace(p.Token), p.Err != nil))
	}
	wantFound := []string{"2:3 #{\nc true", "3:3 #{nope} false", "4:1 #{gone} false", "4:10 # true", "4:21 #{ true"}
	if !slices.Equal(found, wantFound) {
		t.Errorf("problems %q\nwant %q", found, wantFound)
	}
}

func TestUnsupportedFilterEndsTheEvaluationByName(t *testing.T) {
	t.Parallel()
	r := template.NewSet().Lenient("one\ntwo #{ | NowDate}")
	unsupported, ok := errors.AsType[*template.UnsupportedError](r.Err)
	if !ok || unsupported.Construct != "filter NowDate" || r.Line != 2 || r.Column != 5 || r.Text != "" {
		t.Errorf("got %q, %v at %d:%d", r.Text, r.Err, r.Line, r.Column)
	}
}

func TestSetKeepsPlaceAndFoldsCase(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.Put("One", "1")
	set.Put("Two", "2")
	if got, _ := set.Evaluate("#{two}"); got != "2" {
		t.Errorf("got %q", got)
	}
	set.Put("ONE", "eins")
	set.Put("Three", "#{one}")
	if got, err := set.Evaluate("#{Three}"); got != "eins" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got := strings.Join(set.Names(), " "); got != "One Two Three" {
		t.Errorf("names %q", got)
	}
	if _, err := set.Require("Four"); err == nil {
		t.Error("Require of an absent variable has no error")
	}
	set.Put("List", " a, ,b;c ")
	if got := set.GetStrings("List", ",;"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("strings %q", got)
	}
}
