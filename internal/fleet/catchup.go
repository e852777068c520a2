package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// catchUp brings machines that are owed a release to it: one visible task for
// all machines of a project and environment that are connected now. It waits
// while a rollout of that project and environment runs or is queued, so that
// the release is the one that will be desired.
func (f *Fleet) catchUp(ctx context.Context) error {
	var owed []store.Owed
	err := f.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		owed, err = store.OwedAll(tx)
		return err
	})
	if err != nil || len(owed) == 0 {
		return err
	}
	for len(owed) > 0 {
		n := 1
		for n < len(owed) && sameKey(&owed[n], &owed[0]) {
			n++
		}
		err = errors.Join(err, f.cfg.DB.Write(ctx, func(tx *store.Tx) error { return f.catchUpKey(tx, owed[:n]) }))
		owed = owed[n:]
	}
	return err
}

func sameKey(a, b *store.Owed) bool {
	return a.ProjectID == b.ProjectID && a.EnvironmentID == b.EnvironmentID && a.TenantID == b.TenantID
}

// catchUpKey handles the debts of one project and environment.
func (f *Fleet) catchUpKey(tx *store.Tx, owed []store.Owed) error {
	var ready []string
	for i := range owed {
		o := &owed[i]
		open, err := settle(tx, o)
		if err != nil {
			return err
		}
		if open {
			ready = append(ready, o.MachineID)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	key := &owed[0]
	if busy, err := rolloutPending(tx, key); err != nil || busy {
		return err
	}
	task, without, err := f.cfg.Deploy.CatchUp(tx, key.ProjectID, key.EnvironmentID, ready)
	if err != nil {
		return f.refuse(tx, owed, ready, err)
	}
	for i := range owed {
		o := &owed[i]
		switch {
		case slices.Contains(without, o.MachineID):
			if err := errors.Join(store.NotOwed(tx, o), recheck(tx, o.MachineID)); err != nil {
				return err
			}
		case slices.Contains(ready, o.MachineID):
			o.TaskID, o.Error = task, ""
			if err := store.SetOwed(tx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse notes why a catch-up could not even be planned.
func (f *Fleet) refuse(tx *store.Tx, owed []store.Owed, ready []string, why error) error {
	known, ok := errors.AsType[*resource.Error](why)
	if !ok {
		return why
	}
	for i := range owed {
		if o := &owed[i]; slices.Contains(ready, o.MachineID) {
			o.TaskID, o.Error = "-", known.Message
			if err := errors.Join(store.SetOwed(tx, o), recheck(tx, o.MachineID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle looks at one debt: open says that the machine may be caught up now.
// A catch-up that has ended without proof leaves its error, and the machine
// unhealthy, until a newer release or a person asks again.
func settle(tx *store.Tx, o *store.Owed) (open bool, err error) {
	switch o.TaskID {
	case store.Settled:
		return false, errors.Join(store.NotOwed(tx, o), recheck(tx, o.MachineID))
	case "":
	default:
		return false, settleTask(tx, o)
	}
	m, err := store.Get[resource.Machine](tx, o.MachineID)
	if resource.CodeOf(err) == resource.NotFound {
		return false, store.NotOwed(tx, o)
	}
	if err != nil {
		return false, err
	}
	if !slices.Contains(m.EnvironmentIDs, o.EnvironmentID) {
		return false, errors.Join(store.NotOwed(tx, o), recheck(tx, m.ID))
	}
	session, err := store.GetSession(tx, o.MachineID)
	return err == nil && !m.IsDisabled && session != nil && session.State == store.SessionConnected, err
}

func settleTask(tx *store.Tx, o *store.Owed) error {
	if o.Error != "" || o.TaskID == "-" {
		return nil
	}
	task, err := store.GetTask(tx, o.TaskID)
	if err != nil || !task.State.Completed() {
		return err
	}
	o.Error = task.Error
	if o.Error == "" {
		o.Error = fmt.Sprintf("%s ended (%s) without a proof for this machine.", task.ID, strings.ToLower(string(task.State)))
	}
	return errors.Join(store.SetOwed(tx, o), recheck(tx, o.MachineID))
}

// recheck queues a health check, so that the machine's health says what has
// changed.
func recheck(tx *store.Tx, machine string) error {
	m, err := store.Get[resource.Machine](tx, machine)
	if resource.CodeOf(err) == resource.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = QueueHealth(tx, "system", m.SpaceID, "Check health of "+m.Name, []string{m.ID})
	return err
}

// rolloutPending says whether a rollout of the key runs or waits.
func rolloutPending(tx *store.Tx, o *store.Owed) (bool, error) {
	tasks, _, err := store.ListTasks(tx, store.TaskQuery{
		ProjectID: o.ProjectID, EnvironmentID: o.EnvironmentID, TenantID: o.TenantID, Take: 1,
		States: []store.TaskState{store.TaskQueued, store.TaskExecuting, store.TaskCancelling},
	})
	return len(tasks) > 0, err
}

// Retry asks for another catch-up of machines whose last one failed.
func Retry(tx *store.Tx, machines []string) error {
	for _, id := range machines {
		owed, err := store.OwedTo(tx, id)
		if err != nil {
			return err
		}
		for i := range owed {
			if owed[i].Error != "" {
				owed[i].TaskID, owed[i].Error = "", ""
				if err := store.SetOwed(tx, &owed[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
