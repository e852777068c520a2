package sim

import (
	"context"
	"errors"
	"iter"
)

// errKilled is the cause of the context of a process that was killed.
var errKilled = errors.New("killed")

// killed unwinds an actor whose process was killed.
type killed struct{}

// process is one life of a program: what runs in it ends with it.
type process struct {
	w      *world
	name   string
	dead   bool
	frozen bool            // stopped, as by SIGSTOP
	ctx    context.Context //nolint:containedctx // the process's own
	cancel context.CancelCauseFunc
	actors []*actor
}

func (w *world) newProcess(name string) *process {
	p := &process{w: w, name: name}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

// kill ends the process at once, between two steps of each of its actors.
func (p *process) kill() {
	if p.dead {
		return
	}
	p.dead = true
	p.cancel(errKilled)
	for _, a := range p.actors {
		if a != p.w.self {
			a.stop()
		}
	}
	p.actors = nil
}

// actor is one thread of a process. Only one actor in the world runs at a time,
// and another may run only while it sleeps.
type actor struct {
	p      *process
	next   func() (int64, bool)
	stop   func()
	yield  func(int64) bool
	wakeup int // of the sleep that is on; an older wake-up is void
}

// run starts a thread of the process after so many milliseconds.
func (p *process) run(after int64, body func(a *actor)) {
	a := &actor{p: p}
	a.next, a.stop = iter.Pull(iter.Seq[int64](func(yield func(int64) bool) {
		a.yield = yield
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(killed); !ok {
					panic(r)
				}
			}
		}()
		body(a)
	}))
	p.actors = append(p.actors, a)
	a.resume(after)
}

// resume lets the actor go on after so many milliseconds, once its process is
// not frozen.
func (a *actor) resume(ms int64) {
	w := a.p.w
	a.wakeup++
	mine := a.wakeup
	var wake func()
	wake = func() {
		switch {
		case a.p.dead || mine != a.wakeup:
			return
		case a.p.frozen:
			w.after(w.between(50, 500), wake)
			return
		}
		before := w.self
		w.self = a
		ms, more := a.next()
		w.self = before
		if more && !a.p.dead {
			a.resume(ms)
		} else if !more {
			a.p.forget(a)
		} else {
			a.stop()
		}
	}
	w.after(ms, wake)
}

func (p *process) forget(a *actor) {
	for i := range p.actors {
		if p.actors[i] == a {
			p.actors = append(p.actors[:i], p.actors[i+1:]...)
			return
		}
	}
}

// sleep lets others run. It does not return once the process is dead.
func (a *actor) sleep(ms int64) {
	if a.p.dead || !a.yield(ms) || a.p.dead {
		panic(killed{})
	}
}

// die ends the process from within.
func (a *actor) die() {
	a.p.kill()
	panic(killed{})
}
