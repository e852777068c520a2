package agent

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// refusalEvery is how often at most refused connections are logged, each line
// with the number since the last (abuse 1).
const refusalEvery = 10 * time.Second

// serve serves the handler to the pinned servers in the configured direction.
func serve(ctx context.Context, config *Config, id *agentrpc.Identity, handler http.Handler, deps RunDeps) error {
	verify := agentrpc.Pinned(config.ServerThumbprints...)
	if config.Mode == Polling {
		poller := &agentrpc.Poller{
			Addresses: config.Servers, TLS: agentrpc.ClientTLS(id, verify),
			Handler: handler, Random: deps.Random, Log: deps.Log,
		}
		return poller.Run(ctx)
	}
	refusals := &refusals{deps: deps}
	listener, err := agentrpc.Listen(ctx, config.Listen, agentrpc.ServerTLS(id, verify), refusals.add)
	if err != nil {
		return err
	}
	if deps.Listening != nil {
		deps.Listening(listener.Addr().String())
	}
	return listener.Serve(ctx, func(ctx context.Context, conn *tls.Conn) {
		remote := conn.RemoteAddr().String()
		deps.Log.InfoContext(ctx, "linked to the server", "address", remote)
		err := agentrpc.ServeConn(ctx, conn, handler)
		deps.Log.InfoContext(ctx, "link ended", "address", remote, "reason", err)
	})
}

// refusals logs refused connections, at a limited rate.
type refusals struct {
	deps RunDeps

	mu    sync.Mutex
	last  time.Time
	count int
}

func (r *refusals) add(remote string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	now := r.deps.Clock()
	if !r.last.IsZero() && now.Sub(r.last) < refusalEvery {
		return
	}
	r.deps.Log.Warn("refused connections", "count", r.count, "latest", remote, "reason", err)
	r.last, r.count = now, 0
}
