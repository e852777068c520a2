package template_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/template"
)

// unsupportedVectors is how many vectors use a construct that is not evaluated
// yet. It only ever goes down; at 0 it goes away.
const unsupportedVectors = 2

type vector struct {
	ID          string
	Op          string
	Name        string
	Template    string
	HaltOnError *bool
	Variables   []struct {
		Name  string
		Value *string
	}
	Post []struct {
		Op, Old, New, Key string
	}
	Expected      json.RawMessage
	ExpectedOneOf []string
	Contains      []string
	Count         *int
	Default       *bool
	Throws        string
	Message       string
	Error         json.RawMessage
}

func vectors(t *testing.T, file string) []vector {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Cases []vector }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Cases) == 0 {
		t.Fatalf("%s holds no cases", file)
	}
	return doc.Cases
}

func (v *vector) set() *template.Set {
	set := template.NewSet()
	set.At(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	for _, x := range v.Variables {
		if x.Value == nil {
			set.PutValue(x.Name, template.Value{Null: true})
			continue
		}
		set.Put(x.Name, *x.Value)
	}
	return set
}

func TestVectors(t *testing.T) {
	t.Parallel()
	skipped := map[string]int{}
	total := 0
	for _, file := range []string{"testdata/octostache.json", "testdata/own.json"} {
		for _, v := range vectors(t, file) {
			total++
			unsupported := v.check(t)
			if unsupported != nil {
				skipped[unsupported.Construct]++
			}
		}
	}
	sum := 0
	for _, n := range skipped {
		sum += n
	}
	t.Logf("%d of %d vectors evaluated; not yet: %v", total-sum, total, skipped)
	if sum != unsupportedVectors {
		t.Errorf("%d vectors use an unsupported construct, want %d (lower the constant when it shrinks)", sum, unsupportedVectors)
	}
}

func (v *vector) check(t *testing.T) *template.UnsupportedError {
	t.Helper()
	set := v.set()
	label := v.ID
	if label == "" {
		label = v.Template
	}
	switch v.Op {
	case "evaluate", "":
		return v.evaluate(t, label, set)
	case "evaluateTruthy":
		if got := set.EvaluateTruthy(v.Template); got != (string(v.Expected) == "true") {
			t.Errorf("%s: truthy %v, want %s", label, got, v.Expected)
		}
	case "get":
		if got, ok := set.Get(v.Name); !ok || quoted(got.Text) != string(v.Expected) {
			t.Errorf("%s: got %q, want %s", label, got.Text, v.Expected)
		}
	case "getRaw":
		if got, ok := set.GetRaw(v.Name); !ok || quoted(got.Text) != compact(v.Expected) {
			t.Errorf("%s: got %q, want %s", label, got.Text, v.Expected)
		}
	case "getFlag":
		if got := set.GetFlag(v.Name, *v.Default); got != (string(v.Expected) == "true") {
			t.Errorf("%s: got %v, want %s", label, got, v.Expected)
		}
	case "getInt32":
		got, ok := set.GetInt(v.Name)
		text, _ := json.Marshal(got)
		if !ok {
			text = []byte("null")
		}
		if string(text) != string(v.Expected) {
			t.Errorf("%s: got %s, want %s", label, text, v.Expected)
		}
	case "getIndexes":
		if got := set.GetIndexes(v.Name); len(got) != *v.Count {
			t.Errorf("%s: got %q, want %d", label, got, *v.Count)
		}
	case "argumentNames":
		got, err := template.Arguments(v.Template)
		if err != nil || !slices.Equal(got, v.Contains) {
			t.Errorf("%s: got %q, %v, want %q", label, got, err, v.Contains)
		}
	default:
		t.Errorf("%s: the test does not know the operation %q", label, v.Op)
	}
	return nil
}

func (v *vector) evaluate(t *testing.T, label string, set *template.Set) *template.UnsupportedError {
	t.Helper()
	lenient := v.HaltOnError != nil && !*v.HaltOnError
	r := set.Expand(v.Template)
	if lenient {
		r = set.Lenient(v.Template)
	}
	if e, ok := errors.AsType[*template.UnsupportedError](r.Err); ok {
		return e
	}
	if v.Throws != "" {
		if _, loop := errors.AsType[*template.LoopError](r.Err); !loop || r.Err.Error() != v.Message {
			t.Errorf("%s: error %v, want %s", label, r.Err, v.Message)
		}
		return nil
	}
	v.checkError(t, label, r)
	if len(v.ExpectedOneOf) > 0 {
		if !slices.Contains(v.ExpectedOneOf, r.Text) {
			t.Errorf("%s: got %q, want one of %q", label, r.Text, v.ExpectedOneOf)
		}
		return nil
	}
	got := quoted(v.post(t, label, r.Text))
	if r.Null {
		got = "null"
	}
	if got != compact(v.Expected) {
		t.Errorf("%s: %s\n got  %s\n want %s\n error %v", label, v.Template, got, compact(v.Expected), r.Err)
	}
	return nil
}

func (v *vector) checkError(t *testing.T, label string, r template.Result) {
	t.Helper()
	if v.Error == nil {
		return
	}
	want := ""
	if string(v.Error) != "null" {
		if err := json.Unmarshal(v.Error, &want); err != nil {
			t.Fatal(err)
		}
	}
	_, parse := errors.AsType[*template.ParseError](r.Err)
	switch {
	case want == "parse":
		if !parse {
			t.Errorf("%s: error %v, want a parse error", label, r.Err)
		}
	case want == "" && r.Err != nil, want != "" && (r.Err == nil || r.Err.Error() != want):
		t.Errorf("%s: error %v, want %q", label, r.Err, want)
	}
}

func (v *vector) post(t *testing.T, label, text string) string {
	t.Helper()
	for _, p := range v.Post {
		switch p.Op {
		case "replace":
			text = strings.ReplaceAll(text, p.Old, p.New)
		case "trim":
			text = strings.TrimSpace(text)
		case "yaml-value":
			text = foldYAML(text, p.Key)
		default:
			t.Errorf("%s: the test does not know the post operation %q", label, p.Op)
		}
	}
	return text
}

// foldYAML reads a single-quoted flow scalar by YAML's own rule: white space
// around a line break goes, one break becomes a space, each further one stays.
func foldYAML(text, key string) string {
	text = strings.TrimPrefix(text, key+": '")
	text = strings.ReplaceAll(strings.TrimSuffix(text, "'"), "''", "'")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var b strings.Builder
	breaks := 0
	for i, line := range lines {
		if i > 0 {
			line = strings.TrimLeft(line, " \t")
		}
		if i < len(lines)-1 {
			line = strings.TrimRight(line, " \t")
		}
		if i > 0 {
			breaks++
		}
		if line == "" && i > 0 && i < len(lines)-1 {
			continue
		}
		if breaks == 1 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.Repeat("\n", max(breaks-1, 0)))
		breaks = 0
		b.WriteString(line)
	}
	return b.String()
}

func quoted(s string) string {
	out, _ := json.Marshal(s)
	return string(out)
}

// compact brings the expectation into the form quoted gives.
func compact(raw json.RawMessage) string {
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s == nil {
		return "null"
	}
	return quoted(*s)
}
