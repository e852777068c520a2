package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// goTest runs tests of one package, by their whole names, and gives the output
// of `go test -json`; that some failed is no error here.
func goTest(ctx context.Context, overlay, pkg string, names []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-vet=off", "-timeout=3m", "-overlay", overlay,
		"-run", "^("+strings.Join(names, "|")+")$", pkg)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return nil, fmt.Errorf("go test %s: %w: %s", pkg, errors.Join(err, context.Cause(ctx)), firstLines(stderr.String()))
	}
	return out, nil
}

// event is one line of `go test -json`.
type event struct {
	Action string `json:"Action"`
	Test   string `json:"Test"`
	Output string `json:"Output"`
}

// result is what a test said: it passed, or an assertion of its own named what
// the guard protects.
type result struct {
	passed, named bool
	said          string
}

var (
	// assertion is a line of a test's own log: behind file and line, the text.
	assertion = regexp.MustCompile(`^\s+[a-z0-9_]+\.go:\d+: (.*)$`)
	// crash is the end of a process or a word of the race detector, which name
	// nothing.
	crash = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|\*\*\* Test killed|signal: )`)
)

// judge reads what became of one test. A failure counts as naming the guard
// only where an assertion has the invariant's name, and nothing crashed.
func judge(out []byte, pkg, test string, protects []string) result {
	var action, crashed, first, build string
	named := ""
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue
		}
		text := strings.TrimRight(e.Output, "\n")
		switch {
		case e.Action == "build-output" && build == "" && !strings.HasPrefix(text, "#"):
			build = text
		case crash.MatchString(strings.TrimSpace(text)) && crashed == "":
			crashed = strings.TrimSpace(text)
		}
		if e.Test != test && !strings.HasPrefix(e.Test, test+"/") {
			continue
		}
		if e.Test == test && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			action = e.Action
		}
		if m := assertion.FindStringSubmatch(text); m != nil {
			if first == "" {
				first = m[1]
			}
			if named == "" && mentions(m[1], protects) {
				named = m[1]
			}
		}
	}
	switch {
	case build != "":
		return result{said: "it does not build: " + build}
	case crashed != "":
		return result{said: "a crash names nothing: " + crashed}
	case action == "pass":
		return result{passed: true, said: fmt.Sprintf("%s passes", test)}
	case action == "fail" && named != "":
		return result{named: true, said: fmt.Sprintf("%s: %s", test, named)}
	case action == "fail":
		return result{said: fmt.Sprintf("%s fails and does not name %s: %s", test, strings.Join(protects, ", "), first)}
	case action == "skip":
		return result{said: fmt.Sprintf("%s was skipped: %s", test, first)}
	default:
		return result{said: fmt.Sprintf("%s has no test %s", pkg, test)}
	}
}

// mentions says whether a text has one of the names as words.
func mentions(text string, names []string) bool {
	for _, name := range names {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text) {
			return true
		}
	}
	return false
}
