package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// cluster is several engines over one database, driven by hand: nothing moves
// but what the test calls, by a clock that the test sets. On PostgreSQL each has
// a store of its own.
type cluster struct {
	*node
	dbs []*store.DB
}

func newCluster(t *testing.T, size int) *cluster {
	t.Helper()
	c := &cluster{node: &node{t: t}}
	address, folder := storetest.Database(t), t.TempDir()
	keys, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		if address == "" && i > 0 {
			c.dbs = append(c.dbs, c.dbs[0])
			continue
		}
		db, err := store.Open(t.Context(), store.Config{Path: t.TempDir(), Database: address, Keys: keys, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		c.dbs = append(c.dbs, db)
	}
	c.db = c.dbs[0]
	c.write(func(tx *store.Tx) error {
		env := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Production"}
		err := errors.Join(store.Seed(tx, store.Admin{Username: "admin"}), store.Insert(tx, env))
		c.env = env.ID
		return err
	})
	return c
}

// begin starts a node; call is one of its turns of the wheel.
func (c *cluster) begin(i int, name string) *engine.Engine {
	c.t.Helper()
	e := engine.New(engine.Config{DB: c.dbs[i], Node: name, Logger: slog.New(slog.DiscardHandler), Now: c.now})
	c.call(e.Begin)
	return e
}

func (c *cluster) call(f func(context.Context) error) {
	c.t.Helper()
	if err := f(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// ownerOf is who owns a rollout, under which epoch.
func (c *cluster) ownerOf(id string) (owner string, epoch int64) {
	c.t.Helper()
	c.read(func(tx *store.Tx) (err error) {
		owner, epoch, err = store.OwnerOf(tx, id)
		return err
	})
	return owner, epoch
}

// starts are the starts that wait for a machine.
func (c *cluster) starts(machine string) (list []store.Delivery) {
	c.t.Helper()
	c.read(func(tx *store.Tx) (err error) { list, err = store.Deliveries(tx, machine, 10); return err })
	return slices.DeleteFunc(list, func(d store.Delivery) bool { return d.Kind != rollout.StartAttempt })
}

// succeed ends the attempt as the gateway of any node would.
func (c *cluster) succeed(d store.Delivery) {
	c.t.Helper()
	c.write(func(tx *store.Tx) error {
		if sent, err := store.MarkSent(tx, d.Attempt); err != nil || !sent {
			return errors.Join(err, fmt.Errorf("%s is not to be sent", d.Attempt))
		}
		return errors.Join(store.Delivered(tx, &d), store.Post(tx, d.Rollout, "ended/"+d.Attempt, rollout.Event{
			At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: d.Attempt, End: &rollout.End{Outcome: rollout.OutcomeSucceeded},
		}, nil))
	})
}

func (c *cluster) wantState(id string, want store.TaskState) {
	c.t.Helper()
	c.read(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, id)
		if err == nil && task.State != want {
			c.t.Errorf("%s is %s, want %s", id, task.State, want)
		}
		return err
	})
}

// Fault 2: a node that dies loses its rollouts to another when its lease has
// ended, not before, and within 10 seconds; what it had sent is not sent anew.
func TestADeadNodesRolloutsAreTakenOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	a, b := c.begin(0, "a"), c.begin(1, "b")
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(a.Round)
	before := c.starts(web)
	if owner, _ := c.ownerOf(id); owner != "a/1" || len(before) != 1 {
		t.Fatalf("owner %s, starts %v", owner, before)
	}
	for dead := int64(0); dead < 6000; dead += 2000 { // a renews no more
		c.call(b.Renew)
		c.call(b.Round)
		if owner, _ := c.ownerOf(id); owner != "a/1" {
			t.Fatalf("taken over after %d ms", dead)
		}
		c.later(2000)
	}
	c.call(b.Renew)
	owner, epoch := c.ownerOf(id)
	after := c.starts(web)
	if owner != "b/1" || epoch != before[0].Epoch+1 || len(after) != 1 || after[0].Epoch != epoch || after[0].Attempt != before[0].Attempt {
		t.Fatalf("owner %s, epoch %d, starts %+v, before %+v", owner, epoch, after, before)
	}
	c.read(func(tx *store.Tx) error {
		stale, err := store.Deliverable(tx, &before[0])
		if stale {
			t.Error("the effect of the dead owner may still be sent")
		}
		return err
	})
	c.succeed(after[0])
	c.call(b.Round)
	c.wantState(id, store.TaskSuccess)
}

