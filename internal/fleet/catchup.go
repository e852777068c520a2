package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// refused is the TaskID of a debt whose catch-up could not even be planned.
const refused = "-"

// key is what catch-ups are for: one at a time per project, environment and
// tenant.
type key struct{ project, environment, tenant string }

// catchUp brings machines that are owed a release to it: one visible task for
// all machines of a project and environment that are connected now. It waits
// while a rollout of that project and environment runs or is queued, so that
// the release is the one that will be desired.
func (f *Fleet) catchUp(ctx context.Context) error {
	var due []key
	err := f.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		due, err = f.dueKeys(tx)
		return err
	})
	for _, k := range due {
		err = errors.Join(err, f.catchUpKey(ctx, k))
	}
	return err
}

// dueKeys are those with a debt that something can be done about: what only
// waits costs no write. Data that were restored from a backup may want an old
// release: nothing is due until a person has confirmed them (fault 33).
func (f *Fleet) dueKeys(tx *store.Tx) ([]key, error) {
	if held, err := store.Held(tx); held || err != nil {
		return nil, err
	}
	all, err := store.OwedAll(tx)
	if err != nil {
		return nil, err
	}
	var due []key
	for len(all) > 0 {
		k := keyOf(&all[0])
		n := slices.IndexFunc(all, func(o store.Owed) bool { return keyOf(&o) != k })
		if n < 0 {
			n = len(all)
		}
		moves, err := decide(tx, k, all[:n])
		if err != nil {
			return nil, err
		}
		if moves.any() {
			due = append(due, k)
		}
		all = all[n:]
	}
	return due, nil
}

func keyOf(o *store.Owed) key { return key{o.ProjectID, o.EnvironmentID, o.TenantID} }

// catchUpKey does what can be done about the debts of one key, as they are
// now. What cannot be planned is noted in a transaction of its own: the first
// has left nothing behind.
func (f *Fleet) catchUpKey(ctx context.Context, k key) error {
	var why *resource.Error
	err := f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		moves, err := settle(tx, k)
		if err != nil || len(moves.ready) == 0 {
			return err
		}
		ids := machinesOf(moves.ready)
		task, without, err := f.cfg.Deploy.CatchUp(tx, k.project, k.environment, ids)
		if known, ok := errors.AsType[*resource.Error](err); ok && known.Code != resource.Unavailable && known.Code != resource.Internal {
			why = known
		}
		if err != nil {
			return err
		}
		return begin(tx, moves.ready, task, without)
	})
	if why == nil {
		return err
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		moves, err := settle(tx, k)
		for _, o := range moves.ready {
			o.TaskID, o.Error = refused, why.Message
			err = errors.Join(err, store.SetOwed(tx, o))
		}
		return errors.Join(err, recheck(tx, machinesOf(moves.ready), ""))
	})
}

func machinesOf(owed []*store.Owed) []string {
	var ids []string
	for _, o := range owed {
		ids = append(ids, o.MachineID)
	}
	return ids
}

// begin notes which machines the task catches up, and forgets the debts of
// those that no step concerns.
func begin(tx *store.Tx, ready []*store.Owed, task string, without []string) error {
	for _, o := range ready {
		if slices.Contains(without, o.MachineID) {
			if err := store.NotOwed(tx, o); err != nil {
				return err
			}
			continue
		}
		o.TaskID, o.Error = task, ""
		if err := store.SetOwed(tx, o); err != nil {
			return err
		}
	}
	return recheck(tx, without, "")
}

// moves are what is to be done about the debts of one key.
type moves struct {
	drop   []*store.Owed // settled, or of a machine that is not there any more
	change []*store.Owed // with a new error, or to be tried again
	ready  []*store.Owed // to be caught up now
}

func (m *moves) any() bool { return len(m.drop)+len(m.change)+len(m.ready) > 0 }

// settle carries out what needs no task, and leaves the machines that are
// ready for one.
func settle(tx *store.Tx, k key) (m moves, err error) {
	owed, err := store.OwedIn(tx, k.project, k.environment, k.tenant)
	if err != nil {
		return m, err
	}
	if m, err = decide(tx, k, owed); err != nil {
		return m, err
	}
	for _, o := range m.drop {
		err = errors.Join(err, store.NotOwed(tx, o))
	}
	for _, o := range m.change {
		err = errors.Join(err, store.SetOwed(tx, o))
	}
	return m, errors.Join(err, recheck(tx, append(machinesOf(m.drop), machinesOf(m.change)...), ""))
}

