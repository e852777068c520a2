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

// Config is what New needs.
type Config struct {
	DB     *store.DB
	Deploy *deploy.Service
	Prober Prober
	Logger *slog.Logger
	// Sweep is how often the fleet looks around when nothing wakes it.
	Sweep time.Duration
	Now   func() time.Time
}

// Fleet runs beside the engine on every node.
type Fleet struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	running map[string]bool // health tasks under way
	tasks   sync.WaitGroup
}

// lookEvery is how often links, tasks and debts are looked at when nothing
// wakes the fleet.
const lookEvery = 2 * time.Second

// New makes it; Run starts it.
func New(c Config) *Fleet {
	return &Fleet{cfg: c, log: c.Logger, running: map[string]bool{}}
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
	swept := f.cfg.Now()
	if err := f.resume(ctx); err != nil && ctx.Err() == nil {
		f.log.ErrorContext(ctx, "resume health tasks", "error", err)
	}
	for {
		err := errors.Join(f.queueRelinked(ctx), f.startHealthTasks(ctx), f.catchUp(ctx))
		if now := f.cfg.Now(); now.Sub(swept) >= f.cfg.Sweep {
			err = errors.Join(err, f.queueDue(ctx), f.sweepSilent(ctx, now.Sub(swept)))
			swept = now
		}
		if err != nil && ctx.Err() == nil {
			f.log.ErrorContext(ctx, "look after the fleet", "error", err)
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
