package engine_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// notes are what the task's log says of the rollout as a whole.
func (n *node) notes(id string) (texts []string) {
	n.t.Helper()
	for _, note := range n.view(id).Notes {
		texts = append(texts, note.Text)
	}
	return texts
}

func (n *node) cancelTask(id string) {
	n.t.Helper()
	n.write(func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
}

const (
	canceledFirst = "Canceled by ann: running scripts are ended."
	endedFirst    = "ann asked to cancel when it had ended already: it stays Succeeded."
)

// fault 37: a cancel and the end of the last script race. Whichever is stored
// first wins, the log says which, and what comes later changes nothing (I7).
func TestACancelRacesTheEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		cancelFirst   bool
		apart         bool // each in a turn of its own
		state         store.TaskState
		says, saysNot string
	}{
		{"cancel, then the end, in one turn", true, false, store.TaskCanceled, canceledFirst, endedFirst},
		{"cancel, then the end, in two turns", true, true, store.TaskCanceled, canceledFirst, endedFirst},
		{"the end, then a cancel, in one turn", false, false, store.TaskSuccess, endedFirst, canceledFirst},
		{"the end, then a cancel, in two turns", false, true, store.TaskSuccess, "", canceledFirst},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			web := n.machine("web1", "web")
			e := n.lives()
			id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
			n.round(e)
			attempt := n.awaitStart(web)
			events := []func(){
				func() { n.cancelTask(id) },
				func() { n.end(attempt, rollout.OutcomeSucceeded) },
			}
			if !tc.cancelFirst {
				slices.Reverse(events)
			}
			for i, event := range events {
				if i == 1 && tc.apart {
					n.round(e)
				}
				if n.task(id).State.Completed() { // the cancel comes too late to be taken
					err := n.db.Write(t.Context(), func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
					if resource.CodeOf(err) != resource.PreconditionFailed {
						t.Errorf("a task that has ended was canceled: %v", err)
					}
					continue
				}
				event()
			}
			n.round(e)
			said := n.notes(id)
			if state := n.task(id).State; state != tc.state || tc.says != "" && !slices.Contains(said, tc.says) || slices.Contains(said, tc.saysNot) {
				t.Errorf("%s, and the log says %q", state, said)
			}
			if got := n.view(id).Attempts[0].Outcome; got != rollout.OutcomeSucceeded {
				t.Errorf("the attempt is %s", got) // what is true of the script is kept
			}
			ending := n.ending(id)
			n.end(attempt, rollout.OutcomeFailed)
			n.round(e)
			if now := n.ending(id); now != ending {
				t.Errorf("a late report changed\n%sinto\n%s", ending, now)
			}
		})
	}
}

// fault 37 with a running engine: both at the same moment, again and again;
// each time there is one end, and the log names it.
func TestACancelRacesTheEndForReal(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	for range 20 {
		id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
		attempt := n.awaitStart(web)
		var both sync.WaitGroup
		both.Go(func() {
			err := n.db.Write(t.Context(), func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
			if err != nil && resource.CodeOf(err) != resource.PreconditionFailed {
				t.Error(err)
			}
		})
		n.end(attempt, rollout.OutcomeSucceeded)
		both.Wait()
		n.eventually(id+" to end", func(tx *store.Tx) (bool, error) {
			task, err := store.GetTask(tx, id)
			return err == nil && task.State.Completed(), err
		})
		n.settled(id)
		won := map[store.TaskState]bool{n.task(id).State: true}
		said := n.notes(id)
		if !won[store.TaskCanceled] && !won[store.TaskSuccess] || won[store.TaskCanceled] != slices.Contains(said, canceledFirst) {
			t.Fatalf("%s is %s, and the log says %q", id, n.task(id).State, said)
		}
	}
}

// fault 7: the server dies at each commit of a cancel; the next one brings it to
// its end, and the agent is asked under its epoch.
func TestDiesDuringACancel(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		n := newNode(t)
		web := n.machine("web1", "web")
		db := &dying{DB: n.db, at: -1}
		e, err := n.process(db)
		if err != nil {
			t.Fatal(err)
		}
		id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
		n.round(e)
		before := n.deliveries(web)[0].Epoch
		attempt := n.awaitStart(web)
		n.round(e)
		n.cancelTask(id)
		db.at, db.after = db.made, after
		if err := e.Round(t.Context()); err == nil {
			t.Fatal("it did not die")
		}
		if state := n.task(id).State; state != store.TaskCancelling {
			t.Fatalf("the task is %s", state)
		}
		e = n.lives()
		n.round(e)
		list := n.deliveries(web)
		if len(list) != 1 || list[0].Kind != rollout.CancelAttempt || list[0].Attempt != attempt || list[0].Epoch != before+1 {
			t.Fatalf("the agent is sent %+v", list)
		}
		n.end(attempt, rollout.OutcomeCanceled)
		n.round(e)
		if task := n.task(id); task.State != store.TaskCanceled || task.Error != "Canceled by ann." {
			t.Errorf("the task is %+v", task)
		}
	}
}

// fault 52: work that a machine does not fetch in time is withdrawn before it
// can: a late fetch gets nothing, the attempt provably never started, and the
// machine is not deployed. Work that it has fetched by then is not withdrawn: how
// that ended is not known.
func TestWorkIsWithdrawn(t *testing.T) {
	t.Parallel()
	for _, fetched := range []bool{false, true} {
		n := newNode(t)
		web := n.machine("web1", "web")
		n.write(func(tx *store.Tx) error {
			policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
			if err != nil {
				return err
			}
			policy.PollingRequestQueueTimeout = resource.TimeSpan(10 * time.Minute)
			return store.Update(tx, policy)
		})
		e := n.lives()
		id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
		n.round(e)
		work := n.deliveries(web)[0]
		n.later(9 * 60_000)
		n.renew(e)
		n.round(e)
		if list := n.deliveries(web); len(list) != 1 || n.task(id).State != store.TaskExecuting {
			t.Fatalf("withdrawn before its time: %+v", list)
		}
		if fetched {
			n.write(func(tx *store.Tx) error { _, err := store.MarkSent(tx, work.Attempt); return err })
		}
		n.later(2 * 3_600_000)
		n.renew(e)
		n.round(e)
		for _, d := range n.deliveries(web) {
			if d.Kind == rollout.StartAttempt && !fetched {
				t.Errorf("after its time it can still be fetched: %+v", d)
			}
		}
		n.write(func(tx *store.Tx) error {
			current, err := store.Deliverable(tx, &work)
			if err != nil {
				return err
			}
			sent, err := store.MarkSent(tx, work.Attempt)
			if current != fetched || sent {
				t.Errorf("a late fetch gets the work: there %v, sent %v", current, sent)
			}
			return err
		})
		outcome, cell := rollout.OutcomeNotStarted, rollout.CellNotDeployed
		if fetched {
			outcome, cell = rollout.OutcomeUnknown, rollout.CellUnknown
		}
		view, task := n.view(id), n.task(id)
		if a := view.Attempts[0]; len(view.Attempts) != 1 || a.Outcome != outcome || view.Cells[0].State != cell || !strings.Contains(view.Cells[0].Reason, "did not answer for 600 s") {
			t.Errorf("fetched %v: attempts %+v, cell %+v", fetched, view.Attempts, view.Cells[0])
		}
		if task.State != store.TaskFailed {
			t.Errorf("the task is %s", task.State) // P1
		}
	}
}
