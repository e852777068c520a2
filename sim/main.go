// Command sim runs the orchestration under simulated faults, one run per seed
// (internal/sim), and ends with one JSON object on its last line.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipwayhq/slipway/internal/sim"
)

// total is the closing line.
type total struct {
	Seeds      int            `json:"seeds"`
	Events     int            `json:"events"`
	Violations int            `json:"violations"`
	Rollouts   int            `json:"rollouts"`
	Succeeded  int            `json:"succeeded"`
	Unknown    map[string]int `json:"unknown"`
	Hours      float64        `json:"simulatedHours"`
	PerSecond  int            `json:"eventsPerSecond"`
	Injections map[string]int `json:"injections"`

	out    io.Writer
	wanted int
	began  time.Time
	said   time.Duration // how far the last line of progress came
	mu     sync.Mutex
	failed []*sim.Report
}

func main() {
	seeds := flag.Int("seeds", 100, "how many seeds")
	from := flag.Uint64("from", 1, "the first seed")
	history := flag.Bool("history", false, "print the history of each run")
	without := flag.String("without", "", "kinds of faults to leave out, comma-separated")
	flag.Parse()
	debug.SetGCPercent(400)
	t := &total{out: os.Stdout, Injections: map[string]int{}, Unknown: map[string]int{}}
	if err := t.run(*seeds, *from, *history, strings.FieldsFunc(*without, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1) //nolint:forbidigo // this is a main program
	}
}

func (t *total) run(seeds int, from uint64, history bool, without []string) error {
	scratch, err := sim.Scratch()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	began := time.Now() //nolint:forbidigo // how fast the simulation is, in real time
	t.began, t.wanted = began, seeds
	if err := t.all(seeds, from, history, without, scratch); err != nil {
		return err
	}
	t.PerSecond = int(float64(t.Events) / time.Since(began).Seconds()) //nolint:forbidigo // as above
	slices.SortFunc(t.failed, func(a, b *sim.Report) int { return int(a.Seed) - int(b.Seed) })
	if len(t.failed) > 0 {
		t.explain(t.failed[0], scratch)
	}
	closing, err := json.Marshal(t)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, string(closing))
	return t.verdict(without)
}

// all runs the seeds, as many at once as there are processors.
func (t *total) all(seeds int, from uint64, history bool, without []string, scratch string) error {
	var next atomic.Uint64
	var group errgroup.Group
	for i := range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			g, err := ground(scratch, fmt.Sprint("ground-", i))
			if err != nil {
				return err
			}
			for {
				n := next.Add(1)
				if n > uint64(seeds) {
					return g.Close()
				}
				if err := t.one(g, from+n-1, history, without); err != nil {
					return errors.Join(err, g.Close())
				}
			}
		})
	}
	return group.Wait()
}

func ground(scratch, name string) (*sim.Ground, error) {
	folder := filepath.Join(scratch, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	return sim.NewGround(folder)
}

func (t *total) one(g *sim.Ground, seed uint64, history bool, without []string) error {
	r, err := g.Run(seed, without...)
	if err != nil {
		return fmt.Errorf("seed %d: %w", seed, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if history {
		fmt.Fprintf(t.out, "seed %d\n%s\n", seed, strings.Join(r.History, "\n"))
	}
	t.Seeds++
	t.progress()
	t.Events, t.Rollouts, t.Succeeded, t.Hours = t.Events+r.Events, t.Rollouts+r.Rollouts, t.Succeeded+r.Succeeded, t.Hours+r.Seconds/3600
	for cause, n := range r.Unknown {
		t.Unknown[cause] += n
	}
	for kind, n := range r.Faults {
		t.Injections[kind] += n
	}
	if len(r.Violations) > 0 {
		t.Violations += len(r.Violations)
		t.failed = append(t.failed, r)
		fmt.Fprintf(t.out, "seed %d: %s\n", seed, strings.Join(r.Violations, "; "))
	}
	return nil
}

// progress says every few seconds how far it is.
func (t *total) progress() {
	if passed := time.Since(t.began); passed-t.said >= 5*time.Second { //nolint:forbidigo // in real time
		t.said = passed
		fmt.Fprintf(os.Stderr, "%d of %d seeds, %d events (%.0f a second), %d violations\n",
			t.Seeds, t.wanted, t.Events, float64(t.Events)/passed.Seconds(), t.Violations)
	}
}

// explain shows the shortest way that was found to the first violation.
func (t *total) explain(r *sim.Report, scratch string) {
	small := r
	g, err := ground(scratch, "shrink")
	if err == nil {
		small, err = g.Shrink(r)
		err = errors.Join(err, g.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
	}
	fmt.Fprintf(t.out, "\nthe history of seed %d:\n%s\n\nagain with: make sim SIMFLAGS='-seeds 1 -from %d -history -without %q'\n\n",
		small.Seed, strings.Join(small.History, "\n"), small.Seed, strings.Join(small.Without, ","))
}

// verdict fails a run that found something, or that proves too little.
func (t *total) verdict(without []string) error {
	if t.Violations > 0 {
		return fmt.Errorf("%d violations", t.Violations)
	}
	for _, kind := range sim.Kinds {
		if t.Seeds >= 500 && t.Injections[kind] == 0 && !slices.Contains(without, kind) {
			return fmt.Errorf("no run had the fault %q", kind)
		}
	}
	if t.Seeds >= 500 && 2*t.Succeeded < t.Rollouts {
		return fmt.Errorf("%d of %d rollouts succeeded: less than half", t.Succeeded, t.Rollouts)
	}
	return nil
}
