package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// asPerson is a transaction of somebody at the API. One that is refused has
// changed nothing (I12).
func (w *world) asPerson(f func(tx *store.Tx) error) error {
	before, err := w.files[0].version()
	if err != nil {
		return err
	}
	if err := w.db.Write(context.Background(), f); err != nil {
		if after, e := w.files[0].version(); e != nil || after != before {
			w.violated("I12", "refused, and the database has changed: %v", errors.Join(err, e))
		}
		return err
	}
	w.truth.written(nil)
	return nil
}

// tags are what machines are tagged with.
var tags = [][]string{{"web"}, {"web"}, {"web", "zone:a"}, {"web", "db"}, {"db", "zone:b"}}

func (w *world) someTags() []string { return tags[w.rng.IntN(len(tags))] }

// populate makes the machines and lets rollouts be queued, some of them later.
func (w *world) populate() error {
	policy := resource.DefaultMachinePolicy() // one that gives machines up soon
	policy.SpaceID, policy.Name, policy.IsDefault = resource.DefaultSpace, "Impatient", false
	policy.PollingRequestQueueTimeout = resource.TimeSpan(time.Duration(5+w.rng.IntN(20)) * time.Second)
	policy.ConnectionConnectTimeout = policy.PollingRequestQueueTimeout
	var list []*resource.Machine
	for range w.size.machines {
		list = append(list, w.document(len(list)+1))
	}
	err := w.asPerson(func(tx *store.Tx) error {
		policy.ID = ""
		err := store.Insert(tx, policy)
		for _, m := range list {
			m.ID, m.MachinePolicyID = "", policy.ID
			err = errors.Join(err, store.Insert(tx, m))
		}
		return err
	})
	w.policy = policy.ID
	for _, m := range list {
		w.newMachine(m.ID, m.Name)
	}
	w.coming = w.size.rollouts
	for i := range w.size.rollouts {
		at := int64(0)
		if i > 0 && w.rng.IntN(2) == 0 {
			at = w.between(0, w.size.storm*2/3)
		}
		w.after(at, w.queueRollout)
	}
	return err
}

func (w *world) document(n int) *resource.Machine {
	m := &resource.Machine{EnvironmentIDs: []string{w.env}, Roles: w.someTags()}
	m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, fmt.Sprintf("m-%d", n), w.policy
	m.Endpoint = resource.PollingEndpoint("poll://"+m.Name+"/", fmt.Sprintf("%064d", n))
	return m
}

// join adds a machine, which joins the rollouts that are under way (fault 35).
func (w *world) join() {
	if len(w.machines) > 12 {
		return
	}
	m := w.document(len(w.machines) + 1)
	err := w.asPerson(func(tx *store.Tx) error {
		m.ID = ""
		return errors.Join(store.Insert(tx, m), store.Owe(tx, m.ID, m.EnvironmentIDs, "it was registered"))
	})
	w.say("%s: appears: %v", m.Name, err)
	if err == nil {
		w.newMachine(m.ID, m.Name).startAgent()
	}
}

// change tags a machine anew, takes it out of service or back (fault 36), as
// the documents' rules do.
func (m *machine) change() {
	w, off, roles := m.w, m.w.rng.IntN(2) == 0, m.w.someTags()
	if m.vanished {
		return
	}
	var now *resource.Machine
	err := w.asPerson(func(tx *store.Tx) (err error) {
		if now, err = store.Get[resource.Machine](tx, m.id); err != nil {
			return err
		}
		same := slices.Equal(now.Roles, roles)
		now.IsDisabled, now.Roles = off, roles
		err = store.Update(tx, now)
		if !same {
			err = errors.Join(err, store.MachineReplaced(tx, m.id, now.EnvironmentIDs, "its roles have changed"))
		}
		return errors.Join(err, store.MachineChanged(tx, m.id, now.EnvironmentIDs))
	})
	w.say("%s: tagged %v, disabled %v: %v", m.name, roles, off, err)
	if off { // not for ever, or nothing is left to deploy to
		w.after(w.between(1000, 10_000), func() {
			err := w.asPerson(func(tx *store.Tx) (err error) {
				if now, err = store.Get[resource.Machine](tx, m.id); err != nil {
					return err
				}
				now.IsDisabled = false
				return errors.Join(store.Update(tx, now), store.Owe(tx, m.id, now.EnvironmentIDs, "it came back"), store.MachineChanged(tx, m.id, now.EnvironmentIDs))
			})
			w.say("%s: enabled: %v", m.name, err)
		})
	}
}

