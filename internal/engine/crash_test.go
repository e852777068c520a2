package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// dying is the store as a process sees it that dies at one of its commits:
// right before it, so that it is rolled back, or right after it. From then on
// nothing of the process reaches the store.
type dying struct {
	*store.DB
	at    int // of its commits, counted from 0; -1: it lives
	after bool
	made  int
	dead  bool
	// committed, when set, looks at the store after each commit.
	committed func()
}

var errDied = errors.New("the process has died")

func (d *dying) Read(ctx context.Context, f func(*store.Tx) error) error {
	if d.dead {
		return errDied
	}
	return d.DB.Read(ctx, f)
}

func (d *dying) Write(ctx context.Context, f func(*store.Tx) error) error {
	if d.dead {
		return errDied
	}
	if d.made == d.at && !d.after {
		d.dead = true
		return d.DB.Write(ctx, func(tx *store.Tx) error { return errors.Join(f(tx), errDied) })
	}
	if err := d.DB.Write(ctx, f); err != nil {
		return err
	}
	d.made++
	d.dead = d.made-1 == d.at
	if d.committed != nil {
		d.committed()
	}
	if d.dead {
		return errDied
	}
	return nil
}

// process begins an engine that only the test drives.
func (n *node) process(db engine.Database) (*engine.Engine, error) {
	n.runs++
	e := engine.New(engine.Config{DB: db, Node: "node-1", Logger: slog.New(slog.DiscardHandler), Now: n.now})
	return e, e.Begin(context.Background())
}

