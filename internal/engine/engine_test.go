package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// node is a server without gateway and API: the tests speak for the agents.
type node struct {
	t      *testing.T
	dir    string
	db     *store.DB
	env    string
	other  string // an environment that nothing is deployed to
	cancel context.CancelCauseFunc
	done   chan error
	runs   int
	passed atomic.Int64 // what the clock is ahead of the machine's, in ms
}

func (n *node) now() time.Time {
	return time.Now().Add(time.Duration(n.passed.Load()) * time.Millisecond)
}

// later lets the time pass.
func (n *node) later(ms int64) { n.passed.Add(ms) }

// settled waits until the running engine has done all that it could for the
// rollout.
func (n *node) settled(id string) {
	n.t.Helper()
	owner := fmt.Sprintf("node-1/%d", n.runs)
	n.eventually(id+" to settle", func(tx *store.Tx) (bool, error) {
		due, err := store.DueRollouts(tx, owner, 100)
		view, e := store.ViewRollout(tx, id)
		return e == nil && view.Row.State != rollout.Queued && !slices.ContainsFunc(due, func(o store.Owned) bool { return o.ID == id }), errors.Join(err, e)
	})
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	keys, err := secret.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir}
	db, err := store.Open(t.Context(), store.Config{Path: dir, Database: storetest.Database(t), Keys: keys, Now: n.now})
	if err != nil {
		t.Fatal(err)
	}
	n.db = db
	n.write(func(tx *store.Tx) error {
		env := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Production"}
		other := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Elsewhere"}
		err := errors.Join(store.Seed(tx, store.Admin{Username: "admin"}), store.Insert(tx, env), store.Insert(tx, other))
		n.env, n.other = env.ID, other.ID
		return err
	})
	t.Cleanup(func() {
		n.stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) write(f func(*store.Tx) error) {
	n.t.Helper()
	if err := n.db.Write(context.Background(), f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) read(f func(*store.Tx) error) {
	n.t.Helper()
	if err := n.db.Read(context.Background(), f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) start() {
	ctx, cancel := context.WithCancelCause(context.Background())
	n.cancel, n.done = cancel, make(chan error, 1)
	n.runs++
	e := engine.New(engine.Config{DB: n.db, Node: "node-1", Logger: slog.New(slog.DiscardHandler), Now: n.now})
	if err := e.Begin(ctx); err != nil {
		n.t.Fatal(err)
	}
	go func() { n.done <- e.Run(ctx) }()
}

func (n *node) stop() {
	if n.cancel == nil {
		return
	}
	n.cancel(nil)
	if err := <-n.done; err != nil {
		n.t.Errorf("engine: %v", err)
	}
	n.cancel = nil
}

func (n *node) machine(name, role string) string {
	n.t.Helper()
	m := &resource.Machine{EnvironmentIDs: []string{n.env}, Roles: []string{role}}
	m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, name, "MachinePolicies-1"
	m.Endpoint = resource.PollingEndpoint("poll://"+name+"/", strings.Repeat("A", 60)+fmt.Sprintf("%04d", len(name)))
	n.write(func(tx *store.Tx) error { return store.Insert(tx, m) })
	return m.ID
}

// deploy queues a rollout with one step over the role.
func (n *node) deploy(kind rollout.Kind, project, release, role string) string {
	n.t.Helper()
	return n.deployWith(project, func(p *rollout.Plan) {
		p.Kind, p.Release.ID, p.Steps[0].Roles = kind, release, []string{role}
	})
}

// deployWith queues a rollout whose plan the test has changed.
func (n *node) deployWith(project string, change func(*rollout.Plan)) string {
	n.t.Helper()
	var id string
	n.write(func(tx *store.Tx) (err error) {
		if id, err = tx.NextID("ServerTasks"); err != nil {
			return err
		}
		plan := &rollout.Plan{
			Rules: rollout.Rules, Kind: rollout.Deploy, Task: id, Space: rollout.Ref{ID: resource.DefaultSpace},
			Project: rollout.Ref{ID: project}, Environment: rollout.Ref{ID: n.env}, Release: rollout.Ref{ID: "Releases-1"},
			Steps: []rollout.Step{{
				ID: "s", Name: "deploy", Number: 1, Condition: rollout.ConditionSuccess, Roles: []string{"web"},
				Actions: []rollout.Action{{ID: "a", Name: "deploy", Type: "Octopus.Script", Condition: rollout.ConditionSuccess}},
			}},
		}
		change(plan)
		task := &store.Task{ID: id, SpaceID: resource.DefaultSpace, Name: string(plan.Kind), State: store.TaskQueued, ProjectID: project, EnvironmentID: n.env}
		return errors.Join(store.InsertTask(tx, task), store.InsertRollout(tx, plan))
	})
	return id
}

// eventually waits until a condition over the store holds.
func (n *node) eventually(what string, holds func(tx *store.Tx) (bool, error)) {
	n.t.Helper()
	wake, stop := n.db.Watch(store.TopicTasks)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		ok := false
		n.read(func(tx *store.Tx) (err error) {
			ok, err = holds(tx)
			return err
		})
		if ok {
			return
		}
		select {
		case <-wake:
		case <-tick.C:
		case <-deadline.C:
			n.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func (n *node) awaitState(id string, state store.TaskState) {
	n.t.Helper()
	n.eventually(id+" to be "+string(state), func(tx *store.Tx) (bool, error) {
		task, err := store.GetTask(tx, id)
		return err == nil && task.State == state, err
	})
}

// awaitStart waits for the start of an attempt on the machine and answers it
// as its agent would.
func (n *node) awaitStart(machine string) (attempt string) {
	n.t.Helper()
	n.eventually("a start on "+machine, func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, machine, 10)
		for _, d := range list {
			if d.Kind == rollout.StartAttempt {
				attempt = d.Attempt
			}
		}
		return attempt != "", err
	})
	n.write(func(tx *store.Tx) error {
		if _, err := store.MarkSent(tx, attempt); err != nil {
			return err
		}
		list, err := store.Deliveries(tx, machine, 10)
		for i := range list {
			err = errors.Join(err, store.Delivered(tx, &list[i]))
		}
		id, _, _ := strings.Cut(attempt, ".")
		return errors.Join(err, store.Post(tx, id, "started/"+attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Started, Attempt: attempt}, nil))
	})
	return attempt
}

func (n *node) end(attempt string, outcome rollout.Outcome) {
	n.t.Helper()
	id, _, _ := strings.Cut(attempt, ".")
	n.write(func(tx *store.Tx) error {
		return store.Post(tx, id, "ended/"+attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: attempt, End: &rollout.End{Outcome: outcome, Reason: "test"}}, nil)
	})
}

// fault 39: one deployment per project, environment and tenant at a time; the
// other says what it waits for.
func TestTheSameProjectAndEnvironmentOneAtATime(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	first := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	second := n.deploy(rollout.Deploy, "Projects-1", "Releases-2", "web")
	n.eventually("the second to say what it waits for", func(tx *store.Tx) (bool, error) {
		task, err := store.GetTask(tx, second)
		return err == nil && task.State == store.TaskQueued && strings.HasPrefix(task.WaitsFor, first+" "), err
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(first, store.TaskSuccess)
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	n.awaitState(second, store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		desired, err := store.DesiredIn(tx, n.env)
		if err != nil || len(desired) != 1 || desired[0].ReleaseID != "Releases-2" || desired[0].PreviousReleaseID != "Releases-1" {
			t.Errorf("desired is %+v", desired)
		}
		return err
	})
}

// fault 40: a machine works for one attempt at a time, first come first
// served, across projects.
func TestTwoProjectsTakeTurnsOnAMachine(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	first := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	second := n.deploy(rollout.Deploy, "Projects-2", "Releases-2", "web")
	n.awaitState(second, store.TaskExecuting)
	n.read(func(tx *store.Tx) error {
		list, err := store.Deliveries(tx, web, 10)
		if len(list) != 0 {
			t.Errorf("the second project's attempt was started beside the first: %+v", list)
		}
		return err
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(first, store.TaskSuccess)
	n.end(n.awaitStart(web), rollout.OutcomeFailed)
	n.awaitState(second, store.TaskFailed)
}

// faults 2, 5, 17: a report that arrived before a restart counts once after
// it, and the former owner's turns are fenced.
func TestARestartGoesOnWithoutRepeating(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	n.stop()
	n.end(attempt, rollout.OutcomeSucceeded)
	n.end(attempt, rollout.OutcomeFailed) // the same report again: it is there already
	n.start()
	n.awaitState(id, store.TaskSuccess)
	err := n.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := store.OpenTurn(tx, id, "node-1/1", 1)
		return err
	})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("the former owner's turn: %v", err)
	}
}

// A machine whose silence ends the rollout does not count as deployed, and is
// owed the release; the others have it (P1).
func TestTheLastMachineIsSilent(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web, late := n.machine("web1", "web"), n.machine("web20", "web")
	n.write(func(tx *store.Tx) error {
		policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
		if err != nil {
			return err
		}
		policy.PollingRequestQueueTimeout = resource.TimeSpan(time.Second)
		return store.Update(tx, policy)
	})
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskFailed)
	n.read(func(tx *store.Tx) error {
		has, err := store.DeployedOn(tx, web)
		hasNot, lateErr := store.DeployedOn(tx, late)
		owed, owedErr := store.OwedTo(tx, late)
		if len(has) != 1 || len(hasNot) != 0 || len(owed) != 1 {
			t.Errorf("deployed: %+v and %+v, owed: %+v", has, hasNot, owed)
		}
		return errors.Join(err, lateErr, owedErr)
	})
}

