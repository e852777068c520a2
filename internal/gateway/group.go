package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// gather is how long the first of a group waits for others, at least: less
	// than an fsync on most disks. Where commits take long, it waits half as long
	// as the last one took, up to gatherSlow. While at least rush come in each such
	// while, it waits on, for gatherMost in all: a fleet that reports at once is
	// taken up by few transactions, and a report that comes alone hardly waits.
	gather     = 2 * time.Millisecond
	gatherSlow = 15 * time.Millisecond
	gatherMost = 30 * time.Millisecond
	rush       = 4
	// groupSize bounds the members of one transaction.
	groupSize = 256
)

// group commits what many callers want to write in few transactions, so that a
// thousand agents that report at once do not pay a thousand fsyncs.
//
// The first caller leads: it gathers for a moment, commits all that wait, and
// hands the lead to the first that came meanwhile. Where one of a group fails,
// each is run in a transaction of its own, so that none fails for another.
type group struct {
	db  *store.DB
	now func() time.Time
	run context.Context //nolint:containedctx // the gateway's own; a caller that gives up takes nobody along

	writes  atomic.Int64
	commits atomic.Int64

	mu      sync.Mutex
	waiting []*member
	leading bool

	took time.Duration // by the last commit; the leader's own
}

// member is one caller of Write.
type member struct {
	f    func(*store.Tx) error
	turn chan bool // true: lead; false: done
	err  error
}

// Read implements Records.
func (g *group) Read(ctx context.Context, f func(*store.Tx) error) error { return g.db.Read(ctx, f) }

// Write implements Records.
func (g *group) Write(ctx context.Context, f func(*store.Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.writes.Add(1)
	m := &member{f: f, turn: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	if !g.leading {
		g.leading = true
		m.turn <- true
	}
	g.mu.Unlock()
	if <-m.turn {
		g.lead()
	}
	return m.err
}

// lead commits one group, which its caller is part of.
func (g *group) lead() {
	g.gather()
	began := g.now()
	g.mu.Lock()
	batch := g.waiting[:min(groupSize, len(g.waiting))]
	g.waiting = g.waiting[len(batch):]
	g.mu.Unlock()
	g.commit(batch)
	g.took = g.now().Sub(began)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		g.waiting[0].turn <- true
	} else {
		g.waiting, g.leading = nil, false
	}
	for _, m := range batch[1:] {
		m.turn <- false
	}
}

// gather waits for those that join the group of the leader.
func (g *group) gather() {
	step := min(max(gather, g.took/2), gatherSlow)
	for waited := time.Duration(0); waited < gatherMost; waited += step {
		before := g.size()
		if before >= groupSize || !pause(g.run, step) || g.size()-before < rush {
			return
		}
	}
}

func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

func (g *group) commit(batch []*member) {
	g.commits.Add(1)
	err := g.db.Write(g.run, func(tx *store.Tx) error {
		for _, m := range batch {
			if err := m.f(tx); err != nil {
				return err
			}
		}
		fail.Point(fail.GroupCommit)
		return nil
	})
	if err == nil {
		fail.Point(fail.GroupCommitted)
		return
	}
	for _, m := range batch {
		g.commits.Add(1)
		m.err = g.db.Write(g.run, m.f)
	}
}

// pause waits and says whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
