package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/store"
)

// Prober asks one agent, with a deadline. A machine that cannot be reached is
// an error of code Unavailable whose text is for people.
type Prober interface {
	Probe(ctx context.Context, machine, bash, powershell string, timeout time.Duration) (Probed, error)
}

// Probed is what a machine answered.
type Probed struct {
	ExitCode int
	Log      []byte // lines of "<unix ms>\t<category>\t<text>\n"
	Warnings bool
	TimedOut bool
}

// Database is the store as the fleet uses it.
type Database interface {
	Read(ctx context.Context, f func(*store.Tx) error) error
	Write(ctx context.Context, f func(*store.Tx) error) error
	Watch(topic string) (wake <-chan struct{}, cancel func())
}

// Config is what New needs.
type Config struct {
	DB Database
	// OnDuty says whether this node looks after the fleet now; nil: there is no
	// other (fault 50). DB refuses what is written off duty.
	OnDuty func(context.Context) (bool, error)
	Deploy *deploy.Service
	Prober Prober
	Logger *slog.Logger
	// Sweep is how often due checks and silent machines are looked at.
	Sweep time.Duration
	Now   func() time.Time
}

// Fleet runs beside the engine on every node; one of them at a time is on duty.
type Fleet struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	running map[string]bool // health tasks under way
	tasks   sync.WaitGroup
	asked   questions
}

const (
	// lookEvery is how often links, tasks and debts are looked at when nothing
	// wakes the fleet.
	lookEvery = 2 * time.Second
	// restLeast and restMost bound the pause between two looks.
	restLeast = 5 * time.Millisecond
	restMost  = time.Second
)

// New makes it; Run starts it.
func New(c Config) *Fleet {
	return &Fleet{cfg: c, log: c.Logger, running: map[string]bool{}, asked: questions{by: map[string]*question{}}}
}

// Run looks after the fleet until ctx ends, and returns when every check that
// was under way has ended.
func (f *Fleet) Run(ctx context.Context) error {
	work, stop := f.cfg.DB.Watch(store.TopicTasks)
	defer stop()
	links, stopLinks := f.cfg.DB.Watch(store.TopicSessions)
	defer stopLinks()
	tick := time.NewTicker(min(f.cfg.Sweep, lookEvery))
	defer tick.Stop()
	defer f.tasks.Wait()
	swept, was := f.cfg.Now(), false
	for {
		began := f.cfg.Now()
		on := f.onDuty(ctx)
		if on && !was {
			f.report(ctx, "resume health tasks", f.resume(ctx))
			swept = began
		}
		if was = on; !on {
			swept = began
		} else {
			f.report(ctx, "look after the fleet", errors.Join(f.queueRelinked(ctx), f.startHealthTasks(ctx), f.rollBack(ctx), f.catchUp(ctx)))
		}
		if passed := began.Sub(swept); on && (passed >= f.cfg.Sweep || passed < 0) {
			f.report(ctx, "sweep the fleet", errors.Join(f.queueDue(ctx), f.sweepSilent(ctx, f.heard(passed))))
			swept = began
		}
		if !f.rest(ctx, began) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-work:
		case <-links:
		case <-tick.C:
		}
	}
}

// onDuty says whether this node looks after the fleet.
func (f *Fleet) onDuty(ctx context.Context) bool {
	if f.cfg.OnDuty == nil {
		return true
	}
	on, err := f.cfg.OnDuty(ctx)
	f.report(ctx, "ask who is on duty", err)
	return on && err == nil
}

// heard is how much of the time between two sweeps may count as a machine's
// silence: what goes beyond two sweeps is time in which the server stood
// still, or its clock was set (fault 28, 30).
func (f *Fleet) heard(passed time.Duration) time.Duration {
	return min(max(passed, 0), 2*f.cfg.Sweep)
}

// rest pauses after a look that began then: a burst of wake-ups does not cause
// a look each, and slow looks take a fifth of the time at most.
func (f *Fleet) rest(ctx context.Context, began time.Time) bool {
	timer := time.NewTimer(min(max(4*f.cfg.Now().Sub(began), restLeast), restMost))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (f *Fleet) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		f.log.ErrorContext(ctx, "the fleet could not be looked after", "during", what, "error", err)
	}
}