// A machine that comes while a release is rolled out is owed it afterwards.
func TestANewcomerIsOwedTheRelease(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	late := n.machine("web20", "web")
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		owed, err := store.OwedTo(tx, late)
		if len(owed) != 1 || owed[0].ProjectID != "Projects-1" {
			t.Errorf("owed: %+v", owed)
		}
		return err
	})
}

// A catch-up that waited while a newer release was deployed must not bring
// the older one.
func TestAnOvertakenCatchUpIsNotRun(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	n.end(func() string { n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web"); return n.awaitStart(web) }(), rollout.OutcomeSucceeded)
	n.deploy(rollout.Deploy, "Projects-1", "Releases-2", "web")
	attempt := n.awaitStart(web)
	stale := n.deploy(rollout.CatchUp, "Projects-1", "Releases-1", "web")
	n.end(attempt, rollout.OutcomeSucceeded)
	n.awaitState(stale, store.TaskCanceled)
}

// fault 7: a cancel that was asked for before the owner went down is carried
// out by the next one.
func TestCancelSurvivesARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	n.stop()
	n.write(func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
	n.start()
	n.eventually("the cancel to reach the agent", func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, web, 10)
		return len(list) == 1 && list[0].Kind == rollout.CancelAttempt, err
	})
	n.end(attempt, rollout.OutcomeCanceled)
	n.awaitState(id, store.TaskCanceled)
}

func TestQueuedTasksAreCanceledAndExpire(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.machine("web1", "web")
	canceled := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	expired := n.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web")
	n.write(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, expired)
		task.ExpiryTime = tx.Now().UnixMilli() - 1
		return errors.Join(err, store.Reschedule(tx, task), store.CancelTask(tx, canceled, "ann"))
	})
	n.start()
	n.awaitState(expired, store.TaskTimedOut)
	n.awaitState(canceled, store.TaskCanceled)
	err := n.db.Write(t.Context(), func(tx *store.Tx) error { return store.CancelTask(tx, canceled, "bob") })
	if resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("canceling twice: %v", err)
	}
}
