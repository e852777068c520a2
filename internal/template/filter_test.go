package template_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/template"
)

// TestFilters covers what the vectors do not reach (configuration.md 1.11).
func TestFilters(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("", 2*60*60)
	for _, c := range []struct{ text, value, want string }{
		{`#{v | Replace "(b)(c)" "$2x$1$$$&${1}1"}`, "abcd", "acxb$bcb1d"},
		{`#{v | Replace b}`, "abc", "ac"},
		{`#{v | Replace "b" "$"}`, "abc", "a$c"},
		{`#{v | Format N0}`, "-1234567.5", "-1,234,568"},
		{`#{v | Format decimal \"0000.##\"}`, "12.5", "0012.5"},
		{`#{v | Format decimal \"#,##0.00 EUR\"}`, "1234.5", "1,234.50 EUR"},
		{`#{v | Format "0.0%"}`, "0.125", "12.5%"},
		{`#{v | Format P1}`, "0.125", "12.5 %"},
		{`#{v | Format int D5}`, "42", "00042"},
		{`#{v | Format int X}`, "255", "FF"},
		{`#{v | Format F1}`, "0.25", "0.3"},
		{`#{v | Format int F1}`, "0.25", `#{v | Format "int" "F1"}`},
		{`#{v | Format "dddd d MMM yy h:mm tt \"at\" \\z"}`, "x", `#{v | Format "dddd d MMM yy h:mm tt \"at\" \\z"}`},
		{`#{v | Format "dddd d MMM yy h:mm tt 'at' z"}`, "2030-05-22 21:05:00", "Wednesday 22 May 30 9:05 PM at +0"},
		{`#{v | Format date s}`, "5/22/2030 9:05 PM", "2030-05-22T21:05:00"},
		{`#{v | Format "HH:mm:ss.fff K"}`, "2030-05-22T09:05:00.1234+02:00", "09:05:00.123 +02:00"},
		{`#{v | AddDays "-0.5"}`, "2030-05-22T09:05:00Z", "2030-05-21T21:05:00.0000000Z"},
		{`#{v | AddHours 1}`, "2030-05-22T23:05:00+02:00", "2030-05-23T00:05:00.0000000+02:00"},
		{`#{v | AddDays 9999999}`, "2030-05-22", `#{v | AddDays "9999999"}`},
		{`#{v | AddDays 300000}`, "2030-05-22", "2851-10-05T00:00:00.0000000"},
		{`#{v | AddDays NaN}`, "2030-05-22", `#{v | AddDays "NaN"}`},
		{`#{ | NowDate}`, "", "2030-01-02T03:04:05.0000000"},
		{`#{ | NowDateUtc}`, "", "2030-01-02T01:04:05.0000000Z"},
		{`#{ | NowDate "yyyy-MM-dd"}`, "", "2030-01-02"},
		{`#{v | VersionMajor}.#{v | VersionMinor}.#{v | VersionPatch}.#{v | VersionRevision}`, "v01.2", "1.2.0.0"},
		{`#{v | VersionPreRelease},#{v | VersionPreReleasePrefix},#{v | VersionPreReleaseCounter},#{v | VersionMetadata}`, "1.2.3-beta.10+abc", "beta.10,beta,10,abc"},
		{`#{v | VersionMajor}#{v | VersionPreRelease}`, "latest", "0latest"},
		{`#{v | UriPart Port}`, "http://h:81/p", "81"},
		{`#{v | UriPart Authority}`, "http://h:80/p", "h"},
		{`#{v | FromBase64}`, "eA==", "x"},
		{`#{v | UriDataEscape}`, "a b/é", "a%20b%2F%C3%A9"},
		{`#{v | UriEscape}`, "http://h/a b?c=é", "http://h/a%20b?c=%C3%A9"},
		{`#{v | Truncate 1}`, "😀", "\ufffd..."},
		{`#{v | Indent 1/2}`, "a\nb", " a\n  b"},
	} {
		set := template.NewSet()
		set.At(time.Date(2030, 1, 2, 3, 4, 5, 0, berlin))
		set.Put("v", c.value)
		if r := set.Lenient(c.text); r.Text != c.want {
			t.Errorf("%s of %q: got %q, %v; want %q", c.text, c.value, r.Text, r.Err, c.want)
		}
	}
}

// Errors of filters name the filter and never quote the value (abuse 73), and
// no pattern takes more than linear time (abuse 64).
func TestFilterErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`#{v | FromBase64}`, "filter FromBase64"},
		{`#{v | VersionMajor}`, "filter VersionMajor"},
		{`#{v | Match "(?=x)"}`, "filter Match with a regular expression that RE2 does not have"},
		{`#{v | Match "(a{1000}){1000}"}`, "filter Match with a regular expression that RE2 does not have"},
		{`#{v | Match "("}`, "filter Match with a regular expression that RE2 does not have"},
		{`#{n | Format #{v}}`, "filter Format with a number format"},
		{`#{d | Format #{v}}`, ""},
		{`#{v | Markdown}`, "filter Markdown"},
	} {
		set := template.NewSet()
		set.PutSensitive("v", "hush hush!")
		set.Put("n", "12")
		set.Put("d", "2030-01-01")
		r := set.Expand(c.text)
		if c.want == "" {
			continue
		}
		if r.Err == nil || !strings.Contains(r.Err.Error(), c.want) || strings.Contains(r.Err.Error(), "hush") || r.Text != "" {
			t.Errorf("%s: got %q, %v; want %q", c.text, r.Text, r.Err, c.want)
		}
	}
	set := template.NewSet()
	set.Put("v", strings.Repeat("a", 50_000)+"!")
	if got, err := set.Evaluate(`#{v | Match "^(a+)+$"}`); got != "false" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	big := template.NewSet()
	big.Put("v", strings.Repeat("a", 1<<20))
	big.Put("w", strings.Repeat("b", 1<<10))
	if _, err := big.Evaluate(`#{v | Replace "a" #{w}}`); !isBudget(err) {
		t.Errorf("error %v", err)
	}
}

func isBudget(err error) bool {
	_, ok := errors.AsType[*template.BudgetError](err)
	return ok
}

// abuse 74: what an index was looked up with is not shown when that index
// leads into a loop.
func TestLoopChainsShowNamesAndNotValues(t *testing.T) {
	t.Parallel()
	set := template.NewSet()
	set.PutSensitive("Key", "hush")
	set.Put("Map[hush]", "#{Other}")
	set.Put("Other", "#{Map[#{Key}]}")
	_, err := set.Evaluate("#{Map[#{Key}]}")
	if _, ok := errors.AsType[*template.LoopError](err); !ok || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}
