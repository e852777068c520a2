package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A contender's figure counts only when its work is on the disk, so the floor
// has to pass the same check as everybody, and the check has to notice what is
// missing.
func TestFloorAndRsyncDoTheWork(t *testing.T) {
	t.Parallel()
	rel, err := makeRelease(t.TempDir(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(rel.Zip); err != nil || info.Size() < 19<<20 || info.Size() > 21<<20 {
		t.Fatalf("the package is not about 20 MB: %v %v", info, err)
	}
	starters := map[string]func(context.Context, string, int) (contender, error){
		"floor": func(ctx context.Context, dir string, n int) (contender, error) { return startFloor(ctx, dir, n) },
		"rsync": func(ctx context.Context, dir string, n int) (contender, error) { return startRsync(ctx, dir, n) },
	}
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := start(t.Context(), t.TempDir(), 2)
			if errors.Is(err, errNoRsync) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := c.Script(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Package(t.Context(), rel); err != nil {
				t.Fatal(err)
			}
			if err := rel.verify(c.Installed(), 2); err != nil {
				t.Error(err)
			}
			if err := rel.verify(c.Installed(), 3); err == nil {
				t.Error("a missing installation was not noticed")
			}
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	var rep report
	for _, took := range []time.Duration{30, 10, 20} {
		rep.add("script", 10, "floor", took*time.Millisecond)
		rep.add("script", 10, "slipway", 2*took*time.Millisecond)
	}
	rep.facts = []fact{{"idle agent", "12 MB", "25 MB"}}
	got := rep.markdown(options{agents: []int{10}, rounds: 3})
	for _, want := range []string{
		"| script | 10 | floor | 0.020 (0.010–0.030) | 1.00 |\n",
		"| script | 10 | slipway | 0.040 (0.020–0.060) | 2.00 |\n",
		"| idle agent | 12 MB | 25 MB |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
}

func TestSpliceReplacesOnlyItsPart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "performance.md")
	begin, end := "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
	before := "head\n" + begin + "old\n" + end + "tail\n"
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := splice(file, "bench", "new\n"); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "head\n" + begin + "new\n" + end + "tail\n"; string(after) != want {
		t.Errorf("file is %q, want %q", after, want)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := splice(file, "bench", "new\n"); err == nil {
		t.Error("a file without the marks was accepted")
	}
}
