package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	healthTask = "Health"
	bySystem   = "system"
)

// QueueHealth queues a health check of machines in the caller's transaction.
func QueueHealth(tx *store.Tx, by, space, description string, machines []string) (*store.Task, error) {
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return nil, err
	}
	task := &store.Task{
		ID: id, SpaceID: space, Name: healthTask, State: store.TaskQueued, CreatedBy: by, Description: description,
		Arguments: map[string]any{"MachineIds": machines},
	}
	return task, store.InsertTask(tx, task)
}

// CheckHealth queues a health check of one machine in the name of who acts.
func CheckHealth(tx *store.Tx, m *resource.Machine) error {
	_, err := QueueHealth(tx, tx.Actor().Username, m.SpaceID, "Check health of "+m.Name, []string{m.ID})
	return err
}

// recheck queues one health check per space for the machines that there still
// are, so that their health says what has changed.
func recheck(tx *store.Tx, machines []string, why string) error {
	bySpace := map[string][]string{}
	names := map[string]string{}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(machines))) {
		m, err := store.Get[resource.Machine](tx, id)
		if resource.CodeOf(err) == resource.NotFound {
			continue // deleted, or a worker
		}
		if err != nil {
			return err
		}
		bySpace[m.SpaceID] = append(bySpace[m.SpaceID], id)
		names[m.SpaceID] = m.Name
	}
	for _, space := range slices.Sorted(maps.Keys(bySpace)) {
		what := names[space]
		if n := len(bySpace[space]); n > 1 {
			what = count(n)
		}
		if _, err := QueueHealth(tx, bySystem, space, "Check health of "+what+why, bySpace[space]); err != nil {
			return err
		}
	}
	return nil
}

func count(machines int) string {
	if machines == 1 {
		return "1 machine"
	}
	return fmt.Sprintf("%d machines", machines)
}

// queueRelinked queues a health check of machines that have just connected,
// whose link was lost, or that have to be looked at again: what their last
// check said is no longer true.
func (f *Fleet) queueRelinked(ctx context.Context) error {
	linked := false
	if err := f.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		ids, err := store.Relinked(tx)
		linked = len(ids) > 0
		return err
	}); err != nil || !linked {
		return err
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		ids, err := store.Relinked(tx)
		if err != nil {
			return err
		}
		facts, err := store.MachineFacts(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			fact := facts[id]
			fact.Machine, fact.CheckedAt = id, tx.Now().UnixMilli()+1
			if err := store.SaveMachineFact(tx, fact); err != nil {
				return err
			}
		}
		return recheck(tx, ids, ", whose link changed")
	})
}

// resume puts the health tasks that a stopped server left behind back in the
// queue: a check may run twice. One that was being canceled is canceled.
func (f *Fleet) resume(ctx context.Context) error {
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		tasks, _, err := store.ListTasks(tx, store.TaskQuery{Name: healthTask, States: []store.TaskState{store.TaskExecuting, store.TaskCancelling}, Take: 1000})
		for i := range tasks {
			task := &tasks[i]
			if task.State == store.TaskCancelling {
				task.State, task.CompletedTime = store.TaskCanceled, tx.Now().UnixMilli()
			} else {
				task.State, task.StartTime = store.TaskQueued, 0
			}
			err = errors.Join(err, store.UpdateTask(tx, task))
		}
		return err
	})
}

// queueDue queues a health task for the machines of each policy whose check is
// due.
func (f *Fleet) queueDue(ctx context.Context) error {
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		facts, err := store.MachineFacts(tx)
		if err != nil {
			return err
		}
		policies, _, err := store.List[resource.MachinePolicy](tx, store.Query{AllSpaces: true})
		if err != nil {
			return err
		}
		now := tx.Now().UnixMilli()
		for i := range policies {
			interval := policies[i].MachineHealthCheckPolicy.HealthCheckInterval
			if interval == nil || interval.Duration() <= 0 {
				continue
			}
			if err := queuePolicy(tx, &policies[i], facts, now, interval.Duration()); err != nil {
				return err
			}
		}
		return nil
	})
}

// queuePolicy sees to the machines of one policy. A machine that is seen for
// the first time was checked when it came; its interval begins. A policy that
// is made stricter counts at once.
func queuePolicy(tx *store.Tx, policy *resource.MachinePolicy, facts map[string]store.MachineFact, now int64, interval time.Duration) error {
	machines, _, err := store.List[resource.Machine](tx, store.Query{
		Space: policy.SpaceID, Where: map[string][]string{"MachinePolicyId": {policy.ID}},
	})
	if err != nil {
		return err
	}
	var due []string
	next := now + interval.Milliseconds()
	for i := range machines {
		fact := facts[machines[i].ID]
		was := fact.DueAt
		if machines[i].IsDisabled || !machines[i].Endpoint.Reachable() || was > now && was <= next {
			continue
		}
		fact.Machine, fact.DueAt = machines[i].ID, next
		if err := store.SaveMachineFact(tx, fact); err != nil {
			return err
		}
		if was > 0 && was <= now {
			due = append(due, machines[i].ID)
		}
	}
	if len(due) == 0 {
		return nil
	}
	_, err = QueueHealth(tx, bySystem, policy.SpaceID, fmt.Sprintf("Check health of %s of %s", count(len(due)), policy.Name), due)
	return err
}
