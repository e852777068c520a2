package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// deliverAtOnce bounds the effects of one machine that are read and on
	// their way at a time: a worker may have hundreds.
	deliverAtOnce = 64
	retryFirst    = time.Second
	retryMost     = 30 * time.Second
)

// effectKey names an effect.
type effectKey struct {
	rollout string
	seq, n  int64
}

func keyOf(d *store.Delivery) effectKey { return effectKey{d.Rollout, d.Seq, d.N} }

// work is what a session that has its seat does: deliveries on their way and
// attempts that are followed, a goroutine each.
type work struct {
	s      *session
	ctx    context.Context //nolint:containedctx // ends with the work
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	stopped   bool
	sending   map[effectKey]bool
	pauses    map[effectKey]pauseOf
	following map[string]bool
	tidying   bool
}

// pauseOf is how long an effect that could not be delivered is left alone.
type pauseOf struct {
	until time.Time
	wait  time.Duration
}

func newWork(ctx context.Context, s *session) *work {
	ctx, cancel := context.WithCancelCause(ctx)
	return &work{
		s: s, ctx: ctx, cancel: cancel,
		sending: map[effectKey]bool{}, pauses: map[effectKey]pauseOf{}, following: map[string]bool{},
	}
}

// spawn runs f in a goroutine of the work, unless it was stopped.
func (w *work) spawn(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.wg.Go(f)
	}
}

// stop ends the work and waits for its goroutines.
func (w *work) stop(why error) {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel(why)
	w.wg.Wait()
}

// pump puts the effects that wait for the machine on their way, as far as they
// are not yet.
func (w *work) pump(ctx context.Context) error {
	var list []store.Delivery
	err := w.s.g.db.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = store.Deliveries(tx, w.s.m.id, deliverAtOnce)
		return err
	})
	if err != nil {
		return err
	}
	list = w.ready(list)
	for i := range list {
		list[i].Session = w.s.generation.Load()
	}
	var forget []store.Delivery
	for i := range list {
		if list[i].Kind == rollout.ForgetAttempt {
			forget = append(forget, list[i])
			continue
		}
		d := list[i]
		w.spawn(func() { w.deliver(&d) })
	}
	if len(forget) > 0 {
		w.spawn(func() { w.done(forget, w.s.g.core.Forget(w.ctx, w.s.agent, forget)) })
	}
	return nil
}

// ready picks the effects that may go out now and marks them as on their way.
// A disabled machine starts nothing new but finishes what runs.
func (w *work) ready(list []store.Delivery) []store.Delivery {
	now := w.s.g.now()
	disabled := w.s.g.disabled(w.s.m.id)
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(list, func(d store.Delivery) bool {
		key := keyOf(&d)
		if w.sending[key] || disabled && d.Kind == rollout.StartAttempt || now.Before(w.pauses[key].until) {
			return true
		}
		w.sending[key] = true
		return false
	})
}

func (w *work) deliver(d *store.Delivery) {
	follow, err := w.s.g.core.Deliver(w.ctx, w.s.agent, d)
	w.done([]store.Delivery{*d}, err)
	if follow {
		w.follow(Work{Attempt: d.Attempt, Rollout: d.Rollout, Machine: d.Machine, Epoch: d.Epoch})
	}
}

// done takes effects off the way. Those that failed are tried again after a
// pause that doubles.
func (w *work) done(list []store.Delivery, err error) {
	if err != nil {
		w.trouble("not delivered", list[0].Attempt, err)
	}
	var wait time.Duration
	w.mu.Lock()
	for i := range list {
		key := keyOf(&list[i])
		delete(w.sending, key)
		if err == nil {
			delete(w.pauses, key)
			continue
		}
		wait = min(max(2*w.pauses[key].wait, retryFirst), retryMost)
		w.pauses[key] = pauseOf{until: w.s.g.now().Add(wait), wait: wait}
	}
	w.mu.Unlock()
	if err == nil {
		w.s.poke()
		return
	}
	w.spawn(func() {
		if pause(w.ctx, wait) {
			w.s.poke()
		}
	})
}

