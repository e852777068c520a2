package deploy

import (
	"context"
	"errors"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// taskScope is where a task's permissions are asked for.
func taskScope(t *store.Task) authz.Scope {
	return authz.Scope{Space: t.SpaceID, Project: t.ProjectID, Environment: t.EnvironmentID, Tenant: t.TenantID}
}

// taskFor reads a task that the caller may see; one of another space, or one
// that he may not see, is missing (abuse 30). space is "" when the request
// names none.
func taskFor(tx *store.Tx, who app.Caller, space, id string, p authz.Permission) (*store.Task, error) {
	task, err := store.GetTask(tx, id)
	if err != nil {
		return nil, err
	}
	if space != "" && task.SpaceID != "" && task.SpaceID != space || !authz.Can(who.Subject, authz.TaskView, taskScope(task)) {
		return nil, resource.Missing(id)
	}
	return task, app.Allow(who, p, taskScope(task))
}

// Task reads one task.
func (s *Service) Task(ctx context.Context, who app.Caller, space, id string) (task *store.Task, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if task, err = taskFor(tx, who, space, id, authz.TaskView); err != nil {
			return err
		}
		if err := sayWait(tx, task); err != nil {
			return err
		}
		return store.FillAsking(tx, task)
	})
	return task, err
}

// Tasks lists tasks, newest first, and counts them by state. next is what the
// query of the page after has as Before; "" after the last.
func (s *Service) Tasks(ctx context.Context, who app.Caller, q store.TaskQuery) (tasks []store.Task, total int, counts map[store.TaskState]int, next string, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if tasks, total, err = store.ListTasks(tx, q); err != nil {
			return err
		}
		refs := make([]*store.Task, len(tasks))
		for i := range tasks {
			refs[i] = &tasks[i]
			sayTime(tx, refs[i])
		}
		if len(tasks) == max(q.Take, 1) {
			next = tasks[len(tasks)-1].ID
		}
		if err := store.FillAsking(tx, refs...); err != nil {
			return err
		}
		counts, err = store.CountTasks(tx, q.Spaces)
		return err
	})
	visible := tasks[:0]
	for i := range tasks {
		if authz.Can(who.Subject, authz.TaskView, taskScope(&tasks[i])) {
			visible = append(visible, tasks[i])
		} else {
			total--
		}
	}
	return visible, total, counts, next, err
}

// CancelTask asks for a task's end.
func (s *Service) CancelTask(ctx context.Context, who app.Caller, space, id string) (task *store.Task, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		if task, err = taskFor(tx, who, space, id, authz.TaskCancel); err != nil {
			return err
		}
		if err := store.CancelTask(tx, id, who.Username); err != nil {
			return err
		}
		if err := audit(tx, resource.EventTaskCanceled, "Cancel of "+task.Description+" was asked for", task.SpaceID, id, task.DeploymentID); err != nil {
			return err
		}
		task, err = store.GetTask(tx, id)
		return err
	})
	return task, err
}

// Details is a task with all that it did: the rollout is nil for a task that
// is none.
type Details struct {
	Task    *store.Task
	Rollout *store.RolloutView
	Notes   []store.TimedNote // of a task that is no rollout
}

// TaskDetails reads a task as a whole, without its output.
func (s *Service) TaskDetails(ctx context.Context, who app.Caller, space, id string) (details *Details, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		task, err := taskFor(tx, who, space, id, authz.TaskView)
		if err != nil {
			return err
		}
		if err := errors.Join(store.FillAsking(tx, task), sayWait(tx, task)); err != nil {
			return err
		}
		details = &Details{Task: task}
		view, err := store.ViewRollout(tx, id)
		if resource.CodeOf(err) == resource.NotFound {
			details.Notes, err = store.Notes(tx, id)
			return err
		}
		details.Rollout = view
		return err
	})
	return details, err
}

// Receipts are what the machines of a task proved to have installed.
func (s *Service) Receipts(ctx context.Context, who app.Caller, space, id string) (list []store.StoredReceipt, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if _, err := taskFor(tx, who, space, id, authz.TaskView); err != nil {
			return err
		}
		list, err = store.Receipts(tx, id)
		return err
	})
	return list, err
}

// Output reads up to limit bytes of an attempt's log from an offset. The
// caller has read the task's details before, which is where attempts come
// from.
func (s *Service) Output(ctx context.Context, attempt string, from int64, limit int) ([]byte, error) {
	return s.db.Logs().Read(ctx, attempt, from, limit)
}

// WatchTask wakes whenever the task changes.
func (s *Service) WatchTask(id string) (wake <-chan struct{}, cancel func()) {
	return s.db.Watch(store.TopicTasks + "/" + id)
}
