package contract_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstreamPackage are the SDK's own end-to-end tests, unmodified. They were
// written against another server; each of them gets a new one of ours.
const upstreamPackage = "github.com/OctopusDeploy/go-octopusdeploy/v2/test/e2e"

// passing is the list of those that pass; -update tries all and writes it anew.
const passing = "testdata/upstream.txt"

var update = flag.Bool("update", false, "run all of the SDK's own tests and write "+passing)

func TestUpstream(t *testing.T) {
	t.Parallel()
	program := compileUpstream(t)
	want := strings.Fields(readFile(t, passing))
	names := want
	if *update {
		names = listUpstream(t, program)
	}
	var mu sync.Mutex
	var passed []string
	t.Run("all", func(t *testing.T) {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out, err := runUpstream(t, start(t), program, name)
				switch {
				case err == nil:
					mu.Lock()
					passed = append(passed, name)
					mu.Unlock()
				case slices.Contains(want, name) || testing.Verbose():
					t.Logf("%v\n%s", err, out)
				}
				if err != nil && !*update {
					t.Fail()
				}
			})
		}
	})
	if !*update {
		return
	}
	slices.Sort(passed)
	ok(t, os.WriteFile(passing, []byte(strings.Join(passed, "\n")+"\n"), 0o644))
	t.Logf("%d of %d pass", len(passed), len(names))
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	return string(text)
}

func compileUpstream(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "e2e.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, upstreamPackage).CombinedOutput(); err != nil {
		t.Fatalf("compile the SDK's tests: %v\n%s", err, out)
	}
	return program
}

// listUpstream names the tests. The list is sorted, so that the file does not
// depend on the order of theirs.
func listUpstream(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "-test.list", ".").Output()
	ok(t, err)
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names
}

// runUpstream runs one test in its own process: some of them end it on a
// surprise.
func runUpstream(t *testing.T, s *instance, program, name string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("a test of the SDK took two minutes"))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run", "^"+name+"$", "-test.v", "-test.timeout", "110s")
	cmd.Dir = t.TempDir()
	cmd.Env = append(environment(), "OCTOPUS_HOST="+s.url, "OCTOPUS_API_KEY="+adminKey)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil && !strings.Contains(out.String(), "--- PASS: "+name+" ") {
		err = errors.New("the test did not run")
	}
	return out.String(), err
}
