package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// P2: a server that was down for longer than its machines may be silent gives
// none of them up when it is back.
func TestAnOutageOfTheServerIsNobodysSilence(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	started, unsent := n.machine("web1", "web"), n.machine("web22", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	first := n.awaitStart(started)
	n.eventually("a start on the other", func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, unsent, 10)
		return len(list) == 1, err
	})
	n.settled(id)
	n.stop()
	n.write(func(tx *store.Tx) error {
		return store.Post(tx, id, "lost", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Lost, Member: started}, nil)
	})
	n.start()
	n.settled(id)
	n.stop()
	n.later(24 * 3_600_000)
	n.start()
	n.settled(id)
	n.end(n.awaitStart(unsent), rollout.OutcomeSucceeded)
	n.end(first, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
}

// fault 27: a node that could not renew its lease in time takes no turn until
// it has, though nobody has taken over yet.
func TestNoTurnWithoutALease(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.machine("web1", "web")
	e := engine.New(engine.Config{DB: n.db, Node: "node-1", Logger: slog.New(slog.DiscardHandler), Now: n.now})
	if err := e.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	stateAfterRound := func() (state store.TaskState) {
		t.Helper()
		if err := e.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.read(func(tx *store.Tx) error {
			task, err := store.GetTask(tx, id)
			state = task.State
			return err
		})
		return state
	}
	n.later(4500)
	if state := stateAfterRound(); state != store.TaskQueued {
		t.Errorf("I4: a node whose lease may have ended takes a turn: %s is %s", id, state)
	}
	if err := e.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state := stateAfterRound(); state != store.TaskExecuting {
		t.Errorf("%s is %s with the lease renewed", id, state)
	}
}

// A report that waits behind others comes before the clock: a machine is not
// given up while its answer lies in the inbox.
func TestTheInboxComesBeforeTheClock(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	n.settled(id)
	n.write(func(tx *store.Tx) error {
		return store.Post(tx, id, "lost", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Lost, Member: web}, nil)
	})
	n.settled(id)
	n.later(24 * 3_600_000)
	n.write(func(tx *store.Tx) error {
		now := tx.Now().UnixMilli()
		var errs []error
		for i := range 300 { // more than one turn takes
			errs = append(errs, store.Post(tx, id, fmt.Sprint("noise", i), rollout.Event{At: now, Kind: rollout.Continue}, nil))
		}
		return errors.Join(append(errs, store.Post(tx, id, "back", rollout.Event{At: now, Kind: rollout.Back, Member: web}, nil))...)
	})
	n.settled(id)
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
}

// A late report about a rollout that has ended owes nobody anything again.
func TestALateReportOwesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	late := n.machine("web20", "web")
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	n.write(func(tx *store.Tx) error { // it has got what it was owed
		owed, err := store.OwedTo(tx, late)
		if len(owed) != 1 {
			return fmt.Errorf("owed %v: %w", owed, err)
		}
		return store.NotOwed(tx, &owed[0])
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.settled(id)
	n.read(func(tx *store.Tx) error {
		owed, err := store.OwedTo(tx, late)
		if len(owed) != 0 {
			t.Errorf("owed again: %+v", owed)
		}
		return err
	})
}

// design 5.2 over the real rows: another member is elected for a run-once
// action, keeps its machine for it, and gives it back.
func TestAnotherMemberIsElectedInTheStore(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	first, second := n.machine("web1", "web"), n.machine("web22", "web")
	n.start()
	id := n.deployWith("Projects-1", func(p *rollout.Plan) {
		once := p.Steps[0].Actions[0]
		once.ID, once.Name, once.RunOnce = "once", "once", true
		p.Steps[0].Actions = []rollout.Action{once, p.Steps[0].Actions[0]}
	})
	n.end(n.awaitStart(second), rollout.OutcomeSucceeded)
	n.settled(id)
	n.write(func(tx *store.Tx) error { return store.MachineGone(tx, first, "deleted by ann") })
	attempt := n.awaitStart(second)
	if want := id + ".0.0." + second + ".1"; attempt != want {
		t.Errorf("elected with %s, want %s", attempt, want)
	}
	n.settled(id)
	n.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: second, Node: "node-1", State: store.SessionConnected})
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	next := n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web") // the machine is free again
	n.awaitStart(second)
	n.awaitState(next, store.TaskExecuting)
}

