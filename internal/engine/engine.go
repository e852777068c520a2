package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	renewEvery = 2 * time.Second
	fenceAfter = 4 * time.Second // before the lease ends for the others
	pollEvery  = time.Second     // behind the wake-ups
	endWithin  = 3 * time.Second // of handing over at the end
	// piece is how many rollouts one round looks at.
	piece = 256
)

// Database is the store as the engine uses it; *store.DB is one.
type Database interface {
	Read(ctx context.Context, f func(*store.Tx) error) error
	Write(ctx context.Context, f func(*store.Tx) error) error
	Watch(topic string) (wake <-chan struct{}, cancel func())
}

// Config is what an Engine needs.
type Config struct {
	DB     Database
	Node   string // this node's name, stable across restarts
	Logger *slog.Logger
	Now    func() time.Time
	// Version of Slipway, for the list of nodes.
	Version string
	// Alone says that no other process can have the database open: what any
	// node left, whatever its name was, is this one's at once.
	Alone bool
}

// Engine drives the rollouts that this node owns.
type Engine struct {
	cfg   Config
	db    Database
	node  string
	log   *slog.Logger
	now   func() time.Time
	owner string // node and epoch, once Run has begun
	// renewed is when the renewal that succeeded last was asked for.
	renewed  atomic.Pointer[time.Time]
	standing atomic.Pointer[store.Standing]
	metrics  *metrics
	resting  map[string]*rest // by rollout; Round's alone
}

// New makes an engine; Run starts it.
func New(c Config) *Engine {
	e := &Engine{cfg: c, db: c.DB, node: c.Node, log: c.Logger, now: c.Now, metrics: newMetrics(), resting: map[string]*rest{}}
	e.standing.Store(&store.Standing{Alone: true})
	return e
}

// Run begins, unless Begin was called, and drives rollouts until the context
// ends; then it hands them over. It returns store.ErrFenced when the node's
// lease was lost: the process must not go on.
func (e *Engine) Run(ctx context.Context) error {
	work, stop := e.db.Watch(store.TopicWork)
	defer stop()
	if e.owner == "" {
		if err := e.Begin(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lease sync.WaitGroup
	lease.Go(func() { e.keepLease(ctx, cancel) })
	for {
		err := e.Round(ctx)
		if err != nil && ctx.Err() == nil {
			e.log.ErrorContext(ctx, "round of turns", "error", err)
		}
		select {
		case <-ctx.Done():
			lease.Wait()
			if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
				return cause
			}
			e.end(ctx)
			return nil
		case <-work:
		case <-time.After(pollEvery):
		}
	}
}

// end gives up the lease, so that the other nodes go on at once. What it cannot
// do, they do for it when the lease has ended.
func (e *Engine) end(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endWithin, errEnd)
	defer cancel()
	if err := e.db.Write(ctx, func(tx *store.Tx) error { return store.EndNode(tx, e.owner) }); err != nil {
		e.log.InfoContext(ctx, "rollouts not handed over; others take them when the lease has ended", "error", err)
	}
}

var errEnd = errors.New("the database did not answer in time")

// Begin begins a new epoch of the node, writes its former sessions off and
// takes over the rollouts that it or dead nodes left behind. Call it before the
// gateway opens sessions.
func (e *Engine) Begin(ctx context.Context) error {
	asked := e.now()
	var taken []store.Owned
	err := e.db.Write(ctx, func(tx *store.Tx) (err error) {
		if e.owner, err = store.StartNode(tx, e.node, e.cfg.Version); err != nil {
			return err
		}
		if e.cfg.Alone {
			if err := store.EndOthers(tx, e.owner); err != nil {
				return err
			}
		}
		const why = "the server restarted"
		if err := errors.Join(store.LoseOwnSessions(tx, e.node, why), store.LoseSessions(tx, why)); err != nil {
			return err
		}
		taken, err = store.TakeOver(tx, e.owner)
		fail.Point(fail.TakingOver)
		return err
	})
	if err != nil {
		return fmt.Errorf("take over rollouts: %w", err)
	}
	fail.Point(fail.TookOver)
	e.renewed.Store(&asked)
	e.log.InfoContext(ctx, "node started", "owner", e.owner, "rollouts_taken_over", len(taken))
	return nil
}

