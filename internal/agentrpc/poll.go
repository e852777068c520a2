package agentrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// The waits of a polling agent between two tries: half of the step to the whole
// of it, by chance, doubling up to the cap. Five thousand agents whose server
// restarted so come back over one to two seconds, and over half a minute when
// it stays away (abuse 15).
const (
	firstWait = 2 * time.Second
	maxWait   = 30 * time.Second
)

// Backoff gives the waits between tries.
type Backoff struct {
	// Random gives a number from 0 up to but not including 1.
	Random func() float64

	step time.Duration
}

// Next is how long to wait before the next try.
func (b *Backoff) Next() time.Duration {
	b.step = min(max(2*b.step, firstWait), maxWait)
	return b.step/2 + time.Duration(b.Random()*float64(b.step/2))
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.step = 0 }

// Poller keeps one connection from a polling agent to its server.
type Poller struct {
	// Addresses are tried in turn, host:port each.
	Addresses []string
	TLS       *tls.Config
	Handler   http.Handler
	Random    func() float64 // 0 up to but not including 1
	Log       *slog.Logger
}

// Run dials, serves and dials again until ctx ends. The wait starts over at its
// shortest only once the server has made a call: a server that accepts and then
// drops the agent, because it does not know it for one, is left in peace.
func (p *Poller) Run(ctx context.Context) error {
	backoff := Backoff{Random: p.Random}
	for i := 0; ; i++ {
		address := p.Addresses[i%len(p.Addresses)]
		called, err := p.once(ctx, address)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if called {
			backoff.Reset()
			i-- // the address is a good one
		}
		wait := backoff.Next()
		p.Log.WarnContext(ctx, "no link to the server", "address", address, "reason", err, "again_in", wait)
		if !pause(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// once serves one connection to its end; called says whether the server made a
// call over it.
func (p *Poller) once(ctx context.Context, address string) (called bool, err error) {
	conn, err := Dial(ctx, address, p.TLS)
	if err != nil {
		return false, err
	}
	var used atomic.Bool
	err = ServeConn(ctx, conn, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if used.CompareAndSwap(false, true) {
			p.Log.InfoContext(r.Context(), "linked to the server", "address", address)
		}
		p.Handler.ServeHTTP(w, r)
	}))
	return used.Load(), refused(err)
}

// ErrRefused is why there is no link where the server is there and does not
// accept the agent's key: not expired, not out of reach, but not pinned (abuse 3).
var ErrRefused = errors.New("the server does not accept this agent's key: its machine was deleted, or another key was registered for it; register the agent again")

// refused says it where the server's alert means it.
func refused(err error) error {
	alert, ok := errors.AsType[*net.OpError](err)
	if ok && alert.Op == "remote error" && strings.HasSuffix(alert.Err.Error(), "bad certificate") {
		return fmt.Errorf("%w (%w)", ErrRefused, err)
	}
	return err
}
