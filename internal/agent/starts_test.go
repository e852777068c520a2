package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
)

// Fault 32: a disk that was set back counts its starts again, and gives them
// other names; a start that was killed while it was counted changes no name
// that anybody has heard.
func TestStartsHaveNames(t *testing.T) {
	t.Parallel()
	home, random := t.TempDir(), 0.0
	start := func() (int64, []string) {
		t.Helper()
		random += 1.0 / 1024
		count, names, err := agent.CountStart(home, func() float64 { return random })
		if err != nil {
			t.Fatal(err)
		}
		return count, names
	}
	files := func() map[string][]byte {
		t.Helper()
		all := map[string][]byte{}
		for _, name := range []string{"incarnation", "starts"} {
			text, err := os.ReadFile(filepath.Join(home, name))
			if err != nil {
				t.Fatal(err)
			}
			all[name] = text
		}
		return all
	}
	restore := func(all map[string][]byte) {
		t.Helper()
		for name, text := range all {
			if err := os.WriteFile(filepath.Join(home, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, first := start()
	copied := files()
	count, second := start()
	if count != 2 || len(second) != 2 || second[1] != first[0] || second[0] == first[0] {
		t.Fatalf("start %d: %q after %q", count, second, first)
	}
	heard := files()
	restore(copied)
	if count, again := start(); count != 2 || again[1] != first[0] || again[0] == second[0] {
		t.Errorf("start %d of a restored disk: %q beside %q", count, again, second)
	}
	restore(heard)
	_, lost := start()
	torn := files()
	torn["incarnation"] = heard["incarnation"]
	restore(torn)
	if count, next := start(); count != 3 || !slices.Equal(next[1:], second) || next[0] == lost[0] {
		t.Errorf("start %d after one that was not counted: %q, want it before %q", count, next, second)
	}
	restore(map[string][]byte{"incarnation": []byte("9\n")}) // a release that gives no names
	if count, names := start(); count != 10 || len(names) != 1 {
		t.Errorf("start %d after some without names: %q", count, names)
	}
	seen := map[string]bool{}
	for range 100 {
		_, names := start()
		if len(names) > 64 {
			t.Fatalf("%d names", len(names))
		}
		seen[names[0]] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d names for 100 starts", len(seen))
	}
}