// Fault 30: a node that was paused finds its rollouts owned by
// another; it changes nothing, and works on as one of the two.
func TestAPausedOwnerWakesUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	a, b := c.begin(0, "a"), c.begin(1, "b")
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(a.Round)
	for range 3 {
		c.later(5000)
		c.call(b.Renew)
		c.call(b.Round)
	}
	start := c.starts(web)
	c.succeed(start[0])
	c.call(a.Round) // it has not noticed that time has passed, or has: nothing moves
	if owner, epoch := c.ownerOf(id); owner != "b/1" || epoch != start[0].Epoch {
		t.Errorf("the paused node owns it again: %s, %d", owner, epoch)
	}
	c.wantState(id, store.TaskExecuting)
	c.call(a.Renew)
	c.call(a.Round)
	c.wantState(id, store.TaskExecuting)
	c.call(b.Round)
	c.wantState(id, store.TaskSuccess)
	next := c.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web")
	c.call(a.Round)
	if owner, _ := c.ownerOf(next); owner != "a/1" {
		t.Errorf("the node that woke up takes no work: %q owns it", owner)
	}
}

// Fault 30: the turn itself is fenced, whatever the node believes of its lease.
func TestATurnOfAFormerOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	a, b := c.begin(0, "a"), c.begin(1, "b")
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(a.Round)
	_, epoch := c.ownerOf(id)
	c.later(7000)
	c.call(b.Renew)
	err := c.dbs[0].Write(t.Context(), func(tx *store.Tx) error {
		_, err := store.OpenTurn(tx, id, "a/1", epoch)
		return err
	})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("a former owner's turn: %v", err)
	}
	if len(c.starts(web)) != 1 {
		t.Error("the start is gone")
	}
}

// Faults 27 and 28: an owner that could not renew in time takes no turn before
// the others may take its rollouts, however slow the answer was.
func TestALateRenewalCountsFromItsBegin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	web := c.machine("web1", "web")
	slow := &slowly{Database: c.db}
	a := engine.New(engine.Config{DB: slow, Node: "a", Logger: slog.New(slog.DiscardHandler), Now: c.now})
	c.call(a.Begin)
	slow.after = func() { c.later(5000) } // the answer of each write takes 5 s
	c.call(a.Renew)
	c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(a.Round)
	if len(c.starts(web)) != 0 {
		t.Error("a turn was taken 5 s after the lease was asked for")
	}
	slow.after = func() {}
	c.call(a.Renew)
	c.call(a.Round)
	if len(c.starts(web)) != 1 {
		t.Error("no turn was taken with a lease")
	}
}

type slowly struct {
	engine.Database
	after func()
}

func (s *slowly) Write(ctx context.Context, f func(*store.Tx) error) error {
	err := s.Database.Write(ctx, f)
	if s.after != nil {
		s.after()
	}
	return err
}

// Fault 54, I14: nodes that die in recovery, ten times in a row, leave the same
// state as one that does not.
func TestCrashesInRecovery(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(c.begin(0, "a").Round)
	first := c.starts(web)[0].Attempt
	for i := range 10 {
		e := c.begin(i%2, fmt.Sprint("n", i%3))
		if i%2 == 0 {
			c.later(7000)
			c.call(e.Renew)
		}
	}
	c.later(7000)
	last := c.begin(0, "last")
	c.call(last.Round)
	starts := c.starts(web)
	if len(starts) != 1 || starts[0].Attempt != first {
		t.Fatalf("starts %+v, want one of %s", starts, first)
	}
	c.succeed(starts[0])
	c.call(last.Round)
	c.wantState(id, store.TaskSuccess)
}

// Fault 1: two nodes that look at the same queue start each rollout once.
func TestTwoNodesOneQueue(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	var ids []string
	for i := range 10 {
		ids = append(ids, c.deploy(rollout.Deploy, fmt.Sprint("Projects-", i), "Releases-1", "web"))
	}
	engines := []*engine.Engine{c.begin(0, "a"), c.begin(1, "b")}
	done := make(chan error)
	for _, e := range engines {
		go func() { done <- e.Round(context.Background()) }()
	}
	for range engines {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if _, epoch := c.ownerOf(id); epoch > 2 { // begun once, and given the machine once
			t.Errorf("%s was claimed %d times", id, epoch)
		}
		c.wantState(id, store.TaskExecuting)
	}
	if n := len(c.starts(web)); n != 1 {
		t.Errorf("%d starts at once on one machine", n)
	}
}

// design 5.5: a rollout that only waits is nobody's; any node takes it up.
func TestAWaitingRolloutIsParked(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	a, b := c.begin(0, "a"), c.begin(1, "b")
	first := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	second := c.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web")
	c.call(a.Round)
	owner1, _ := c.ownerOf(first)
	owner2, _ := c.ownerOf(second) // it waits for the machine
	if owner1 != "a/1" || owner2 != "" {
		t.Fatalf("owners %q and %q", owner1, owner2)
	}
	c.write(func(tx *store.Tx) error { return store.CancelTask(tx, second, "ann") })
	c.call(b.Round)
	c.wantState(second, store.TaskCanceled)
	c.succeed(c.starts(web)[0])
	c.call(a.Round)
	c.wantState(first, store.TaskSuccess)
	if owner, _ := c.ownerOf(first); owner != "" {
		t.Errorf("an ended rollout is owned by %s", owner)
	}
}