// lives is a process that does not die.
func (n *node) lives() *engine.Engine {
	n.t.Helper()
	e, err := n.process(n.db)
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

func (n *node) round(e *engine.Engine) {
	n.t.Helper()
	if err := e.Round(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) view(id string) (view *store.RolloutView) {
	n.t.Helper()
	n.read(func(tx *store.Tx) (err error) {
		view, err = store.ViewRollout(tx, id)
		return err
	})
	return view
}

func (n *node) task(id string) (task *store.Task) {
	n.t.Helper()
	n.read(func(tx *store.Tx) (err error) {
		task, err = store.GetTask(tx, id)
		return err
	})
	return task
}

func (n *node) deliveries(machine string) (list []store.Delivery) {
	n.t.Helper()
	n.read(func(tx *store.Tx) (err error) {
		list, err = store.Deliveries(tx, machine, 100)
		return err
	})
	return list
}

// scripts counts the scripts that machines started, by attempt.
type scripts map[string]int

// serve does what the agents of the machines do with all that waits for them:
// scripts end at once, and all succeed.
func (n *node) serve(s scripts, machines ...string) (served bool) {
	n.t.Helper()
	for _, machine := range machines {
		for _, d := range n.deliveries(machine) {
			served = true
			n.write(func(tx *store.Tx) error {
				sent := false
				var err error
				if d.Kind == rollout.StartAttempt {
					sent, err = store.MarkSent(tx, d.Attempt)
				}
				if err = errors.Join(err, store.Delivered(tx, &d)); err != nil || !sent {
					return err
				}
				s[d.Attempt]++
				return store.Post(tx, d.Rollout, "started/"+d.Attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Started, Attempt: d.Attempt}, nil)
			})
			if d.Kind == rollout.StartAttempt {
				n.end(d.Attempt, rollout.OutcomeSucceeded)
			}
		}
	}
	return served
}

// starts are the attempts that were started, each with how often.
func (s scripts) String() string {
	var list []string
	for attempt, times := range s {
		_, place, _ := strings.Cut(attempt, ".")
		list = append(list, fmt.Sprintf("%s×%d", place, times))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// ending is everything that must be the same however often a process died.
func (n *node) ending(id string) string {
	n.t.Helper()
	view, task := n.view(id), n.task(id)
	var text strings.Builder
	fmt.Fprintln(&text, task.State, task.Error, view.Row.State, view.Row.Failures, view.Row.Warnings, view.Row.OpenCells, view.Row.Tracking)
	for _, s := range view.Steps {
		fmt.Fprintln(&text, "step", s.Index, s.State, s.Scope, s.Done, s.Active)
	}
	for _, m := range view.Members {
		fmt.Fprintln(&text, "member", m.ID, m.Ord, m.State, m.Failed)
	}
	for _, c := range view.Cells {
		fmt.Fprintln(&text, "cell", c.CellKey, c.State, strings.TrimPrefix(c.Attempt, id))
	}
	for _, a := range view.Attempts {
		fmt.Fprintln(&text, "attempt", strings.TrimPrefix(a.ID, id), a.Outcome, a.SentAt != 0)
	}
	return text.String()
}

// twoSteps is a plan of a step on all machines and one after it.
func twoSteps(p *rollout.Plan) {
	second := p.Steps[0]
	second.ID, second.Name, second.Number = "t", "verify", 2
	p.Steps = append(p.Steps, second)
}

// finish drives the task to its end with a process that lives.
func (n *node) finish(id string, e *engine.Engine, s scripts, machines ...string) {
	n.t.Helper()
	for range 20 {
		n.round(e)
		if !n.serve(s, machines...) && n.task(id).State.Completed() {
			return
		}
	}
	n.t.Fatalf("%s does not end: %+v", id, n.task(id))
}

// fault 1: killed before the claim is committed, the task is queued as if
// nothing had been; the next start claims it in its first round, not only after
// some time, and it runs once.
func TestDiesBeforeTheClaimIsCommitted(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	db := &dying{DB: n.db, at: 1} // 0 is the start of the node
	e, err := n.process(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Round(t.Context()); !errors.Is(err, errDied) || !db.dead {
		t.Fatalf("it did not die at the claim: %v", err)
	}
	view, task := n.view(id), n.task(id)
	if task.State != store.TaskQueued || view.Row.State != rollout.Queued || len(view.Members)+len(view.Attempts)+len(n.deliveries(web)) != 0 {
		t.Errorf("task %+v, rollout %+v", task, view)
	}
	s := scripts{}
	e = n.lives()
	n.round(e)
	if state := n.task(id).State; state != store.TaskExecuting {
		t.Errorf("after the first round of the next start the task is %s", state)
	}
	n.finish(id, e, s, web)
	if got, want := s.String(), "0.0."+web+".1×1"; got != want || n.task(id).State != store.TaskSuccess {
		t.Errorf("%s with the starts %s, want %s", n.task(id).State, got, want)
	}
}

// fault 39: the lock of project, environment and tenant is taken in the
// transaction that sets the task to Executing: dead before that commit, neither
// is there, and dead after it, both are.
func TestDiesWithTheLock(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		n := newNode(t)
		n.machine("web1", "web")
		first := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
		e, err := n.process(&dying{DB: n.db, at: 1, after: after})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Round(t.Context()); !errors.Is(err, errDied) {
			t.Fatalf("it did not die: %v", err)
		}
		if !after {
			n.cancelTask(first) // queued: a lock of its own would stay for ever
		}
		second := n.deploy(rollout.Deploy, "Projects-1", "Releases-2", "web")
		n.round(n.lives())
		task := n.task(second)
		if !after && task.State != store.TaskExecuting {
			t.Errorf("the lock was taken without the task: %+v", task)
		}
		if after && (task.State != store.TaskQueued || !strings.HasPrefix(task.WaitsFor, first+" deploys the same project to the same environment since ") || n.task(first).State != store.TaskExecuting) {
			t.Errorf("the task runs without its lock: %+v", task)
		}
	}
}

// fault 2: killed after the claim, before the next step has an attempt: the
// next owner has a higher epoch and goes on from the last committed step, and
// no script is started again.
func TestDiesBeforeTheAttemptIsMade(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	id := n.deployWith("Projects-1", twoSteps)
	db, s := &dying{DB: n.db, at: -1}, scripts{}
	e, err := n.process(db)
	if err != nil {
		t.Fatal(err)
	}
	n.round(e)
	before := n.deliveries(web)[0].Epoch
	n.serve(s, web)
	db.at = db.made // the turn that takes the end of the first step in
	if err := e.Round(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("it did not die: %v", err)
	}
	if view := n.view(id); len(view.Attempts) != 1 || view.Steps[0].State != rollout.StepOpen {
		t.Fatalf("the turn was committed: %+v", view)
	}
	e = n.lives()
	n.round(e)
	for _, d := range n.deliveries(web) {
		if d.Epoch != before+1 {
			t.Errorf("%s %s has epoch %d, was %d", d.Kind, d.Attempt, d.Epoch, before)
		}
	}
	n.finish(id, e, s, web)
	if got, want := s.String(), fmt.Sprintf("0.0.%s.1×1 1.0.%[1]s.1×1", web); got != want || n.task(id).State != store.TaskSuccess {
		t.Errorf("%s with the starts %s, want %s", n.task(id).State, got, want)
	}
}

// fault 6: the end of a step and the beginning of the next are one commit:
// after none of them is there a rollout that runs and has no open step, or a
// task that has not ended with it.
func TestNoCommitLiesBetweenSteps(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	machines := []string{n.machine("web1", "web"), n.machine("web22", "web")}
	id := n.deployWith("Projects-1", func(p *rollout.Plan) { twoSteps(p); p.Steps[0].Window.Number = 1 })
	db, s := &dying{DB: n.db, at: -1}, scripts{}
	var seen []string
	db.committed = func() {
		view, task := n.view(id), n.task(id)
		open := 0
		state := string(view.Row.State)
		for _, step := range view.Steps {
			if step.State == rollout.StepOpen {
				open++
				if step.Active == 0 {
					t.Errorf("step %d is open and works on no machine: %+v", step.Index, view.Cells)
				}
			}
			state += " " + string(step.State)
		}
		if (view.Row.State == rollout.Running) != (open == 1) || view.Row.State.Terminal() != task.State.Completed() {
			t.Errorf("after commit %d: %s, %d open steps, task %s", db.made, state, open, task.State)
		}
		seen = append(seen, state)
	}
	e, err := n.process(db)
	if err != nil {
		t.Fatal(err)
	}
	n.finish(id, e, s, machines...)
	want := []string{"Queued", "Running Open Pending", "Running Succeeded Open", "Succeeded Succeeded Succeeded"}
	if got := slices.Compact(seen); !slices.Equal(got, want) {
		t.Errorf("the store was seen as %q, want %q", got, want)
	}
}

// faults 1, 2, 5 and 6 at every commit of a rollout, right before and right
// after it: whichever the process dies at, the end is the same, and every
// script started once.
func TestDiesAtAnyCommit(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, at int, after bool) (ending, started string, commits int) {
		t.Helper()
		n := newNode(t)
		machines := []string{n.machine("web1", "web"), n.machine("web22", "web")}
		id := n.deployWith("Projects-1", func(p *rollout.Plan) { twoSteps(p); p.Steps[0].Window.Number = 1 })
		db, s := &dying{DB: n.db, at: at, after: after}, scripts{}
		e, err := n.process(db)
		for range 20 {
			if err == nil {
				err = e.Round(t.Context())
			}
			if db.dead {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !n.serve(s, machines...) && n.task(id).State.Completed() {
				break
			}
		}
		n.finish(id, n.lives(), s, machines...)
		return n.ending(id), s.String(), db.made
	}
	ending, started, commits := run(t, -1, false)
	if !strings.HasPrefix(ending, "Success ") || commits != 5 { // the node, the claim, and a turn for each report
		t.Fatalf("undisturbed, %d commits: %s", commits, ending)
	}
	for at := range commits {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("commit %d, after %v", at, after), func(t *testing.T) {
				t.Parallel()
				if got, starts, _ := run(t, at, after); got != ending || starts != started {
					t.Errorf("it ended\n%swith the starts %s, undisturbed\n%swith %s", got, starts, ending, started)
				}
			})
		}
	}
}

// fault 54: killed in its recovery ten times in a row, at the take-over and at
// the turns after it, the end is the one of a server that never died (I14), and
// a task that came meanwhile gets its turn.
func TestDiesInRecoveryTenTimes(t *testing.T) {
	t.Parallel()
	run := func(deaths int) (ending, other, started string) {
		n := newNode(t)
		web, db := n.machine("web1", "web"), n.machine("db22", "db")
		id := n.deployWith("Projects-1", twoSteps)
		s := scripts{}
		n.round(n.lives())
		n.serve(s, web) // it has ended on the machine; nobody has folded that
		second := n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "db")
		for i := range deaths {
			mortal := &dying{DB: n.db, at: i / 2 % 2, after: i%2 == 1}
			e, err := n.process(mortal)
			if err == nil {
				err = e.Round(t.Context())
			}
			if !errors.Is(err, errDied) {
				t.Fatalf("recovery %d did not die: %v", i, err)
			}
		}
		e := n.lives()
		n.finish(id, e, s, web, db)
		n.finish(second, e, s, web, db)
		return n.ending(id), n.ending(second), s.String()
	}
	ending, other, started := run(0)
	if !strings.HasPrefix(ending, "Success ") || !strings.HasPrefix(other, "Success ") {
		t.Fatalf("undisturbed: %s%s", ending, other)
	}
	if gotEnding, gotOther, gotStarted := run(10); gotEnding != ending || gotOther != other || gotStarted != started {
		t.Errorf("after ten deaths:\n%s%s%s\nundisturbed:\n%s%s%s", gotEnding, gotOther, gotStarted, ending, other, started)
	}
}
