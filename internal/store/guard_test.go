package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// These are the guards that lie in the database (reliability.md, Guards): each
// test names the invariant that goes with its guard, and shows what the guard
// refuses although everything in front of it has let it through.

const (
	firstTask  = "ServerTasks-1"
	secondTask = "ServerTasks-2"
	oldNode    = "node-1/1"
	newNode    = "node-2/1"
)

var errUndone = errors.New("undone")

// guarded is a store with two queued rollouts, both claimed by the first node.
func guarded(t *testing.T) *store.DB {
	t.Helper()
	db := open(t, t.TempDir())
	storetest.Seed(t, db)
	for _, id := range []string{firstTask, secondTask} {
		queued(t, db, id)
		storetest.Write(t, db, func(tx *store.Tx) error {
			_, err := store.Claim(tx, id, oldNode)
			return err
		})
	}
	return db
}

// turn takes a turn of the first node's.
func turn(t *testing.T, db *store.DB, id string, f func(*store.Turn)) error {
	t.Helper()
	return db.Write(t.Context(), func(tx *store.Tx) error {
		turn, err := store.OpenTurn(tx, id, oldNode, 1)
		if err != nil {
			return err
		}
		f(turn)
		return turn.Err()
	})
}

// fault 2, 30
func TestOnlyTheOwnerTakesATurn(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	for name, open := range map[string]struct {
		owner string
		epoch int64
	}{
		"another node":               {newNode, 1},
		"a former life of the owner": {"node-1/0", 1},
		"the owner in a later epoch": {oldNode, 2},
		"the owner before its claim": {oldNode, 0},
	} {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if _, err := store.OpenTurn(tx, firstTask, open.owner, open.epoch); err != nil {
				return err
			}
			return errUndone
		})
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("I4: %s takes a turn: %v", name, err)
		}
	}
	if err := turn(t, db, firstTask, func(*store.Turn) {}); err != nil {
		t.Errorf("the owner takes none: %v", err)
	}
}

// A lease that a newer life of the node has taken is not renewed (fault 30).
func TestAFormerLifeRenewsNoLease(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	var lives [2]string
	storetest.Write(t, db, func(tx *store.Tx) (err error) {
		for i := range lives {
			if lives[i], err = store.StartNode(tx, "node-1", "1.0.0"); err != nil {
				return err
			}
		}
		return nil
	})
	for i, want := range []error{store.ErrFenced, nil} {
		err := db.Write(t.Context(), func(tx *store.Tx) error { return store.RenewLease(tx, lives[i]) })
		if !errors.Is(err, want) {
			t.Errorf("I4: %s renews its lease: %v, want %v", lives[i], err, want)
		}
	}
}

// Two nodes read that a parked rollout has something to do: the first one takes
// it, and the second one finds it taken, also when it is parked again by then.
func TestAParkedRolloutIsTakenOnce(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	storetest.Write(t, db, func(tx *store.Tx) error { return store.HandOver(tx, oldNode) })
	read := store.Owned{ID: firstTask, Epoch: 2, Parked: true}
	take := func(owner string) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := store.Unpark(tx, read, owner)
			return err
		})
	}
	if err := take(newNode); err != nil {
		t.Fatal(err)
	}
	if err := take(oldNode); !errors.Is(err, store.ErrFenced) {
		t.Errorf("I4: a rollout is taken from its owner: %v", err)
	}
	storetest.Write(t, db, func(tx *store.Tx) error { return store.HandOver(tx, newNode) })
	if err := take(oldNode); !errors.Is(err, store.ErrFenced) {
		t.Errorf("I4: a rollout is taken under an epoch that is over: %v", err)
	}
}

// fault 30, 51: a node that was overtaken between reading an effect and sending
// it does not send it.
func TestAFormerOwnersEffectIsNotDelivered(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	var was []store.Delivery
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		turn.Record(1, "Test", nil)
		turn.AddEffect(0, &rollout.Effect{Kind: rollout.StartAttempt, Attempt: "a", Machine: "Machines-1"})
	})
	if err != nil {
		t.Fatal(err)
	}
	deliverable := func(want bool, when string) {
		t.Helper()
		storetest.Read(t, db, func(tx *store.Tx) error {
			is, err := store.Deliverable(tx, &was[0])
			if is != want {
				t.Errorf("I4: %s: deliverable is %v", when, is)
			}
			return err
		})
	}
	storetest.Read(t, db, func(tx *store.Tx) (err error) {
		was, err = store.Deliveries(tx, "Machines-1", 10)
		return err
	})
	if len(was) != 1 {
		t.Fatalf("effects: %+v", was)
	}
	deliverable(true, "under its epoch")
	storetest.Write(t, db, func(tx *store.Tx) error {
		_, err := store.TakeOver(tx, newNode)
		return err
	})
	deliverable(false, "after another node has taken over")
	storetest.Read(t, db, func(tx *store.Tx) error {
		list, err := store.Deliveries(tx, "Machines-1", 10)
		if len(list) != 1 || list[0].Epoch != 2 {
			t.Errorf("fault 3: the new owner sends %+v", list)
		}
		return err
	})
	// What was not stamped anew is nobody's.
	if err := db.Exec(t.Context(), `UPDATE effect SET epoch = 1`); err != nil {
		t.Fatal(err)
	}
	deliverable(false, "with the stamp of the former owner")
	storetest.Read(t, db, func(tx *store.Tx) error {
		list, err := store.Deliveries(tx, "Machines-1", 10)
		if len(list) != 0 {
			t.Errorf("I4: effects of a former owner are given out: %+v", list)
		}
		return err
	})
}

