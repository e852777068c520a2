package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// lookEvery is the look behind the wake-ups: what another node committed.
	lookEvery = 5 * time.Second
	// flushEvery is how often the sessions that were heard from are written
	// down, all in one transaction.
	flushEvery = 15 * time.Second
	// restLeast and restMost bound the pause between two looks.
	restLeast = 5 * time.Millisecond
	restMost  = time.Second
)

// watchFleet follows the documents: revoked links end at once, listening
// machines are dialled.
func (g *Gateway) watchFleet(ctx context.Context) {
	machines, stopMachines := g.db.Watch(resource.MachineKind.Name)
	defer stopMachines()
	workers, stopWorkers := g.db.Watch(resource.WorkerKind.Name)
	defer stopWorkers()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		began := g.now()
		err := g.fleet.load(ctx, g.db)
		if err == nil {
			g.applyFleet(ctx)
		} else if ctx.Err() == nil {
			g.log.ErrorContext(ctx, "load fleet", "error", err)
		}
		if !pause(ctx, g.rest(began)) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-machines:
		case <-workers:
		case <-sweep.C:
			if err := g.dropForgets(ctx); err != nil && ctx.Err() == nil {
				g.log.ErrorContext(ctx, "sweep effects", "error", err)
			}
		}
	}
}

// sweepEvery is the look at the documents behind the wake-ups, and how often
// effects are cleared that no agent will ever take.
const sweepEvery = time.Minute

// rest is the pause after a look that began then: a burst of changes does not
// cause a look each, and slow looks take a fifth of the time at most.
func (g *Gateway) rest(began time.Time) time.Duration {
	return min(max(4*g.now().Sub(began), restLeast), restMost)
}

// dropForgets clears what waits for agents that no document has any more:
// nobody will forget those attempts.
func (g *Gateway) dropForgets(ctx context.Context) error {
	machines, err := g.waiting(ctx)
	fleet := g.fleet.snapshot()
	for _, id := range machines {
		if fleet.byID[id] == nil {
			err = errors.Join(err, g.group.Write(ctx, func(tx *store.Tx) error { return store.DropForgets(tx, id) }))
		}
	}
	return err
}

func (g *Gateway) waiting(ctx context.Context) (machines []string, err error) {
	err = g.db.Read(ctx, func(tx *store.Tx) (err error) {
		machines, err = store.WaitingMachines(tx)
		return err
	})
	return machines, err
}

// errRevoked ends the sessions of a machine that is no longer what it was.
var errRevoked = errors.New("the machine was deleted or its identity or address changed")

func (g *Gateway) applyFleet(ctx context.Context) {
	fleet := g.fleet.snapshot()
	g.eachSession(func(s *session) {
		if now := fleet.byID[s.m.id]; now == nil || !now.sameLink(s.m) {
			s.end(errRevoked)
			return
		}
		s.poke() // it may have been enabled
	})
	if g.shared() {
		if err := g.claim(ctx); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "claim listening machines", "error", err)
		}
		return
	}
	g.dial(ctx, fleet, func(string) bool { return true })
}

// disabled says whether the machine gets no new work.
func (g *Gateway) disabled(id string) bool {
	m := g.fleet.snapshot().byID[id]
	return m == nil || m.disabled
}

// watchEffects wakes the sessions of machines for which effects wait.
func (g *Gateway) watchEffects(ctx context.Context) {
	effects, stop := g.db.Watch(store.TopicEffects)
	defer stop()
	for {
		began := g.now()
		if err := g.wakeWaiting(ctx); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "look for effects", "error", err)
		}
		if !pause(ctx, g.rest(began)) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-effects:
		case <-time.After(lookEvery):
		}
	}
}

func (g *Gateway) wakeWaiting(ctx context.Context) error {
	machines, err := g.waiting(ctx)
	for _, id := range machines {
		if s := g.seats.of(id).taken.Load(); s != nil {
			s.poke()
		}
	}
	return err
}

// flushHeard writes down which machines have answered lately. A session whose
// row is no longer its own asks for its seat again.
func (g *Gateway) flushHeard(ctx context.Context) {
	for pause(ctx, flushEvery) {
		var heard []*session
		g.eachSession(func(s *session) {
			if s.heard.Swap(false) && s.work.Load() != nil {
				heard = append(heard, s)
			}
		})
		if len(heard) == 0 {
			continue
		}
		if err := g.writeHeard(ctx, heard); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "note heard machines", "error", err)
		}
	}
}

func (g *Gateway) writeHeard(ctx context.Context, heard []*session) error {
	var disowned []*session
	err := g.db.Write(ctx, func(tx *store.Tx) error {
		disowned = nil
		for _, s := range heard {
			ours, err := store.HeardFrom(tx, s.m.id, s.generation.Load())
			if err != nil {
				return err
			}
			if !ours {
				disowned = append(disowned, s)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range disowned {
		s.disowned.Store(true)
		s.poke()
	}
	return nil
}