// keepLease renews the node's lease and ends the run when a newer epoch of the
// node has begun.
func (e *Engine) keepLease(ctx context.Context, cancel context.CancelCauseFunc) {
	nodes, stop := e.db.Watch(store.TopicNodes)
	defer stop()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-nodes:
		}
		err := e.Renew(ctx)
		switch {
		case errors.Is(err, store.ErrFenced):
			cancel(store.ErrFenced)
			return
		case err != nil && ctx.Err() == nil:
			e.log.WarnContext(ctx, "lease not renewed", "error", err)
		}
	}
}

// Renew renews the node's lease, takes over what dead nodes left, and hands over
// what it has when it is drained. store.ErrFenced says that a newer epoch of the
// node has begun: this one must not go on.
func (e *Engine) Renew(ctx context.Context) error {
	asked := e.now() // the lease may count from here, however long the answer takes
	var taken []store.Owned
	var standing store.Standing
	err := e.db.Write(ctx, func(tx *store.Tx) (err error) {
		taken = nil
		if err := store.RenewLease(tx, e.owner); err != nil {
			return err
		}
		if standing, err = store.StandingOf(tx, e.node); err != nil {
			return err
		}
		if standing.Passive() {
			return store.HandOver(tx, e.owner)
		}
		taken, err = store.Bury(tx, e.owner)
		if len(taken) > 0 {
			fail.Point(fail.Burying)
		}
		return err
	})
	if err != nil {
		return err
	}
	e.renewed.Store(&asked)
	e.standing.Store(&standing)
	if len(taken) > 0 {
		fail.Point(fail.Buried)
		e.log.WarnContext(ctx, "took over from a dead node", "rollouts", len(taken))
	}
	return nil
}

// Owner is this run of the node, as rows name it; "" before Begin.
func (e *Engine) Owner() string { return e.owner }

// fenced says that the lease could not be renewed in time: this node takes no
// turn until it is, so that none is taken after the lease has ended for the
// others (fault 27). Clocks that are set do not matter (fault 28).
func (e *Engine) fenced() bool {
	return e.now().Sub(*e.renewed.Load()) > fenceAfter
}

// Round starts what may start and turns what has something to do, until
// nothing moves any more. Run calls it; it is synchronous (design 11).
func (e *Engine) Round(ctx context.Context) error {
	for {
		standing := e.standing.Load()
		//guard:self-fence I4: a node whose lease may have ended takes no turn; less `e.fenced()`, with `false`; seen by ./internal/engine TestNoTurnWithoutALease
		if e.fenced() || standing.Passive() {
			return nil
		}
		var errs error
		if !standing.Draining {
			errs = e.dispatch(ctx)
		}
		var due []store.Owned
		err := e.db.Read(ctx, func(tx *store.Tx) (err error) {
			due, err = store.DueRollouts(tx, e.owner, piece)
			return err
		})
		errs = errors.Join(errs, err)
		progress := false
		for _, o := range due {
			if e.rests(o.ID) {
				continue
			}
			err := e.turn(ctx, o)
			e.noteRest(o.ID, err)
			if errors.Is(err, store.ErrFenced) {
				continue // another node's by now
			}
			progress = progress || err == nil
			errs = errors.Join(errs, err)
		}
		if !progress {
			return errs
		}
	}
}

func (e *Engine) turn(ctx context.Context, o store.Owned) error {
	asked, began := e.now(), time.Time{}
	var t *seen
	err := e.db.Write(ctx, guarded(func(tx *store.Tx) error {
		began = e.now()
		epoch, err := o.Epoch, error(nil)
		if o.Parked {
			if err := store.LastLife(tx, e.owner); err != nil {
				return err
			}
			epoch, err = store.Unpark(tx, o, e.owner)
		}
		if err != nil {
			return err
		}
		rows, err := store.OpenTurn(tx, o.ID, e.owner, epoch)
		if err != nil {
			return err
		}
		if err := lookAtChanged(tx, o.ID); err != nil {
			return err
		}
		t = &seen{Tx: rows}
		if err := Turn(t); err != nil || t.Row().State.Terminal() {
			return err // a late report about a rollout that had ended before
		}
		fail.Point(fail.Turning)
		return oweNewcomers(tx, o.ID)
	}))
	if err != nil {
		return fmt.Errorf("turn of %s: %w", o.ID, err)
	}
	fail.Point(fail.Turned)
	e.metrics.committed(t, asked, began, e.now())
	return nil
}