// An attempt that was withdrawn has its outcome, and is not sent any more
// (fault 52).
func TestAWithdrawnStartIsNotSent(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	save := func(outcome rollout.Outcome) {
		t.Helper()
		err := turn(t, db, firstTask, func(turn *store.Turn) {
			turn.Save(rollout.Changes{Row: turn.Row(), Attempts: []*rollout.Attempt{{ID: "a", Executor: "Machines-1", Try: 1, Outcome: outcome}}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	save(rollout.OutcomeNone)
	if err := turn(t, db, firstTask, func(turn *store.Turn) { turn.Withdraw("a") }); err != nil {
		t.Fatal(err)
	}
	save(rollout.OutcomeNotStarted)
	storetest.Write(t, db, func(tx *store.Tx) error {
		goes, err := store.MarkSent(tx, "a")
		if goes {
			t.Error("I2: an attempt that was closed as not started is sent")
		}
		return err
	})
	save(rollout.OutcomeNone)
	storetest.Write(t, db, func(tx *store.Tx) error {
		if goes, err := store.MarkSent(tx, "a"); err != nil || !goes {
			t.Errorf("an open attempt is not sent: %v", err)
		}
		return nil
	})
	if err := turn(t, db, firstTask, func(turn *store.Turn) { turn.Withdraw("a") }); err == nil {
		t.Error("I2: an attempt that was sent is withdrawn")
	}
}

// The history of a rollout has one event per number: of two that write the
// next, one is refused.
func TestANumberOfTheHistoryIsGivenOnce(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	if err := turn(t, db, firstTask, func(turn *store.Turn) { turn.Record(1, "Test", nil) }); err != nil {
		t.Fatal(err)
	}
	err := db.Exec(t.Context(), `INSERT INTO rollout_event (rollout_id, seq, at, kind, json) SELECT rollout_id, seq, at, kind, json FROM rollout_event`)
	if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("I15: the history has two events with one number: %v", err)
	}
	if err := turn(t, db, secondTask, func(turn *store.Turn) { turn.Record(1, "Test", nil) }); err != nil {
		t.Errorf("another rollout counts on its own: %v", err)
	}
}

// fault 17
func TestAReportCountsOnce(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	for range 2 {
		storetest.Write(t, db, func(tx *store.Tx) error {
			return store.Post(tx, firstTask, "ended/a", rollout.Event{At: 1, Kind: rollout.Ended, Attempt: "a", End: &rollout.End{}}, nil)
		})
	}
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		if items := turn.Inbox(10); len(items) != 1 {
			t.Errorf("I7: a result that was reported twice is there %d times", len(items))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fault 40
func TestAMachineHasOneHolder(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	grants := 0
	for _, id := range []string{firstTask, secondTask} {
		err := turn(t, db, id, func(turn *store.Turn) {
			if turn.WantSlot("Machines-1", rollout.CellKey{Member: "Machines-1"}, 1) != nil {
				grants++
			}
		})
		if err != nil {
			t.Errorf("I8: %s asks for a machine that is taken: %v", id, err)
		}
	}
	if grants != 1 {
		t.Errorf("I8: the machine was granted %d times", grants)
	}
	if err := db.Exec(t.Context(), `UPDATE slot SET granted_at = 1`); err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("I8: a machine has two holders: %v", err)
	}
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		if g := turn.FreeSlot(rollout.CellKey{Member: "Machines-1"}, 2); g == nil || g.Rollout != secondTask {
			t.Errorf("the machine goes to %+v", g)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fault 39
func TestALockHasOneHolder(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	for _, id := range []string{firstTask, secondTask} {
		storetest.Write(t, db, func(tx *store.Tx) error {
			holder, _, err := store.TakeLock(tx, "Projects-1/Environments-1/", id)
			if holder != firstTask {
				t.Errorf("I8: the lock of %s is held by %s", firstTask, holder)
			}
			return err
		})
	}
}

// fault 17: bytes that come twice, overlap or leave a gap change nothing of
// what is there.
func TestALogHasNoGap(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	put := func(offset int64, text string, want int64) {
		t.Helper()
		committed, err := db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: "a", Offset: offset, Data: []byte(text)}})
		if err != nil || committed["a"] != want {
			t.Errorf("I6: %q at %d: committed up to %d, want %d; %v", text, offset, committed["a"], want, err)
		}
	}
	put(0, "01234", 5)
	put(0, "01234", 5)
	put(7, "789", 5)
	put(3, "34567", 8)
	put(8, "89", 10)
	if text, err := db.Logs().Read(t.Context(), "a", 0, 100); err != nil || string(text) != "0123456789" {
		t.Errorf("I6: the log is %q, %v", text, err)
	}
}

// A link that a newer one of the same machine has replaced writes nothing any
// more (fault 16, abuse 4).
func TestAnOldLinkWritesNothing(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	links := [2]*store.Session{}
	storetest.Write(t, db, func(tx *store.Tx) error {
		for i := range links {
			links[i] = &store.Session{Machine: "Machines-1", Node: "node-1", State: store.SessionConnected, Incarnation: 1}
			if err := store.OpenSession(tx, links[i]); err != nil {
				return err
			}
		}
		return nil
	})
	storetest.Write(t, db, func(tx *store.Tx) error {
		if is, err := store.HeardFrom(tx, "Machines-1", links[0].Generation); err != nil || is {
			t.Errorf("fault 16: a replaced link counts as heard from: %v", err)
		}
		return store.CloseSession(tx, "Machines-1", links[0].Generation, store.SessionLost, "cut")
	})
	storetest.Read(t, db, func(tx *store.Tx) error {
		s, err := store.GetSession(tx, "Machines-1")
		if s.State != store.SessionConnected {
			t.Errorf("fault 16: a replaced link has ended the one that replaced it: %s", s.State)
		}
		return err
	})
}

// I7, abuse 95: what has ended is not canceled, and what is answered is not
// answered again.
func TestAnEndIsAnEnd(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	finish(t, db, rollout.Succeeded)
	err := db.Write(t.Context(), func(tx *store.Tx) error { return store.CancelTask(tx, firstTask, "ann") })
	if resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("I7: a task that has succeeded is canceled: %v", err)
	}
	storetest.Read(t, db, func(tx *store.Tx) error {
		task, err := store.GetTask(tx, firstTask)
		if task.State != store.TaskSuccess {
			t.Errorf("I7: a task that has succeeded is %s", task.State)
		}
		return err
	})
}

func TestTheFirstAnswerCounts(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		turn.Save(rollout.Changes{Row: turn.Row(), Asked: []*rollout.Interruption{{N: 1, Kind: rollout.GuidedFailure, Title: "A question"}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	id := store.InterruptionID(firstTask, 1)
	storetest.Write(t, db, func(tx *store.Tx) error { return store.TakeResponsibility(tx, id, "Users-1", "ann") })
	for i, want := range []resource.Code{"", resource.Conflict} {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			q, err := store.GetInterruption(tx, id)
			if err != nil {
				return err
			}
			return store.AnswerInterruption(tx, q, rollout.Fail, "")
		})
		if resource.CodeOf(err) != want {
			t.Errorf("abuse 95: answer %d: %v", i+1, err)
		}
	}
}

// finish ends the first rollout.
func finish(t *testing.T, db *store.DB, state rollout.State) {
	t.Helper()
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		plan, row := *turn.Plan(), turn.Row()
		plan.Kind, row.State = rollout.Script, state
		turn.Finish(&plan, &row)
		turn.Save(rollout.Changes{Row: row})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The end of a task and what the audit says of it are one transaction.
func TestTheEndOfATaskIsAudited(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	finish(t, db, rollout.Failed)
	storetest.Read(t, db, func(tx *store.Tx) error {
		events, total, err := store.ListEvents(tx, store.EventQuery{AllSpaces: true, Regarding: []string{firstTask}})
		if total != 1 || events[0].Category != resource.EventDeploymentFailed {
			t.Errorf("I11: the end of a task has %d events: %+v", total, events)
		}
		return err
	})
}

// What is sent is what the row promises, whoever renders it.
func TestAnotherPayloadIsNotSent(t *testing.T) {
	t.Parallel()
	db := guarded(t)
	render := func() error {
		return db.Read(t.Context(), func(tx *store.Tx) error {
			_, _, err := store.Render(tx, "a")
			return err
		})
	}
	m := rollout.Member{ID: "Machines-1", Name: "web-1", Ord: 1, State: rollout.MemberLive}
	a := rollout.Attempt{ID: "a", Cell: rollout.CellKey{Member: m.ID}, Executor: m.ID, Try: 1}
	err := turn(t, db, firstTask, func(turn *store.Turn) {
		a.PayloadHash = rollout.Render(turn.Plan(), &m, &a, nil).Hash()
		turn.Save(rollout.Changes{Row: turn.Row(), Members: []*rollout.Member{&m}, Attempts: []*rollout.Attempt{&a}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := render(); err != nil {
		t.Fatalf("as it was promised: %v", err)
	}
	if err := db.Exec(t.Context(), `UPDATE member SET name = 'web-2'`); err != nil {
		t.Fatal(err)
	}
	if err := render(); err == nil || !strings.Contains(err.Error(), "its row says") {
		t.Errorf("I9: another payload is rendered than the row promises: %v", err)
	}
}