// cancelOne cancels a rollout.
func (w *world) cancelOne() {
	if len(w.rollouts) == 0 {
		return
	}
	e := w.rollouts[w.rng.IntN(len(w.rollouts))]
	err := w.asPerson(func(tx *store.Tx) error { return store.CancelTask(tx, e.id, "admin") })
	w.say("%s: canceled: %v", e.id, err)
}

// drain takes a node out of service for a while, or all back.
func (w *world) drain(ms int64) {
	for i := range w.size.nodes {
		name := fmt.Sprint("node-", i+1)
		if ms > 0 && w.rng.IntN(w.size.nodes) != 0 {
			continue
		}
		err := w.asPerson(func(tx *store.Tx) error {
			_, err := store.Drain(tx, name, ms > 0)
			return err
		})
		w.say("%s: drained %v: %v", name, ms > 0, err)
		if ms > 0 {
			w.after(ms, func() { w.drain(0) })
			return
		}
	}
}

// attend is a person who answers what rollouts ask, sometimes twice (abuse 95),
// and does for those that have failed what their policy asks.
func (w *world) attend() {
	defer w.after(w.between(300, 4000), w.attend)
	var asked []store.Interruption
	var failed []string
	err := w.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		if asked, _, err = store.ListInterruptions(tx, store.InterruptionQuery{PendingOnly: true}); err != nil {
			return err
		}
		failed, err = store.RollBacks(tx)
		return err
	})
	if err != nil {
		w.violated("database", "%v", err)
	}
	if len(asked) > 0 {
		w.answer(&asked[w.rng.IntN(len(asked))])
	}
	for _, task := range failed {
		w.rollBack(task)
	}
}

func (w *world) answer(q *store.Interruption) {
	q.Responsible, q.ResponsibleName = "Users-1", "admin"
	choice := q.Choices[w.rng.IntN(len(q.Choices))]
	if w.calm && choice == rollout.Retry && w.rng.IntN(3) > 0 {
		choice = rollout.Fail
	}
	say := func(tx *store.Tx) error {
		return errors.Join(store.TakeResponsibility(tx, q.ID, q.Responsible, q.ResponsibleName), store.AnswerInterruption(tx, q, choice, "by hand"))
	}
	err := w.asPerson(say)
	w.say("%s: answered %s: %v", q.ID, choice, err)
	if err == nil && w.rng.IntN(4) == 0 {
		if w.asPerson(func(tx *store.Tx) error { return store.AnswerInterruption(tx, q, rollout.Fail, "again") }) == nil {
			w.violated("I7", "%s was answered twice", q.ID)
		}
	}
}

// rollBack queues what the policy of a failed rollout asks for.
func (w *world) rollBack(task string) {
	var e *expected
	err := w.asPerson(func(tx *store.Tx) (err error) {
		if e, err = w.planned(tx, false); err != nil {
			return err
		}
		return store.RolledBack(tx, task)
	})
	w.say("%s: rolled back by %v: %v", task, e, err)
	if err == nil {
		w.rollouts, w.over = append(w.rollouts, e), 0
	}
}

// queueRollout queues a rollout with a plan of its own.
func (w *world) queueRollout() {
	var e *expected
	err := w.asPerson(func(tx *store.Tx) (err error) {
		e, err = w.planned(tx, w.odds(8))
		return err
	})
	if err != nil {
		w.violated("database", "queue a rollout: %v", err)
		return
	}
	w.coming--
	w.rollouts = append(w.rollouts, e)
	w.say("%s is queued", e)
}