// trouble logs what failed; where the link has ended, that is said once, by the
// session.
func (w *work) trouble(what, attempt string, err error) {
	level := slog.LevelWarn
	if w.ctx.Err() != nil || w.s.link.Err() != nil {
		level = slog.LevelDebug
	}
	w.s.log.Log(w.ctx, level, "trouble with an attempt", "what", what, "attempt", attempt, "error", err)
}

// follow receives an attempt's output and result, once at a time.
func (w *work) follow(a Work) {
	w.mu.Lock()
	again := w.following[a.Attempt]
	w.following[a.Attempt] = true
	w.mu.Unlock()
	if again {
		return
	}
	w.spawn(func() {
		w.receive(a)
		w.mu.Lock()
		delete(w.following, a.Attempt)
		w.mu.Unlock()
	})
}

// receive calls Receive until the result is stored. A stream that broke while
// the link lives is opened again after asking what became of the attempt.
func (w *work) receive(a Work) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := w.s.g.core.Receive(w.ctx, w.s.agent, a, w.s.skew.Load())
		if err == nil || w.ctx.Err() != nil {
			return
		}
		w.trouble("output interrupted", a.Attempt, err)
		if !pause(w.ctx, wait) {
			return
		}
		follow, err := w.ask(a.Attempt)
		if err == nil && !follow {
			return
		}
	}
}

// ask resumes one attempt if it is still open.
func (w *work) ask(attempt string) (follow bool, err error) {
	list, err := w.running(w.ctx)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(list, func(r store.RunningAttempt) bool { return r.ID == attempt })
	if at < 0 {
		return false, nil
	}
	return w.s.g.core.Resume(w.ctx, w.s.agent, &list[at])
}

func (w *work) running(ctx context.Context) (list []store.RunningAttempt, err error) {
	err = w.s.g.db.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = store.RunningAttempts(tx, w.s.m.id)
		return err
	})
	return list, err
}

// resume takes up the attempts that were sent over an earlier link.
func (w *work) resume(ctx context.Context) error {
	list, err := w.running(ctx)
	for _, r := range list {
		w.spawn(func() { w.resumeOne(&r) })
	}
	return err
}

func (w *work) resumeOne(r *store.RunningAttempt) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		follow, err := w.s.g.core.Resume(w.ctx, w.s.agent, r)
		if err == nil {
			if follow {
				w.follow(Work{Attempt: r.ID, Rollout: r.Rollout, Machine: r.Executor, Epoch: r.Epoch})
			}
			return
		}
		if w.ctx.Err() != nil {
			return
		}
		w.trouble("attempt not resumed", r.ID, err)
		if !pause(w.ctx, wait) {
			return
		}
		if r, err = w.again(r); err != nil || r == nil { // its rollout may have a newer epoch, or it an outcome
			return
		}
	}
}

// again reads a running attempt anew; nil when it is none any more.
func (w *work) again(r *store.RunningAttempt) (*store.RunningAttempt, error) {
	list, err := w.running(w.ctx)
	for i := range list {
		if list[i].ID == r.ID {
			return &list[i], nil
		}
	}
	return nil, err
}

// tidy lets the agent forget the attempts that it keeps though they are closed
// here; one look at a time, however slow it is. What this server knows nothing
// of stays where it is (fault 33).
func (w *work) tidy(kept []string) {
	w.mu.Lock()
	kept = slices.DeleteFunc(slices.Clone(kept), func(id string) bool { return w.following[id] })
	busy := w.tidying
	w.tidying = busy || len(kept) > 0
	w.mu.Unlock()
	if busy || len(kept) == 0 {
		return
	}
	w.spawn(func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.tidying = false
		}()
		if err := w.s.g.core.Tidy(w.ctx, w.s.agent, w.s.m.id, kept); err != nil && w.ctx.Err() == nil {
			w.s.log.WarnContext(w.ctx, "journal not tidied", "error", err)
		}
	})
}