// decide looks at the debts of one key and changes nothing.
func decide(tx *store.Tx, k key, owed []store.Owed) (m moves, err error) {
	tasks := ended{}
	for i := range owed {
		o := &owed[i]
		machine, err := store.Get[resource.Machine](tx, o.MachineID)
		if err != nil && resource.CodeOf(err) != resource.NotFound {
			return m, err
		}
		if machine == nil || err != nil || o.TaskID == store.Settled || !slices.Contains(machine.EnvironmentIDs, o.EnvironmentID) {
			m.drop = append(m.drop, o)
			continue
		}
		session, err := store.GetSession(tx, o.MachineID)
		if err != nil {
			return m, err
		}
		connected := session != nil && session.State == store.SessionConnected
		if o.TaskID == "" {
			if connected && !machine.IsDisabled {
				m.ready = append(m.ready, o)
			}
			continue
		}
		since := int64(0)
		if connected {
			since = session.ConnectedAt
		}
		changed, err := tasks.judge(tx, o, since)
		if err != nil {
			return m, err
		}
		if changed {
			m.change = append(m.change, o)
		}
	}
	if len(m.ready) > 0 {
		busy, err := rolloutPending(tx, k)
		if err != nil {
			return m, err
		}
		if busy {
			m.ready = nil
		}
	}
	return m, nil
}

// ended are the catch-ups that were looked at, with their machines.
type ended map[string]*outcome

type outcome struct {
	task    *store.Task
	members []rollout.Member
}

// judge looks at a debt whose catch-up has ended, or is still to. A machine
// that was left without the release because another one failed, or because its
// link was lost and is there again, is tried once more; else the debt keeps
// the error, and the machine stays unhealthy, until a newer release or a
// person asks again. since is when the machine connected, 0 when it is not.
func (e ended) judge(tx *store.Tx, o *store.Owed, since int64) (changed bool, err error) {
	if strings.Contains(o.TaskID, "/") || o.TaskID == refused {
		return false, nil
	}
	of, err := e.of(tx, o.TaskID)
	if err != nil || of == nil {
		return false, err
	}
	at := slices.IndexFunc(of.members, func(m rollout.Member) bool { return m.ID == o.MachineID })
	missed := at >= 0 && of.members[at].State == rollout.MemberNotDeployed
	blameless := at >= 0 && of.members[at].State == rollout.MemberLive && !of.members[at].Failed
	switch {
	case missed && since > of.task.CompletedTime, o.Error == "" && blameless && of.failed():
		o.TaskID, o.Error = "", ""
	case o.Error != "":
		return false, nil
	case missed:
		o.Error = of.members[at].Reason + "."
	default:
		if o.Error = of.task.Error; o.Error == "" {
			o.Error = fmt.Sprintf("%s ended (%s) without a proof for this machine.", of.task.ID, strings.ToLower(string(of.task.State)))
		}
	}
	return true, nil
}

// of reads a catch-up that has ended; nil for one that has not.
func (e ended) of(tx *store.Tx, id string) (*outcome, error) {
	if known, seen := e[id]; seen {
		return known, nil
	}
	task, err := store.GetTask(tx, id)
	if err != nil {
		return nil, err
	}
	if !task.State.Completed() {
		e[id] = nil
		return nil, nil
	}
	members, err := store.MembersOf(tx, id)
	e[id] = &outcome{task, members}
	return e[id], err
}

// failed says whether the catch-up failed on one of its machines: without it,
// the others may get on.
func (o *outcome) failed() bool {
	return o.task.State == store.TaskFailed && slices.ContainsFunc(o.members, func(m rollout.Member) bool { return m.Failed })
}

// rolloutPending says whether a rollout of the key runs or waits.
func rolloutPending(tx *store.Tx, k key) (bool, error) {
	tasks, _, err := store.ListTasks(tx, store.TaskQuery{
		ProjectID: k.project, EnvironmentID: k.environment, TenantID: k.tenant, Take: 1,
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
