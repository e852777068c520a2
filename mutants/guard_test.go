package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMarkers(t *testing.T) {
	t.Parallel()
	g, err := parseMarker("guard:owner I4, fault 30: a rollout has one owner; less `a = $1 AND `, with `1 = 1 AND `; seen by ./internal/store TestOwner")
	if err != nil {
		t.Fatal(err)
	}
	if g.name != "owner" || len(g.protects) != 2 || g.protects[1] != "fault 30" || g.why != "a rollout has one owner" ||
		g.less != "a = $1 AND " || g.with != "1 = 1 AND " || g.pkg != "./internal/store" || g.test != "TestOwner" {
		t.Errorf("%+v", g)
	}
	for _, text := range []string{
		"guard:owner", "guard:owner I4", "guard:owner I4:", "guard: I4: why", "guard:owner safety: why", "guard:Owner I4: why",
		"guard:owner I4: why; with `x`", "guard:owner I4: why; less x", "guard:owner I4: why; seen by TestX", "guard:owner I4: why; seen by ./internal/store",
		"guard:owner I4: why; less `x`; and more",
	} {
		if g, err := parseMarker(text); err == nil {
			t.Errorf("%q: %+v", text, g)
		}
	}
}

const source = `package p

func f(n int) (int, error) {
	//guard:a I1: a condition
	if n := n + 1; n > 3 {
		return 0, nil
	}
	//guard:b I1: a statement
	//guard:c I2: the same, in part; less ¬n + 1¬, with ¬n¬
	n = n + 1
	switch {
	//guard:d I3: a case
	case n == 4:
		return 4, nil
	}
	switch n {
	//guard:dd I3: a case of a value
	case 5, 6:
		return 5, nil
	}
	//guard:e I4: cannot be left out
	return n, nil
	//guard:f I4: nothing follows
}
`

func TestRemoval(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(source, "¬", "`")
	guards, err := inFile("p.go", text)
	if err != nil || len(guards) != 7 {
		t.Fatalf("%d guards, %v", len(guards), err)
	}
	for i, want := range []struct{ gone, there string }{
		{"; n > 3 {", "; false && (n > 3) {"}, {"\tn = n + 1\n", "\t\n"}, {"n = n + 1\n\tswitch", "n = n\n\tswitch"}, {"case n == 4:", "case false && (n == 4):"}, {"case 5, 6:", "switch n {"},
	} {
		changed, err := guards[i].remove(text)
		if err != nil || strings.Contains(changed, want.gone) || !strings.Contains(changed, want.there) {
			t.Errorf("%s: %v\n%s", guards[i], err, changed)
		}
	}
	for _, g := range guards[5:] {
		if changed, err := g.remove(text); err == nil {
			t.Errorf("%s was removed:\n%s", g, changed)
		}
	}
	for name, less := range map[string]string{"not there": "m + 1", "twice": "n"} {
		g := *guards[2]
		if g.less = less; true {
			if changed, err := g.remove(text); err == nil {
				t.Errorf("%s:\n%s", name, changed)
			}
		}
	}
	g := *guards[2]
	if g.with = "n +"; true {
		if changed, err := g.remove(text); err == nil {
			t.Errorf("what does not parse is taken:\n%s", changed)
		}
	}
	sql := "CREATE TABLE a (\n  -- guard:u I8: one of each; less `UNIQUE`, with `CHECK`\n  UNIQUE (b)\n);\n"
	guards, err = inFile("m.sql", sql)
	if err != nil || len(guards) != 1 {
		t.Fatalf("%d guards in SQL, %v", len(guards), err)
	}
	if changed, err := guards[0].remove(sql); err != nil || !strings.Contains(changed, "  CHECK (b)\n);") {
		t.Errorf("%v\n%s", err, changed)
	}
	guards[0].less = ""
	if changed, err := guards[0].remove(sql); err == nil {
		t.Errorf("a line of SQL is left out whole:\n%s", changed)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines         []string // action or output of TestA; one that begins with ! is the package's
		passed, named bool
		said          string
	}{
		"named":             {[]string{"    a_test.go:12: I4: two owners\n", "fail"}, false, true, "I4: two owners"},
		"passes":            {[]string{"    a_test.go:12: I4 is fine\n", "pass"}, true, false, "passes"},
		"another invariant": {[]string{"    a_test.go:12: I44: two owners\n", "fail"}, false, false, "does not name I4"},
		"a panic":           {[]string{"    a_test.go:12: I4: two owners\n", "panic: boom\n", "fail"}, false, false, "a crash"},
		"a panic elsewhere": {[]string{"    a_test.go:12: I4: two owners\n", "!panic: boom\n", "fail"}, false, false, "a crash"},
		"out of time":       {[]string{"    a_test.go:12: I4: two owners\n", "panic: test timed out after 3m0s\n", "fail"}, false, false, "a crash"},
		"a race":            {[]string{"    a_test.go:12: I4: two owners\n", "WARNING: DATA RACE\n", "fail"}, false, false, "a crash"},
		"skipped":           {[]string{"    a_test.go:12: I4 not here\n", "skip"}, false, false, "skipped"},
		"no such test":      {nil, false, false, "has no test"},
		"no assertion":      {[]string{"I4: a line of a log\n", "fail"}, false, false, "does not name I4"},
	} {
		var out bytes.Buffer
		for _, line := range c.lines {
			e := event{Action: "output", Test: "TestA", Output: line}
			switch {
			case strings.HasPrefix(line, "!"):
				e.Test, e.Output = "", line[1:]
			case !strings.HasSuffix(line, "\n"):
				e = event{Action: line, Test: "TestA"}
			}
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(append(text, '\n'))
		}
		r := judge(out.Bytes(), "./p", "TestA", []string{"I4"})
		if r.passed != c.passed || r.named != c.named || !strings.Contains(r.said, c.said) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	build := `{"Action":"build-output","Output":"# p\n"}` + "\n" + `{"Action":"build-output","Output":"a.go:3:2: undefined: x\n"}` + "\n"
	if r := judge([]byte(build), "./p", "TestA", []string{"I4"}); r.named || !strings.Contains(r.said, "undefined: x") {
		t.Errorf("what does not build: %+v", r)
	}
}

// Every marker of the product parses, has a name of its own, can be removed, and
// names a test that exists; and every invariant has a guard.
func TestTheProductsGuards(t *testing.T) {
	t.Parallel()
	root := ".."
	guards, err := find(root)
	if err != nil {
		t.Fatal(err)
	}
	protected := map[string]bool{}
	for _, g := range guards {
		for _, name := range g.protects {
			protected[name] = true
		}
		content, err := os.ReadFile(filepath.Join(root, g.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.remove(string(content)); err != nil {
			t.Error(err)
		}
		if g.test != "" && !defines(t, filepath.Join(root, g.pkg), g.test) {
			t.Errorf("%s: %s has no %s", g, g.pkg, g.test)
		}
	}
	for _, name := range []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15"} {
		if !protected[name] {
			t.Errorf("no guard protects %s", name)
		}
	}
}

// defines says whether a package's test files have the test.
func defines(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^func ` + test + `\(`).Match(content) {
			return true
		}
	}
	return false
}