// guarded turns a panic into an error: what is wrong with one rollout holds up
// no other and does not end the server (abuse 68, fault 54).
func guarded(f func(*store.Tx) error) func(*store.Tx) error {
	return func(tx *store.Tx) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("%w: %v\n%s", errPanicked, cause, debug.Stack())
			}
		}()
		return f(tx)
	}
}

// oweNewcomers sees to it that a machine which came while the release was
// rolled out gets it afterwards.
func oweNewcomers(tx *store.Tx, id string) error {
	ended, err := store.Succeeded(tx, id)
	if err != nil || !ended {
		return err
	}
	plan, err := store.LoadPlan(tx, id)
	if err != nil || plan.Kind != rollout.Deploy || plan.Limited() {
		return err
	}
	members, err := Members(tx, plan)
	if err != nil {
		return err
	}
	return store.OweNewcomers(tx, plan, members)
}

// dispatch starts the queued rollouts that nothing holds back and says of the
// others what they wait for.
func (e *Engine) dispatch(ctx context.Context) error {
	var queued []store.Task
	err := e.db.Read(ctx, func(tx *store.Tx) (err error) {
		queued, err = store.QueuedRollouts(tx, piece)
		return err
	})
	for i := range queued {
		id := queued[i].ID
		if e.rests(id) {
			continue
		}
		failed := e.launch(ctx, id)
		e.noteRest(id, failed)
		err = errors.Join(err, failed)
		fail.Point(fail.Claimed)
	}
	return err
}

func (e *Engine) launch(ctx context.Context, id string) error {
	asked, began := e.now(), time.Time{}
	var t *seen
	err := e.db.Write(ctx, guarded(func(tx *store.Tx) error {
		t, began = nil, e.now()
		return e.start(tx, id, &t)
	}))
	if err == nil && t != nil {
		e.metrics.committed(t, asked, began, e.now())
	}
	return err
}

// start claims and begins one queued rollout in a turn of its own, or notes why
// it waits.
func (e *Engine) start(tx *store.Tx, id string, turn **seen) error {
	task, err := store.GetTask(tx, id)
	if err != nil || task.State != store.TaskQueued {
		return err
	}
	now := tx.Now().UnixMilli()
	if task.QueueTime > now {
		return nil
	}
	if task.ExpiryTime != 0 && task.ExpiryTime < now {
		return store.ExpireTask(tx, task)
	}
	plan, err := store.LoadPlan(tx, id)
	if err != nil {
		return err
	}
	if plan.Kind == rollout.CatchUp {
		current, err := isDesired(tx, plan)
		if err != nil {
			return err
		}
		if !current {
			return store.Obsolete(tx, task)
		}
	}
	if key := store.LockKey(plan); key != "" {
		//guard:task-lock I8: one rollout at a time for a project, environment and tenant; less `waits {`, with `waits && false {`
		if waits, err := waitFor(tx, key, task); err != nil || waits {
			return err
		}
	}
	members, err := Members(tx, plan)
	if err != nil {
		return err
	}
	if err := store.LastLife(tx, e.owner); err != nil {
		return err
	}
	epoch, err := store.Claim(tx, id, e.owner)
	if err != nil {
		return err
	}
	rows, err := store.OpenTurn(tx, id, e.owner, epoch)
	if err != nil {
		return err
	}
	*turn = &seen{Tx: rows}
	if err := Start(*turn, e.node, members); err != nil {
		return err
	}
	fail.Point(fail.Claiming)
	return nil
}

// waitFor takes the task's lock; when another holds it, the task says so.
func waitFor(tx *store.Tx, key string, task *store.Task) (bool, error) {
	holder, since, err := store.TakeLock(tx, key, task.ID)
	if err != nil || holder == task.ID {
		return false, err
	}
	text := fmt.Sprintf("%s deploys the same project to the same environment since %s.", holder, time.UnixMilli(since).UTC().Format(time.RFC3339))
	if task.WaitsFor == text {
		return true, nil
	}
	task.WaitsFor = text
	return true, store.UpdateTask(tx, task)
}

// isDesired says whether the plan's release is still what its environment
// wants.
func isDesired(tx *store.Tx, p *rollout.Plan) (bool, error) {
	desired, err := store.DesiredIn(tx, p.Environment.ID)
	return slices.ContainsFunc(desired, func(d store.Desired) bool {
		return d.ProjectID == p.Project.ID && d.TenantID == p.Tenant.ID && d.ReleaseID == p.Release.ID
	}), err
}
