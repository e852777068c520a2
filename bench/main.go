// Command bench sets Slipway beside a floor (the least a roll-out can do,
// bench/floor) and beside rsync over ssh, on this machine, in one run, the
// contenders taking turns. Everybody's agents are connected before a clock
// starts. It prints medians and, because seconds depend on the machine,
// ratios to the floor. With -only scale it measures what a server spends on
// more and more machines: agents as processes, and fleets of simulated ones
// (bench/fleet). Slipway is always the built binary, driven through its public
// API; of the product only the simulated agents' protocol is imported.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// contender is one way to reach n machines, all connected.
type contender interface {
	Name() string
	// Script runs the trivial script on every machine and returns when all have
	// said how it ended.
	Script(ctx context.Context) error
	// Prepare hands the release over before the clock starts (upload, release).
	Prepare(ctx context.Context, r release) error
	// Package installs and configures the release on every machine, and runs its script.
	Package(ctx context.Context, r release) error
	// Installed is the folder below which the machines' installations stand.
	Installed() string
	Close() error
}

type options struct {
	slipway string
	agents  []int
	rounds  int
	write   string
	keep    bool
	only    string

	processes int   // real agents of the figures of scale
	sizes     []int // of the simulated fleets
}

func main() {
	log.SetFlags(0)
	var o options
	var agents, sizes string
	flag.StringVar(&o.slipway, "slipway", "bin/slipway", "the built binary; empty leaves Slipway out")
	flag.StringVar(&agents, "agents", "10,50", "numbers of agents, comma-separated")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the table shows medians")
	flag.StringVar(&o.write, "write", "", "file whose part between the marks is written anew: docs/performance.md has that of compare, docs/reliability.md that of scale")
	flag.StringVar(&o.only, "only", "", "the part to run: compare (beside the floor and rsync) or scale; empty runs both")
	flag.IntVar(&o.processes, "processes", 100, "agents as processes, of scale; 0 leaves them out")
	flag.StringVar(&sizes, "sizes", "10,100,1000,10000", "numbers of simulated agents, of scale, growing")
	flag.BoolVar(&o.keep, "keep", false, "keep the working folder")
	flag.Parse()
	o.agents, o.sizes = numbers("agents", agents), numbers("sizes", sizes)
	if !slices.Contains([]string{"", "compare", "scale"}, o.only) {
		log.Fatalf("bench: -only %q: compare or scale", o.only)
	}
	// The end of the context ends every child process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		log.Fatal("bench: ", err)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		log.Print("working folder: ", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	if o.only != "scale" {
		if err := compare(ctx, o, dir); err != nil {
			return err
		}
	}
	if o.only == "compare" {
		return nil
	}
	r, err := scale(ctx, o, filepath.Join(dir, "scale"))
	if len(r.costs) == 0 {
		return err
	}
	// What was measured before something went wrong is printed all the same.
	return errors.Join(publish(o, "scale", r.markdown()), err)
}

// compare sets Slipway beside the others.
func compare(ctx context.Context, o options, dir string) error {
	rep := report{load: load()}
	for _, n := range o.agents {
		if err := measure(ctx, &rep, o, filepath.Join(dir, strconv.Itoa(n)), n); err != nil {
			return fmt.Errorf("%d agents: %w", n, err)
		}
	}
	return publish(o, "bench", rep.markdown(o))
}

// publish prints a part's report and writes it into the file that is to have
// it.
func publish(o options, part, text string) error {
	fmt.Print(text)
	if o.write == "" {
		return nil
	}
	return splice(o.write, part, text)
}

// numbers reads a flag's list.
func numbers(name, list string) (all []int) {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			log.Fatalf("bench: -%s %q: a list of positive numbers, such as 10,50", name, list)
		}
		all = append(all, n)
	}
	return all
}

// measure lets the contenders take turns with n agents each.
func measure(ctx context.Context, rep *report, o options, dir string, n int) (err error) {
	contenders, err := start(ctx, rep, o, dir, n)
	defer func() {
		for _, c := range contenders {
			err = errors.Join(err, c.Close())
		}
	}()
	if err != nil {
		return err
	}
	for round := range o.rounds {
		for _, c := range contenders {
			took, err := timed(func() error { return c.Script(ctx) })
			if err != nil {
				return fmt.Errorf("%s: script: %w", c.Name(), err)
			}
			rep.add("script", n, c.Name(), took)
		}
		rel, err := makeRelease(filepath.Join(dir, "releases"), round)
		if err != nil {
			return fmt.Errorf("make release: %w", err)
		}
		for _, c := range contenders {
			if err := c.Prepare(ctx, rel); err != nil {
				return fmt.Errorf("%s: prepare %s: %w", c.Name(), rel.Version, err)
			}
			// The others' dirty pages are not this one's to write.
			if err := exec.CommandContext(ctx, "sync").Run(); err != nil {
				return fmt.Errorf("sync: %w", err)
			}
			took, err := timed(func() error { return c.Package(ctx, rel) })
			if err == nil {
				err = rel.verify(c.Installed(), n)
			}
			if err != nil {
				return fmt.Errorf("%s: package %s: %w", c.Name(), rel.Version, err)
			}
			rep.add("package", n, c.Name(), took)
		}
		log.Printf("%d agents, round %d of %d done", n, round+1, o.rounds)
	}
	for _, c := range contenders {
		if counter, ok := c.(interface {
			Facts(ctx context.Context) ([]fact, error)
		}); ok {
			facts, err := counter.Facts(ctx)
			if err != nil {
				return fmt.Errorf("%s: facts: %w", c.Name(), err)
			}
			for _, f := range facts {
				if !slices.ContainsFunc(rep.facts, func(g fact) bool { return g.name == f.name }) {
					rep.facts = append(rep.facts, f)
				}
			}
		}
	}
	return nil
}

// start connects everybody. A contender that this machine lacks the programs
// for is named in the report and left out.
func start(ctx context.Context, rep *report, o options, dir string, n int) ([]contender, error) {
	var all []contender
	folder := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"floor", "rsync", "slipway", "releases"} {
		if err := os.MkdirAll(folder(name), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := startFloor(ctx, folder("floor"), n)
	if err != nil {
		return nil, fmt.Errorf("start floor: %w", err)
	}
	all = append(all, f)
	r, err := startRsync(ctx, folder("rsync"), n)
	switch {
	case errors.Is(err, errNoRsync):
		rep.note("rsync over ssh: " + err.Error())
	case err != nil:
		return all, fmt.Errorf("start rsync: %w", err)
	default:
		all = append(all, r)
	}
	if o.slipway == "" {
		return all, nil
	}
	s, err := startSlipway(ctx, o.slipway, folder("slipway"), n)
	if s != nil {
		all = append(all, s)
	}
	if err != nil {
		return all, fmt.Errorf("start slipway: %w", err)
	}
	return all, nil
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}
