// Command chaos runs the built server and agents, kills them, stops them, cuts
// their links and lets them die at the points of internal/fail, and then
// compares what the server says with what the scripts themselves have written
// down (docs/reliability.md, "Chaos"). Its last line is one JSON object; it
// fails when a script started twice, a green was not true, a log byte was lost
// or a task did not end, and says where it keeps what it saw.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

type options struct {
	slipway  string
	kills    int
	seed     uint64
	forms    string
	postgres string
	agents   int
	keep     bool
	verbose  bool
}

var errEnough = errors.New("enough")

func main() {
	var o options
	flag.StringVar(&o.slipway, "slipway", "bin/slipway-chaos", "the program, built with the tag chaos")
	flag.IntVar(&o.kills, "kills", 300, "kills and pauses, over all forms")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of the plan of injections; 0 takes one")
	flag.StringVar(&o.forms, "forms", "sqlite,postgres", "forms of the server, comma-separated")
	flag.StringVar(&o.postgres, "postgres", os.Getenv("SLIPWAY_TEST_POSTGRES"), "address of a PostgreSQL, for the form postgres")
	flag.IntVar(&o.agents, "agents", 20, "agents")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder of a run that was sound")
	flag.BoolVar(&o.verbose, "v", false, "print each injection")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := all(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// all runs the forms one after the other and prints the closing line.
func all(ctx context.Context, o options) error {
	var err error
	if o.slipway, err = filepath.Abs(o.slipway); err != nil {
		return err
	}
	if o.seed == 0 {
		var seed [8]byte
		_, _ = rand.Read(seed[:])
		o.seed = uint64(binary.LittleEndian.Uint32(seed[:]))
	}
	dir, err := os.MkdirTemp("", "slipway-chaos-")
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "chaos: seed %d, folder %s\n", o.seed, dir)
	began := time.Now()
	total := newTally()
	forms := strings.Split(o.forms, ",")
	for i, form := range forms {
		r := &run{
			o: o, form: form, dir: filepath.Join(dir, form), key: "API-" + rand.Text(), rng: newSource(o.seed, uint64(i)),
			budget: (o.kills + len(forms) - 1) / len(forms), began: time.Now(), out: os.Stderr,
		}
		r.t.tally = newTally()
		failed := r.shaped(ctx)
		killLeftovers(r.dir)
		total.add(r.t.tally)
		if err := errors.Join(err, failed); err != nil {
			return fmt.Errorf("%s: %w; see %s", form, err, r.dir)
		}
	}
	total.shares(o.kills)
	text, err := json.Marshal(total.line(o.seed, time.Since(began)))
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if len(total.Violations) > 0 {
		return fmt.Errorf("%d violations, the first: %s\nall that was seen is in %s; the plan again: -seed %d", len(total.Violations), total.Violations[0], dir, o.seed)
	}
	if o.keep {
		return nil
	}
	return os.RemoveAll(dir)
}

// shaped makes what the form needs beside the servers, and runs it.
func (r *run) shaped(ctx context.Context) (err error) {
	switch r.form {
	case "sqlite":
		r.shape = single{}
	case "postgres":
		if r.shape, err = newSeveral(ctx, r.o.postgres); err != nil {
			return err
		}
	default:
		return fmt.Errorf("there is no form %q; name sqlite or postgres", r.form)
	}
	return errors.Join(r.run(ctx), r.shape.close())
}

// run is one form from its first start to the last check.
func (r *run) run(ctx context.Context) error {
	r.asked, r.hits, r.projectOf = map[string]bool{}, map[failName]int{}, map[string]*project{}
	r.takeovers.lost = map[string]*lostNode{}
	var keeping sync.WaitGroup
	keepCtx, end := context.WithCancelCause(ctx)
	defer keeping.Wait()
	defer end(errEnough)
	if err := r.setUp(keepCtx, &keeping); err != nil {
		return err
	}
	r.log("progress %d machines are healthy", len(r.agents))
	workCtx, rest := context.WithCancelCause(ctx)
	defer rest(errEnough)
	var working sync.WaitGroup
	for _, p := range r.projects {
		working.Go(func() { r.order(workCtx, p) })
	}
	db, err := r.shape.database(r)
	if err != nil {
		return err
	}
	if r.shape.nodes() > 1 {
		working.Go(func() { r.watchOwners(workCtx, db) })
	}
	limited, stop := context.WithTimeoutCause(ctx, 3*time.Minute+time.Duration(r.budget)*5*time.Second, errSlow)
	r.inject(limited)
	if context.Cause(limited) == errSlow { //nolint:errorlint // this very one
		r.violation("the injections took too long")
	}
	stop()
	rest(errEnough)
	working.Wait()
	r.calm()
	r.t.change(func(t *tally) { t.Takeovers = r.takeovers.times })
	if err := db.Close(); err != nil {
		return err
	}
	tasks, err := r.settle(ctx, 4*time.Minute)
	if err != nil {
		return err
	}
	for p, list := range tasks {
		for i := range list {
			r.projectOf[list[i].ID] = p
		}
	}
	return r.check(ctx, tasks)
}