// Fault 30: a node that was paused while it was started anew takes up neither
// what is parked nor what is queued: its rollouts would be nobody's to bury.
func TestAFormerLifeTakesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	web := c.machine("web1", "web")
	former, b := c.begin(0, "a"), c.begin(1, "b")
	first := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	parked := c.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web") // it waits for the machine
	c.call(b.Round)
	now := c.begin(2, "a")
	c.write(func(tx *store.Tx) error { return store.CancelTask(tx, parked, "ann") })
	queued := c.deploy(rollout.Deploy, "Projects-3", "Releases-1", "web")
	if err := former.Round(t.Context()); !errors.Is(err, store.ErrFenced) {
		t.Errorf("I4: a former life's round: %v", err)
	}
	for id, state := range map[string]store.TaskState{first: store.TaskExecuting, parked: store.TaskCancelling, queued: store.TaskQueued} {
		c.wantState(id, state)
		if owner, _ := c.ownerOf(id); owner == "a/1" {
			t.Errorf("I4: a former life owns %s", id)
		}
	}
	c.call(now.Round)
	c.wantState(parked, store.TaskCanceled)
	c.succeed(c.starts(web)[0])
	c.call(b.Round)
	c.wantState(first, store.TaskSuccess)
}

// A node that is drained hands over what it has and starts nothing more, unless
// there is no other.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	a := c.begin(0, "a")
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.call(a.Round)
	c.write(func(tx *store.Tx) error { _, err := store.Drain(tx, "a", true); return err })
	c.call(a.Renew)
	queued := c.deploy(rollout.Deploy, "Projects-2", "Releases-1", "web")
	c.call(a.Round)
	c.wantState(queued, store.TaskQueued)
	if owner, _ := c.ownerOf(id); owner != "a/1" {
		t.Errorf("the only node gave its rollout to %q", owner)
	}
	b := c.begin(1, "b")
	c.call(a.Renew)
	if owner, _ := c.ownerOf(id); owner != "" {
		t.Errorf("%s owns a rollout of the drained node", owner)
	}
	c.succeed(c.starts(web)[0])
	c.call(a.Round)
	c.wantState(id, store.TaskExecuting)
	c.call(b.Round)
	c.wantState(id, store.TaskSuccess)
	c.wantState(queued, store.TaskExecuting)
	c.read(func(tx *store.Tx) error {
		list, err := store.ListNodes(tx)
		if len(list) != 2 || list[0].Draining == 0 || list[0].Rollouts != 0 || !list[1].Alive || list[1].Rollouts != 1 {
			t.Errorf("nodes %+v", list)
		}
		return err
	})
	err := c.db.Write(t.Context(), func(tx *store.Tx) error { _, err := store.Drain(tx, "c", true); return err })
	if resource.CodeOf(err) != resource.NotFound {
		t.Errorf("drain a node that there is not: %v", err)
	}
}

// Fault 45: a node takes only rollouts whose rules it has.
func TestRulesOfANewerRelease(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.machine("web1", "web")
	id := c.deployWith("Projects-1", func(p *rollout.Plan) { p.Rules = rollout.Rules + 1 })
	a := c.begin(0, "a")
	c.call(a.Round)
	c.wantState(id, store.TaskQueued)
}

// A stop in order hands over at once.
func TestAStopHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	web := c.machine("web1", "web")
	ctx, cancel := context.WithCancelCause(t.Context())
	a := engine.New(engine.Config{DB: c.dbs[0], Node: "a", Logger: slog.New(slog.DiscardHandler), Now: c.now})
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	id := c.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	c.eventually("a start", func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, web, 10)
		return len(list) == 1, err
	})
	cancel(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b := c.begin(1, "b")
	c.succeed(c.starts(web)[0])
	c.call(b.Round)
	c.wantState(id, store.TaskSuccess)
}

// Fault 50: of two nodes one is on duty, until it dies or is drained; the other
// is then, and what the first one still writes is fenced.
func TestOneNodeIsOnDuty(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	a, b := c.begin(0, "a"), c.begin(1, "b")
	on := func(owner string) (is bool) {
		c.t.Helper()
		c.write(func(tx *store.Tx) (err error) { is, err = store.OnDuty(tx, "sweep", owner); return err })
		return is
	}
	want := func(when string, first, second bool) {
		t.Helper()
		if gotA, gotB := on(a.Owner()), on(b.Owner()); gotA != first || gotB != second {
			t.Errorf("%s: a is on duty: %t, b: %t", when, gotA, gotB)
		}
	}
	want("at first", true, false)
	c.later(5000)
	c.call(b.Renew)
	want("while the lease holds", true, false)
	c.later(2000)
	c.call(b.Renew)
	if !on(b.Owner()) || on(a.Owner()) {
		t.Error("a dead node keeps its duty")
	}
	c.call(a.Renew)
	want("after a has come back", false, true)
	c.write(func(tx *store.Tx) error { _, err := store.Drain(tx, "b", true); return err })
	want("after b was drained", true, false)
	a = c.begin(0, "a")
	if !on(a.Owner()) {
		t.Error("a new run of a node has not got the duty of the old one")
	}
}
