package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// queued stores a task with a rollout of one step over the role "web".
func queued(t *testing.T, db *store.DB, id string) *store.Task {
	t.Helper()
	task := &store.Task{ID: id, SpaceID: resource.DefaultSpace, Name: "Deploy", State: store.TaskQueued, DeploymentID: "Deployments-1", Description: "Deploy Shop"}
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Deploy, Task: id, Space: rollout.Ref{ID: resource.DefaultSpace},
		Project: rollout.Ref{ID: "Projects-1"}, Environment: rollout.Ref{ID: "Environments-1"},
		Steps: []rollout.Step{{
			ID: "s", Name: "deploy", Number: 1, Condition: rollout.ConditionSuccess, Roles: []string{"web"},
			Actions: []rollout.Action{{ID: "a", Name: "deploy", Type: "Octopus.Script", Condition: rollout.ConditionSuccess}},
		}},
	}
	storetest.Write(t, db, func(tx *store.Tx) error {
		return errors.Join(store.InsertTask(tx, task), store.InsertRollout(tx, plan))
	})
	return task
}

// I9, abuse 36: a plan whose bytes are not those that were approved runs
// nowhere.
func TestAChangedPlanIsRefused(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir())
	storetest.Seed(t, db)
	queued(t, db, "ServerTasks-1")
	if err := db.Exec(t.Context(), `UPDATE rollout_plan SET json = replace(json, '"web"', '"db"')`); err != nil {
		t.Fatal(err)
	}
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		_, err := store.LoadPlan(tx, "ServerTasks-1")
		return err
	})
	if resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("I9: a plan that was changed is read: %v", err)
	}
}

// I11: whoever ends a task that has not started, the audit says so in the same
// transaction.
func TestTheEndOfAQueuedTaskIsAudited(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir())
	storetest.Seed(t, db)
	for i, end := range []func(*store.Tx, *store.Task) error{store.ExpireTask, store.Obsolete} {
		task := queued(t, db, fmt.Sprintf("ServerTasks-%d", i+1))
		storetest.Write(t, db, func(tx *store.Tx) error { return end(tx, task) })
		storetest.Read(t, db, func(tx *store.Tx) error {
			events, total, err := store.ListEvents(tx, store.EventQuery{AllSpaces: true, Regarding: []string{task.ID}})
			if total != 1 || !slices.Contains(events[0].RelatedDocumentIDs, "Deployments-1") {
				t.Errorf("%s ended %s with the events %+v", task.ID, task.State, events)
			}
			return err
		})
	}
}

// A worker may have many starts waiting, more than are read at once: what ends
// attempts comes before what starts them.
func TestCancelsAreDeliveredFirst(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir())
	storetest.Seed(t, db)
	queued(t, db, "ServerTasks-1")
	storetest.Write(t, db, func(tx *store.Tx) error {
		epoch, err := store.Claim(tx, "ServerTasks-1", "node-1/1")
		if err != nil {
			return err
		}
		turn, err := store.OpenTurn(tx, "ServerTasks-1", "node-1/1", epoch)
		if err != nil {
			return err
		}
		turn.Record(1, "Test", nil)
		for n := range 70 {
			turn.AddEffect(n, &rollout.Effect{Kind: rollout.StartAttempt, Attempt: fmt.Sprint("a", n), Machine: "Workers-1"})
		}
		turn.AddEffect(70, &rollout.Effect{Kind: rollout.CancelAttempt, Attempt: "a0", Machine: "Workers-1"})
		return turn.Err()
	})
	storetest.Read(t, db, func(tx *store.Tx) error {
		list, err := store.Deliveries(tx, "Workers-1", 64)
		if len(list) != 64 || list[0].Kind != rollout.CancelAttempt || list[1].Attempt != "a0" || list[2].Attempt != "a1" {
			t.Errorf("%d effects, the first %+v", len(list), list[:3])
		}
		return err
	})
}
