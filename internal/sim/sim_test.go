package sim_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/sim"
)

func newGround(t *testing.T) *sim.Ground {
	t.Helper()
	folder, err := sim.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	g, err := sim.NewGround(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func run(t *testing.T, g *sim.Ground, seed uint64, without ...string) *sim.Report {
	t.Helper()
	r, err := g.Run(seed, without...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// few is fewer in a short run, as under the race detector.
func few(seeds uint64) uint64 {
	if testing.Short() {
		return seeds / 6
	}
	return seeds
}

// Some seeds of each build; `make sim` runs thousands.
func TestSeeds(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for seed := uint64(1); seed <= few(60); seed++ {
		if r := run(t, g, seed); len(r.Violations) > 0 {
			t.Errorf("seed %d: %s\n%s", seed, strings.Join(r.Violations, "\n"), strings.Join(r.History, "\n"))
		}
	}
}

// One seed is one run, bit for bit, whatever ran before it.
func TestTheSameSeedIsTheSameRun(t *testing.T) {
	t.Parallel()
	used, fresh := newGround(t), newGround(t)
	run(t, used, 999)
	for seed := uint64(1000); seed < 1000+few(12); seed++ {
		a, b := run(t, used, seed), run(t, fresh, seed)
		if a.Fingerprint != b.Fingerprint {
			for i := range a.History {
				if i >= len(b.History) || a.History[i] != b.History[i] {
					t.Fatalf("seed %d: the runs part at line %d: %q", seed, i, a.History[max(0, i-3):i+1])
				}
			}
			t.Fatalf("seed %d: two runs", seed)
		}
	}
}

// Seeds that have found something, each with the commit of the simulation that
// they did it on. The draws of a seed change with the simulation: what it found
// has a test of its own in the product; the seed stays here because it led
// somewhere.
func TestRegressions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/regressions.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Seed          uint64
		Commit, Found string
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		t.Fatalf("%d seeds: %v", len(list), err)
	}
	g := newGround(t)
	for _, was := range list {
		if r := run(t, g, was.Seed); len(r.Violations) > 0 {
			t.Errorf("seed %d (%s: %s): %s", was.Seed, was.Commit, was.Found, strings.Join(r.Violations, "\n"))
		}
	}
}