func (w *world) planned(tx *store.Tx, rollBack bool) (*expected, error) {
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return nil, err
	}
	project := fmt.Sprintf("Projects-%d", 1+w.rng.IntN(2))
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Deploy, Task: id, Space: rollout.Ref{ID: resource.DefaultSpace},
		Project: rollout.Ref{ID: project, Name: project}, Environment: rollout.Ref{ID: w.env, Name: "Production"},
		Release:         rollout.Ref{ID: "Releases-" + id, Name: "1.0." + id},
		SkipUnavailable: w.odds(2), Guided: w.odds(5), AskUnknown: w.odds(2), RollBack: rollBack,
	}
	if w.odds(3) {
		plan.AnswerWithin = w.between(5000, 60_000)
	}
	for n := range 1 + w.rng.IntN(3) {
		plan.Steps = append(plan.Steps, w.someStep(n))
	}
	now := tx.Now().UnixMilli()
	task := &store.Task{ID: id, SpaceID: resource.DefaultSpace, Name: string(plan.Kind), State: store.TaskQueued, ProjectID: project, EnvironmentID: w.env}
	if w.odds(6) {
		task.QueueTime = now + w.between(0, 5000)
	}
	if w.odds(10) {
		task.ExpiryTime = now + w.between(5000, 60_000)
	}
	return &expected{id: id, key: project, plan: plan, mayFail: w.odds(4)}, errors.Join(store.InsertTask(tx, task), store.InsertRollout(tx, plan))
}

// odds is true once in n times.
func (w *world) odds(n int) bool { return w.rng.IntN(n) == 0 }

func (w *world) someStep(n int) rollout.Step {
	step := rollout.Step{
		ID: fmt.Sprint("step-", n), Name: fmt.Sprint("step ", n), Number: n + 1, Condition: rollout.ConditionSuccess,
		Roles: []string{[]string{"web", "db"}[w.rng.IntN(2)]}, WithPrevious: n > 0 && w.odds(4), Zonal: w.odds(8),
	}
	switch w.rng.IntN(5) {
	case 0, 1:
		step.Window.Number = 1 + w.rng.IntN(2)
	case 2:
		step.Window.Percent = 10 + w.rng.IntN(90)
	}
	switch w.rng.IntN(12) {
	case 0:
		step.Condition = rollout.ConditionAlways
	case 1:
		step.Condition = rollout.ConditionFailure
	case 2:
		step.Condition, step.Expression = rollout.ConditionVariable, "#{unless Octopus.Deployment.Error}true#{/unless}"
	}
	switch w.rng.IntN(8) {
	case 0:
		step.Tolerate.Number = 1
	case 1:
		step.Tolerate.Percent = 50
	case 2:
		step.Tolerate.All = true
	}
	if w.odds(15) {
		step.Limit = w.between(10_000, 60_000)
	}
	for a := range 1 + w.rng.IntN(2) {
		step.Actions = append(step.Actions, w.someAction(n, a))
	}
	return step
}

func (w *world) someAction(n, a int) rollout.Action {
	action := rollout.Action{
		ID: fmt.Sprintf("action-%d-%d", n, a), Name: fmt.Sprintf("action %d.%d", n, a), Number: fmt.Sprint(a + 1), Type: "Octopus.Script",
		Condition: rollout.ConditionSuccess, Properties: map[string]string{"Octopus.Action.Script.ScriptBody": "true"}, Idempotent: w.odds(10),
	}
	switch {
	case w.odds(15):
		action.Type, action.Manual = "Octopus.Manual", &rollout.Manual{Instructions: "Look."}
		if w.odds(2) {
			action.Manual.Within = w.between(2000, 20_000)
		}
		return action
	case w.odds(3):
		action.Type, action.Receipt = "Octopus.TentaclePackage", true
		action.Packages = []rollout.Package{{PackageID: "Shop", Version: "1.0.0", SHA256: w.pkg.SHA256, Size: w.pkg.Size, Extension: ".zip", Extract: true}}
	}
	action.RunOnce = a == 0 && w.odds(8)
	if w.odds(5) {
		action.Retries, action.Backoff = 1+w.rng.IntN(2), w.between(200, 3000)
	}
	if w.odds(12) {
		action.Limit = w.between(500, 30_000)
	}
	if a > 0 && w.odds(6) {
		action.Condition = []rollout.Condition{rollout.ConditionAlways, rollout.ConditionFailure}[w.rng.IntN(2)]
	}
	if w.odds(4) {
		action.Secrets = map[string]rollout.SecretRef{"Password": {Document: w.secrets[w.rng.IntN(len(w.secrets))], Field: "Password"}}
	}
	return action
}
