package gateway

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// refuse counts a connection that is turned away and logs some of them: a
// stranger cannot fill the log, nor reach the database (abuse 1).
func (g *Gateway) refuse(remote string, err error) {
	g.refused.Add(1)
	if !g.refusals.Allow() {
		g.suppress.Add(1)
		return
	}
	g.log.Warn("agent refused", "remote", remote, "reason", err, "not_logged_before", g.suppress.Swap(0))
}

// accepted serves a polling agent that passed the handshake.
func (g *Gateway) accepted(ctx context.Context, conn *tls.Conn) {
	remote := conn.RemoteAddr().String()
	if err := g.serve(ctx, conn, nil); err != nil {
		g.refuse(remote, err)
	}
}

// serve turns a connection into a session and stays with it to its end. to is
// the machine that was dialled, nil for an agent that dialled us. The error is
// why there was no session.
func (g *Gateway) serve(ctx context.Context, conn *tls.Conn, to *machine) error {
	link, err := agentrpc.NewLink(conn)
	if err != nil {
		return err
	}
	defer func() { _ = link.Close() }()
	s := &session{
		g: g, link: link, agent: Remote(link.Client), wake: make(chan struct{}, 1), over: make(chan struct{}),
	}
	aside(func() { s.about, err = s.describe(ctx) })
	if err != nil {
		return fmt.Errorf("describe agent: %w", err)
	}
	if s.m = to; to == nil {
		if s.m, err = g.fleet.snapshot().polling(link.Thumbprint(), s.about.SubscriptionId); err != nil {
			return err
		}
	}
	s.log = g.log.With("machine", s.m.id, "name", s.m.name)
	s.seat = g.seats.of(s.m.id)
	g.join(s)
	defer g.part(s)
	// A change of the document after the handshake: whoever loaded it either
	// saw this session, or had loaded it before this look.
	if now := g.fleet.snapshot().byID[s.m.id]; now == nil || !now.sameLink(s.m) {
		return errRevoked
	}
	why := s.run(ctx)
	s.end(why)
	s.stopWork()
	s.close(why)
	return nil
}

func (g *Gateway) join(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions[s] = true
}

func (g *Gateway) part(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s)
}

// eachSession calls f for every session there is now.
func (g *Gateway) eachSession(f func(*session)) {
	g.mu.Lock()
	list := make([]*session, 0, len(g.sessions))
	for s := range g.sessions {
		list = append(list, s)
	}
	g.mu.Unlock()
	for _, s := range list {
		f(s)
	}
}
