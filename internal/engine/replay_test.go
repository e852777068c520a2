package engine_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	_ "modernc.org/sqlite"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// history reads the events that were folded into a rollout, in their order.
func (n *node) history(id string) (events []rollout.Event) {
	n.t.Helper()
	check := func(err error) {
		if err != nil {
			n.t.Helper()
			n.t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "slipway.db")+"?mode=ro")
	check(err)
	defer db.Close()
	rows, err := db.QueryContext(n.t.Context(), `SELECT json FROM rollout_event WHERE rollout_id = $1 AND kind <> 'Say' ORDER BY seq`, id)
	check(err)
	defer rows.Close()
	for rows.Next() {
		var text string
		var e rollout.Event
		check(errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &e)))
		events = append(events, e)
	}
	check(rows.Err())
	return events
}

// marked are a turn's rows with the one column that is not Next's: when the
// deliverer marked an attempt sent. It is no event, and is part of the history.
type marked struct {
	*store.Turn

	sent map[string]int64
	at   int64
}

func (m marked) Attempt(id string) (rollout.Attempt, bool) {
	a, ok := m.Turn.Attempt(id)
	if sent := m.sent[id]; sent != 0 && sent <= m.at {
		a.SentAt = sent
	}
	return a, ok
}

// replay folds a history into a store that knows nothing but the plan, one event
// at a time, and carries out no effect.
func (n *node) replay(p *rollout.Plan, events []rollout.Event, sent map[string]int64) *store.RolloutView {
	n.t.Helper()
	const owner = "replay/1"
	var epoch int64
	n.write(func(tx *store.Tx) (err error) {
		task := &store.Task{ID: p.Task, SpaceID: p.Space.ID, Name: string(p.Kind), State: store.TaskQueued, ProjectID: p.Project.ID, EnvironmentID: p.Environment.ID}
		if err := errors.Join(store.InsertTask(tx, task), store.InsertRollout(tx, p)); err != nil {
			return err
		}
		epoch, err = store.Claim(tx, p.Task, owner)
		return err
	})
	for i := range events {
		n.write(func(tx *store.Tx) error {
			turn, err := store.OpenTurn(tx, p.Task, owner, epoch)
			if err != nil {
				return err
			}
			w := rollout.NewWorking(turn.Row(), marked{turn, sent, events[i].At})
			rollout.Next(p, w, events[i])
			turn.Save(w.Changes())
			return turn.Err()
		})
	}
	return n.view(p.Task)
}

// play answers for the machines until the task has ended: each attempt with the
// next of the outcomes.
func (n *node) play(id string, machines []string, outcomes ...rollout.Outcome) {
	n.t.Helper()
	for i := 0; ; i++ {
		waits := ""
		n.eventually(id+" to go on", func(tx *store.Tx) (bool, error) {
			task, err := store.GetTask(tx, id)
			if err != nil || task.State.Completed() {
				return true, err
			}
			for _, m := range machines {
				list, err := store.Deliveries(tx, m, 10)
				for _, d := range list {
					if err == nil && d.Rollout == id && d.Kind == rollout.StartAttempt {
						waits = m
					}
				}
			}
			return waits != "", nil
		})
		if waits == "" {
			return
		}
		n.end(n.awaitStart(waits), outcomes[i%len(outcomes)])
	}
}

// I15: the stored history, folded anew into nothing, gives the rows that are
// stored; also where the server was started again in between, a machine failed
// and was tried again, and somebody canceled.
func TestReplayGivesTheStoredState(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	n := newNode(t)
	machines := []string{n.machine("m1", "web"), n.machine("m22", "web"), n.machine("m333", "web"), n.machine("m4444", "db")}
	n.start()
	plan := func(p *rollout.Plan) {
		first, second := p.Steps[0], p.Steps[0]
		first.Window = rollout.Window{Number: 2}
		first.Actions = append(first.Actions, rollout.Action{ID: "b", Name: "verify", Type: "Octopus.Script", Condition: rollout.ConditionSuccess})
		first.Tolerate = rollout.Tolerance{Number: 1}
		second.ID, second.Name, second.Number, second.Roles = "t", "after", 2, []string{"web", "db"}
		p.Steps = []rollout.Step{first, second}
	}
	good := n.deployWith("Projects-1", plan)
	n.end(n.awaitStart(machines[0]), rollout.OutcomeSucceeded)
	n.stop()
	n.start()
	n.play(good, machines, rollout.OutcomeSucceeded)
	bad := n.deployWith("Projects-2", plan)
	n.play(bad, machines, rollout.OutcomeSucceeded, rollout.OutcomeFailed, rollout.OutcomeSucceeded, rollout.OutcomeUnknown)
	canceled := n.deployWith("Projects-3", plan)
	// Both are sent before the cancel is posted: that one sent later was seen by
	// the turn that folds the cancel stands in no event.
	attempt, other := n.awaitStart(machines[0]), n.awaitStart(machines[1])
	n.write(func(tx *store.Tx) error { return store.CancelTask(tx, canceled, "ann") })
	n.end(attempt, rollout.OutcomeCanceled)
	n.end(other, rollout.OutcomeNotStarted)
	n.play(canceled, machines, rollout.OutcomeNotStarted)
	n.stop()

	again := newNode(t)
	for _, id := range []string{good, bad, canceled} {
		stored, events := n.view(id), n.history(id)
		if !stored.Row.State.Terminal() || len(events) < 5 {
			t.Fatalf("I15: %s is %s after %d recorded events", id, stored.Row.State, len(events))
		}
		sent := map[string]int64{}
		for _, a := range stored.Attempts {
			sent[a.ID] = a.SentAt
		}
		replayed := again.replay(stored.Plan, events, sent)
		if diff := cmp.Diff(stored, replayed, cmpopts.IgnoreFields(store.RolloutView{}, "Plan", "Notes", "Waits"), cmpopts.IgnoreFields(rollout.Attempt{}, "SentAt")); diff != "" {
			t.Errorf("I15: the %d events of %s, which is %s, give other rows:\n%s", len(events), id, stored.Row.State, diff)
		}
	}
}
