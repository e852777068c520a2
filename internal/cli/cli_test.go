package cli_test

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		// The program as it is, except that it polls without waiting long.
		"slipway": func() {
			c := cli.Process("1.2.3-test")
			if os.Getenv("SLIPWAY_TEST_PATIENT") != "" {
				os.Exit(cli.Main(context.Background(), "1.2.3-test", os.Args[1:]))
			}
			c.Pause = func(ctx context.Context, _ time.Duration) error {
				timer := time.NewTimer(5 * time.Millisecond)
				defer timer.Stop()
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-timer.C:
					return nil
				}
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			context.AfterFunc(ctx, stop)
			os.Exit(cli.Run(ctx, c, os.Args[1:]))
		},
	})
}

// TestScripts runs the program against a server that speaks the wire contract.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			server := startFakeAPI()
			env.Defer(server.Close)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("SLIPWAY_URL", server.URL)
			env.Setenv("SLIPWAY_API_KEY", "API-ADMIN")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits runs a command line and checks its exit code: `exits 3 slipway …`.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// TestEveryCommandIsDocumented: a summary and an example each, every flag with
// a usage text, and no example that the program would not parse.
func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	walk(tree(t), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") && cmd.HasParent() {
			t.Errorf("%s: summary %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.HasSubCommands() || cmd.Name() == "help" {
			return
		}
		if !strings.Contains(cmd.Example, "slipway ") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "slipway" {
				continue
			}
			found, _, err := tree(t).Find(words[1:])
			if err != nil || !found.HasParent() {
				t.Errorf("%s: example %q names no command", cmd.CommandPath(), strings.TrimSpace(line))
				continue
			}
			for _, word := range words[1:] {
				name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
				if strings.HasPrefix(word, "--") && found.Flag(name) == nil {
					t.Errorf("%s: example uses --%s, which %s does not have", cmd.CommandPath(), name, found.CommandPath())
				}
			}
		}
	})
}

// TestHelp compares every command's help with the text checked in.
func TestHelp(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	walk(tree(t), func(cmd *cobra.Command) {
		if cmd.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "_") + ".txt"
		seen[name] = true
		var b strings.Builder
		cmd.SetOut(&b)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "help", name), b.String())
	})
	_ = filepath.WalkDir("testdata/help", func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && !entry.IsDir() && !seen[entry.Name()] {
			t.Errorf("%s belongs to no command", path)
		}
		return nil
	})
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update):\n%s", file, got)
	}
}

func tree(t *testing.T) *cobra.Command {
	t.Helper()
	c := cli.Process("test")
	c.Env = func(string) string { return "" }
	root := cli.New(c)
	root.InitDefaultHelpCmd()
	return root
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	visit(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}
