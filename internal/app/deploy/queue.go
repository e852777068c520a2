package deploy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// MostUrgent bounds priorities, so that there is always a higher one.
const MostUrgent = 1_000_000

// Prioritize puts a queued task before others (octopus-api.md 2.14): with a
// priority behind those of a higher one, without one before all. It may be done
// by who may edit tasks, not by everybody who may deploy: the queue is common.
func (s *Service) Prioritize(ctx context.Context, who app.Caller, space, id string, priority *int) (task *store.Task, err error) {
	if priority != nil && (*priority < -MostUrgent || *priority > MostUrgent) {
		return nil, resource.Errorf(resource.Invalid, "A priority is a number from %d to %d. The highest is first.", -MostUrgent, MostUrgent)
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		before, err := taskFor(tx, who, space, id, authz.TaskEdit)
		if err != nil {
			return err
		}
		if task, err = store.Prioritize(tx, id, priority); err != nil {
			return err
		}
		what := before.Description + " was given the priority " + strconv.Itoa(task.Priority)
		if err := audit(tx, resource.EventTaskStateChanged, what, task.SpaceID, id, task.DeploymentID); err != nil {
			return err
		}
		return sayWait(tx, task)
	})
	return task, err
}

// sayWait says what a queued task waits for where it does not say so itself: the
// engine writes only that another task holds what it needs.
func sayWait(tx *store.Tx, t *store.Task) error {
	if t.State != store.TaskQueued || t.WaitsFor != "" || sayTime(tx, t) {
		return nil
	}
	held, err := store.Held(tx)
	if err != nil {
		return err
	}
	if held {
		t.WaitsFor = "a person to confirm that the data were restored from a backup, since " + clock(t.QueueTime) + "."
		return nil
	}
	before, err := store.QueuedBefore(tx, t)
	if err != nil {
		return err
	}
	t.WaitsFor = "a server node to begin it, since " + clock(t.QueueTime) + "."
	if before > 0 {
		t.WaitsFor = fmt.Sprintf("a server node to begin it, since %s; %d queued tasks are before it.", clock(t.QueueTime), before)
	}
	return nil
}

// sayTime says it of a task whose time has not come.
func sayTime(tx *store.Tx, t *store.Task) bool {
	if t.State != store.TaskQueued || t.WaitsFor != "" || t.QueueTime <= tx.Now().UnixMilli() {
		return false
	}
	t.WaitsFor = "its start time, " + clock(t.QueueTime) + "."
	return true
}

func clock(millis int64) string { return time.UnixMilli(millis).UTC().Format(time.RFC3339) }
