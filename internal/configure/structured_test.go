package configure_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/configure"
)

func TestStructuredKeepsCommentsAndSpelling(t *testing.T) {
	t.Parallel()
	in := strings.ReplaceAll(`// head
{
	"a" : "caf\u00e9", // behind a
	// above b
	'b': 1e-7, /* behind b */
	c : { }, "d": [ // in d
		1, 2
		// last in d
	], "k": "old"
	/* before the end */
}
// foot
`, "\n", "\r\n")
	want := strings.ReplaceAll(`// head
{
  "a": "caf\u00e9", // behind a
  // above b
  "b": 1e-7, /* behind b */
  "c": {},
  "d": [
    // in d
    1,
    2
    // last in d
  ],
  "k": "new"
  /* before the end */
}
// foot
`, "\n", "\r\n")
	got, change, err := configure.EditStructured(t, []byte(in), variables("K", "new", "OctopusK", "x"))
	if err != nil || string(got) != want || len(change.Variables) != 1 {
		t.Errorf("got %s\n%v %v", got, change.Variables, err)
	}
	if same, _, err := configure.EditStructured(t, []byte(in), variables("nothing", "here")); err != nil || string(same) != in {
		t.Errorf("without a replacement the file became %s, %v", same, err)
	}
}

// configuration.md 4.2, JSON.
func TestStructuredConversions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, value, want string }{
		{`1`, "007", `7`},
		{`1`, "9223372036854775808", `9.223372036854776E+18`},
		{`1`, "1e999", `"1e999"`}, // abuse 58
		{`1`, "NaN", `"NaN"`},     // abuse 58
		{`1`, "", `""`},
		{`true`, " FALSE ", `false`},
		{`true`, "yes", `"yes"`},
		{`null`, "1", `"1"`},
		{`{"x":1}`, "not json", `same`},
		{`[]`, `{"y":[1,{}]}`, "{\r\n    \"y\": [\r\n      1,\r\n      {}\r\n    ]\r\n  }"},
		{`"x"`, "a\"\\\n\x01é\u2028", `"a\"\\\n\u0001é\u2028"`},
	} {
		in := `{"k":` + c.in + `}`
		got, _, err := configure.EditStructured(t, []byte(in), variables("k", c.value))
		want := "{\r\n  \"k\": " + c.want + "\r\n}"
		if c.want == "same" {
			want = in
		}
		if err != nil || string(got) != want {
			t.Errorf("%s with %q: got %s, %v; want %s", c.in, c.value, got, err, want)
		}
	}
}

// A value inside one that is replaced goes with it, in whatever order the
// variables are.
func TestStructuredParentReplacesChild(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"p:c", "1", "p", `{"c":"whole"}`}, {"p", `{"c":"whole"}`, "p:c", "1"}} {
		got, _, err := configure.EditStructured(t, []byte(`{"p":{"c":0}}`), variables(names...))
		if err != nil || !strings.Contains(string(got), `"c": "whole"`) {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

// configuration.md 4.1: what is missing is made, everything else stays.
func TestSettingsMakeWhatIsMissing(t *testing.T) {
	t.Parallel()
	vars := variables("k", "<v> & 'q' \"d\"", "e", "")
	for in, want := range map[string]string{
		`<c><appSettings><add  key='K'  /></appSettings></c>`:                                                    `<c><appSettings><add  key='K' value="&lt;v&gt; &amp; 'q' &quot;d&quot;"  /></appSettings></c>`,
		`<c><appSettings><add value='x' key='k'/></appSettings></c>`:                                             `<c><appSettings><add value='&lt;v&gt; &amp; &apos;q&apos; "d"' key='k'/></appSettings></c>`,
		`<c><applicationSettings><s><setting name="k"/></s></applicationSettings></c>`:                           `<c><applicationSettings><s><setting name="k"><value>&lt;v&gt; &amp; 'q' "d"</value></setting></s></applicationSettings></c>`,
		`<c><applicationSettings><setting name="k"><value/></setting></applicationSettings></c>`:                 `<c><applicationSettings><setting name="k"><value>&lt;v&gt; &amp; 'q' "d"</value></setting></applicationSettings></c>`,
		`<c><applicationSettings><setting name="e"><value>x<!--c--></value></setting></applicationSettings></c>`: `<c><applicationSettings><setting name="e"><value></value></setting></applicationSettings></c>`,
		`<c><userSettings><setting name="k"><value>x</value></setting></userSettings></c>`:                       "",
		`<c><other><add key="k" value="x"/></other></c>`:                                                         "",
		`<c><appSettings><add value="x"/><remove key="k"/></appSettings></c>`:                                    "",
	} {
		if want == "" {
			want = in
		}
		got, _, err := configure.EditSettings(t, []byte(in), vars)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got  %s, %v\n want %s", in, got, err, want)
		}
	}
}

// abuse 60: a document type is passed over, entities stay as they stand.
func TestSettingsNeverReadADocumentType(t *testing.T) {
	t.Parallel()
	const head = "<!DOCTYPE c SYSTEM \"file:///etc/passwd\" [\n<!ENTITY a \"&b;&b;\">\n<!-- ' ]> -->\n<!ENTITY b SYSTEM 'http://x/>'>\n]>\n"
	in := head + `<c x="&a;"><appSettings><add key="k" value="&b;"/><add key="&a;" value="1"/></appSettings>&a;</c>`
	got, _, err := configure.EditSettings(t, []byte(in), variables("k", "v"))
	if want := strings.Replace(in, `value="&b;"`, `value="v"`, 1); err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

// What the file's encoding cannot hold becomes a character reference: the
// encoding stays.
func TestSettingsKeepTheEncoding(t *testing.T) {
	t.Parallel()
	in := "<?xml version=\"1.0\" encoding=\"iso-8859-2\"?><c a=\"\xb1\"><appSettings><add key=\"k\" value=\"\"/></appSettings></c>"
	got, _, err := configure.EditSettings(t, []byte(in), variables("k", "ą€"))
	if want := strings.Replace(in, `value=""`, "value=\"\xb1&#x20AC;\"", 1); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}
