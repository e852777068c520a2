package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Kinds are the faults that a run injects, each counted.
var Kinds = []string{
	"agent killed", "agent killed at replace", "agent killed at sync", "agent killed at synced", "agent killed at write",
	"answer lost", "cancel", "clock set", "dial fails", "disk error at replace", "disk error at sync", "disk error at synced", "disk error at write",
	"half-open link", "link cut", "machine disabled", "machine joins", "machine restored", "machine retagged", "machine vanishes", "machine's disk full", "output sent again", "partition",
	"power lost", "request copied", "request delayed", "request held up", "request waits for another", "request lost", "server drained", "server killed", "server killed after a commit",
	"server killed after a log commit", "server killed before a commit", "server killed before a log commit", "server killed in its recovery", "server paused", "server paused before a commit",
	"server's disk full", "shim dies before its marker", "shim killed", "snapshot", "start refused",
}

// weigh draws how often each kind of fault happens in this run: some never,
// some often. Runs that are all alike find less.
func (w *world) weigh() {
	w.weight = map[string]int{}
	for _, kind := range Kinds {
		w.weight[kind] = [...]int{0, 1, 1, 1, 2, 4}[w.rng.IntN(6)]
	}
}

// chance is true about once in n times while faults are injected, and counts the
// fault then. A fault that is left out takes its draw from the seed all the same.
func (w *world) chance(fault string, n int) bool {
	weight, known := w.weight[fault]
	if !known {
		panic(fmt.Sprintf("sim: %q is not in the list of faults", fault))
	}
	if w.calm || weight == 0 || w.rng.IntN(n) >= weight || slices.Contains(w.without, fault) {
		return false
	}
	w.faults[fault]++
	w.say("fault: %s", fault)
	return true
}

// Shrink leaves out of a failing run every kind of fault that it does not need
// to violate the same invariant, and returns the last run that did.
func (g *Ground) Shrink(failed *Report) (*Report, error) {
	invariant, _, _ := strings.Cut(failed.Violations[0], ":")
	for _, kind := range Kinds {
		if failed.Faults[kind] == 0 {
			continue
		}
		r, err := g.Run(failed.Seed, append(slices.Clone(failed.Without), kind)...)
		if err != nil {
			return failed, err
		}
		if len(r.Violations) > 0 && strings.HasPrefix(r.Violations[0], invariant+":") {
			failed = r
		}
	}
	return failed, nil
}
