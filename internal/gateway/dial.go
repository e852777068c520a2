package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// dialsAtOnce bounds the handshakes that this side begins at once.
const dialsAtOnce = 64

// dialer keeps the link to one listening machine.
type dialer struct {
	m      *machine
	cancel context.CancelCauseFunc
}

// dial begins and ends dialers so that there is one for each listening machine
// of the fleet that is this node's, at its address and with its pin.
func (g *Gateway) dial(ctx context.Context, fleet *fleet, mine func(machine string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, d := range g.dialers {
		switch now := fleet.byID[id]; {
		case now == nil || !now.sameLink(d.m):
			d.cancel(errRevoked)
			delete(g.dialers, id)
		case !mine(id):
			d.cancel(errNotOurs)
			delete(g.dialers, id)
		}
	}
	for id, m := range fleet.byID {
		if m.address == "" || g.dialers[id] != nil || !mine(id) {
			continue
		}
		ctx, cancel := context.WithCancelCause(ctx)
		g.dialers[id] = &dialer{m: m, cancel: cancel}
		g.dialing.Go(func() { g.keepDialing(ctx, m) })
	}
}

func (g *Gateway) stopDialers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, d := range g.dialers {
		d.cancel(errEnded)
		delete(g.dialers, id)
	}
}

// keepDialing dials, serves and dials again until ctx ends.
func (g *Gateway) keepDialing(ctx context.Context, m *machine) {
	backoff := agentrpc.Backoff{Random: g.random}
	for {
		served, err := g.dialOnce(ctx, m)
		if ctx.Err() != nil {
			return
		}
		if served {
			backoff.Reset()
		}
		wait := backoff.Next()
		g.log.InfoContext(ctx, "no link to listening machine", "machine", m.id, "address", m.address, "reason", err, "again_in", wait)
		if !pause(ctx, wait) {
			return
		}
	}
}

var errLinkEnded = errors.New("the link ended")

func (g *Gateway) dialOnce(ctx context.Context, m *machine) (served bool, err error) {
	free, err := g.dialSlots.take(ctx)
	if err != nil {
		return false, err
	}
	var once sync.Once
	defer once.Do(free)
	conn, err := agentrpc.Dial(ctx, m.address, agentrpc.ClientTLS(g.identity, agentrpc.Pinned(m.pin)))
	once.Do(free)
	if err != nil {
		return false, err
	}
	if err := g.serve(ctx, conn, m); err != nil {
		return false, err
	}
	return true, errLinkEnded
}
