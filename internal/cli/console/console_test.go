package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// run executes a command that fails with err and returns what a shell sees.
func run(t *testing.T, err error) (code int, stderr string) {
	t.Helper()
	var out bytes.Buffer
	c := &console.Console{Err: &out, Env: func(string) string { return "" }}
	root := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return err }}
	root.SetArgs(nil)
	c.Adopt(root)
	return c.Exit(root.Execute()), out.String()
}

func TestExitCodeOfEveryError(t *testing.T) {
	t.Parallel()
	lost := &client.UnreachableError{URL: "http://x", Err: errors.New("broken pipe")}
	acted := &client.UnreachableError{URL: "http://x", MayHaveActed: true, Err: errors.New("broken pipe")}
	cases := []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("boom"), 1, "Error: boom"},
		{console.Usagef("wrong"), 2, "Error: wrong"},
		{fmt.Errorf("push: %w", console.Usagef("wrong")), 2, "Error: push: wrong"},
		{resource.Errorf(resource.Unauthenticated, "Who?"), 3, "Check SLIPWAY_API_KEY"},
		{resource.Errorf(resource.Forbidden, "No."), 3, "Error: No."},
		{fmt.Errorf("get: %w", resource.Missing("X")), 3, "was not found"},
		{&client.MissingError{Kind: "project", Ref: "Shpo", Names: []string{"Shop", "Bank"}}, 3, `Did you mean "Shop"?`},
		{resource.Errorf(resource.Invalid, "Bad."), 1, "Error: Bad."},
		{resource.Errorf(resource.Conflict, "Taken."), 1, "Error: Taken."},
		{lost, 1, "Is the server running?"},
		{acted, 6, "It may have done what was asked"},
		{context.Canceled, 6, "Error: interrupted"},
		{&console.ExitError{Code: 4}, 4, ""},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.err), func(t *testing.T) {
			t.Parallel()
			code, stderr := run(t, tc.err)
			if code != tc.code || !strings.Contains(stderr, tc.says) || tc.says == "" && stderr != "" {
				t.Errorf("exit code %d, %q; want %d, %q", code, stderr, tc.code, tc.says)
			}
		})
	}
}

func TestErrorsCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	if _, stderr := run(t, resource.Errorf(resource.Invalid, "\x1b[2Jgone\u202e")); strings.ContainsAny(stderr, "\x1b\u202e") {
		t.Errorf("%q", stderr)
	}
}

func TestFormatsOfOneResult(t *testing.T) {
	t.Parallel()
	result := console.Result{
		Columns: []string{"NAME", "ID"}, Rows: [][]string{{"Größe", "E-1"}, {"a\nb\x1b", "E-22"}},
		Basic: []string{"E-1", "E-22"}, JSON: []map[string]string{{"Name": "a<b"}},
	}
	for format, want := range map[console.Format]string{
		console.Table: "NAME   ID\nGröße  E-1\na b    E-22\n",
		console.Basic: "E-1\nE-22\n",
		console.JSON:  "[\n  {\n    \"Name\": \"a<b\"\n  }\n]\n",
	} {
		var out bytes.Buffer
		c := &console.Console{Out: &out, Format: format}
		if err := c.Print(result); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v; want %q", format, &out, err, want)
		}
	}
}

type brokenPipe struct{ http.ResponseWriter }

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAResultThatCannotBePrintedFails(t *testing.T) {
	t.Parallel()
	c := &console.Console{Out: brokenPipe{}, Format: console.Basic}
	if err := c.Print(console.Result{Basic: []string{"x"}}); err == nil {
		t.Error("a lost result is no success")
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	many := []string{"a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "i9"}
	for _, tc := range []struct {
		ref   string
		names []string
		want  string
	}{
		{"Prodution", []string{"Test", "Production"}, ` Did you mean "Production"?`},
		{"tset", []string{"Test"}, ` Did you mean "Test"?`},
		{"Elsewhere", []string{"Test", "Live"}, " There is: Test, Live."},
		{"Elsewhere", many, ""},
		{"Elsewhere", nil, ""},
	} {
		if got := console.DidYouMean(tc.ref, tc.names); got != tc.want {
			t.Errorf("DidYouMean(%q, %v) = %q, want %q", tc.ref, tc.names, got, tc.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("plain\ttext\n")
	f.Add("\x1b[31m\u009b2J\u2066\x7f\r\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := console.Printable(text)
		for _, r := range got {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Errorf("%q keeps %U", got, r)
			}
		}
		if again := console.Printable(got); again != got {
			t.Errorf("%q is not stable: %q", got, again)
		}
	})
}