// Tasks that wait, for a time of day or for another, keep no other from
// starting, however many there are (I13).
func TestWaitingTasksHoldUpNoOther(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	for range 260 {
		n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	}
	tonight := n.deploy(rollout.Deploy, "Projects-3", "Releases-1", "web")
	n.write(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, tonight)
		if err != nil {
			return err
		}
		task.QueueTime = tx.Now().UnixMilli() + 3_600_000
		return store.Reschedule(tx, task)
	})
	n.start()
	n.awaitStart(web)
	n.awaitState(n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "nobody"), store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		waiting, err := store.QueuedRollouts(tx, 1000)
		if len(waiting) != 0 {
			t.Errorf("%d waiting tasks are looked at in every round", len(waiting))
		}
		return err
	})
}

// abuse 68, fault 54: a rollout whose turn panics keeps no other from going on
// and does not take the server down.
func TestAPanicStaysInItsRollout(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	bad := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	n.awaitStart(web)
	n.write(func(tx *store.Tx) error { // an event that no release of Slipway writes
		return store.Post(tx, bad, "broken", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.SlotGranted}, nil)
	})
	n.awaitState(n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "nobody"), store.TaskSuccess)
}

// fault 54: a rollout whose turns panic is left alone for longer and longer, up
// to a minute, while others go on at once.
func TestARolloutThatPanicsRests(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	bad := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	e, s := n.lives(), scripts{}
	n.round(e)
	n.serve(s, web)
	n.write(func(tx *store.Tx) error { // an event that no release of Slipway writes
		return store.Post(tx, bad, "broken", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.SlotGranted}, nil)
	})
	panics := func() bool { return e.Round(t.Context()) != nil }
	for i, pause := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		if !panics() {
			t.Fatalf("try %d did not panic", i)
		}
		n.later(pause*1000 - 500)
		n.renew(e)
		if panics() {
			t.Fatalf("tried again after less than %d s", pause)
		}
		n.later(500)
		n.renew(e)
	}
	if !panics() {
		t.Fatal("it is not tried any more")
	}
	n.finish(n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "nobody"), e, s)
}

// renew renews the lease, which the jumps of the test's clock would end.
func (n *node) renew(e *engine.Engine) {
	n.t.Helper()
	if err := e.Renew(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// The sessions of a former run are written off whatever the node was called
// then: in a container the host's name is another one at each start.
func TestSessionsOfAnotherNameAreWrittenOff(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: web, Node: "container-1", State: store.SessionConnected})
	})
	n.start()
	n.eventually("the session to be lost", func(tx *store.Tx) (bool, error) {
		s, err := store.GetSession(tx, web)
		return err == nil && s.State == store.SessionLost, err
	})
}

// What was posted to a rollout that has ended does not stay in the inbox over a
// restart: the agent is told to forget (fault 5).
func TestTheInboxOfAnEndedRolloutIsEmptied(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	n.stop()
	n.write(func(tx *store.Tx) error {
		list, err := store.Deliveries(tx, web, 10)
		for i := range list {
			err = errors.Join(err, store.Delivered(tx, &list[i]))
		}
		return err
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.start()
	n.eventually("the agent to be told to forget", func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, web, 10)
		return len(list) == 1 && list[0].Kind == rollout.ForgetAttempt, err
	})
}

// P2: a machine was not silent while no server was there to hear it. A rollout
// that begins right after a restart gives it its whole patience.
func TestAMachineIsNotSilentWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.write(func(tx *store.Tx) error {
		s := store.Session{Machine: web, Node: "node-1", State: store.SessionConnected}
		err := store.OpenSession(tx, &s)
		return errors.Join(err, store.CloseSession(tx, web, s.Generation, store.SessionLost, "the server stops"))
	})
	n.later(3_600_000)
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	n.settled(id)
	n.read(func(tx *store.Tx) error {
		view, err := store.ViewRollout(tx, id)
		if err == nil && view.Members[0].Patience < 60_000 {
			t.Errorf("it has %d ms to come back", view.Members[0].Patience)
		}
		return err
	})
}
