package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// lookEvery is the look behind the wake-ups: what another node committed.
	lookEvery = 5 * time.Second
	pingEvery = 10 * time.Second
	// flushEvery is how often the sessions that were heard from are written
	// down, all in one transaction.
	flushEvery = 15 * time.Second
	// restLeast is the pause between two looks for effects: a burst of turns
	// does not cause a look each. A slow look is followed by a longer pause.
	restLeast = 5 * time.Millisecond
	restMost  = time.Second
	// ordersAtOnce and transfersAtOnce bound the payloads in memory and the
	// packages on their way.
	ordersAtOnce    = 128
	transfersAtOnce = 32
)

// Config is what a Gateway needs.
type Config struct {
	DB       *store.DB
	Blobs    blob.Store
	Identity *agentrpc.Identity
	Node     string // this node's name, stable across restarts
	Listen   string // where polling agents connect, ":10943"; empty: nowhere
	Logger   *slog.Logger
	Now      func() time.Time
	Random   func() float64 // 0 up to but not including 1; math/rand when nil
	// Ping is how often an agent is asked who it is; 10 s when 0. Together with
	// the deadline of its answer, 10 s, it bounds how long a half-open link lives
	// (fault 16).
	Ping time.Duration
}

// Gateway keeps the sessions of this node's agents and carries effects out to
// them and reports in.
type Gateway struct {
	db       *store.DB
	identity *agentrpc.Identity
	node     string
	listener *agentrpc.Listener
	log      *slog.Logger
	now      func() time.Time
	random   func() float64
	ping     time.Duration

	group *group
	core  *Core
	fleet directory
	seats seats

	mu       sync.Mutex
	sessions map[*session]bool
	dialers  map[string]*dialer

	refused   atomic.Int64
	refusals  *rate.Limiter
	suppress  atomic.Int64
	dialSlots Slots
	dialing   sync.WaitGroup
}

// New makes a gateway and opens its socket, so that the address is known; Run
// begins to accept.
func New(ctx context.Context, c Config) (*Gateway, error) {
	if c.DB == nil || c.Blobs == nil || c.Identity == nil || c.Logger == nil || c.Now == nil {
		return nil, errors.New("gateway: database, blobs, identity, logger and clock have to be given")
	}
	g := &Gateway{
		db: c.DB, identity: c.Identity, node: c.Node, log: c.Logger, now: c.Now, random: c.Random, ping: c.Ping,
		sessions: map[*session]bool{}, dialers: map[string]*dialer{},
		refusals: rate.NewLimiter(1, 5),
	}
	if g.random == nil {
		g.random = rand.Float64
	}
	if g.ping == 0 {
		g.ping = pingEvery
	}
	g.group = &group{db: c.DB}
	g.core = &Core{
		DB: g.group, Logs: c.DB.Logs(), Blobs: c.Blobs, Log: c.Logger,
		Orders: make(Slots, ordersAtOnce), Transfers: make(Slots, transfersAtOnce),
	}
	if c.Listen == "" {
		return g, nil
	}
	var err error
	g.listener, err = agentrpc.Listen(ctx, c.Listen, agentrpc.ServerTLS(c.Identity, g.fleet.verify), g.refuse)
	if err != nil {
		return nil, fmt.Errorf("open the agents' port: %w", err)
	}
	return g, nil
}

// Addr is where polling agents connect; nil when nowhere.
func (g *Gateway) Addr() net.Addr {
	if g.listener == nil {
		return nil
	}
	return g.listener.Addr()
}

// Refused counts the connections that were turned away since the start.
func (g *Gateway) Refused() int64 { return g.refused.Load() }

// Sessions counts the open links, those held included.
func (g *Gateway) Sessions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

// Run accepts, dials and delivers until ctx ends, and returns when every
// session is closed. The caller has written off the sessions of the node's
// last run before.
func (g *Gateway) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.group.run = context.WithoutCancel(ctx)
	if err := g.fleet.load(ctx, g.db); err != nil {
		return errors.Join(err, g.closeListener())
	}
	var loops sync.WaitGroup
	loops.Go(func() { g.watchFleet(ctx) })
	loops.Go(func() { g.watchEffects(ctx) })
	loops.Go(func() { g.flushHeard(ctx) })
	var err error
	if g.listener != nil {
		err = g.listener.Serve(ctx, g.accepted)
	} else {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		err = nil // asked to stop
	}
	cancel(err)
	loops.Wait()
	g.stopDialers()
	g.dialing.Wait()
	return err
}

func (g *Gateway) closeListener() error {
	if g.listener == nil {
		return nil
	}
	return g.listener.Close()
}

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
	if s.about, err = s.describe(ctx); err != nil {
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

// watchFleet follows the documents: revoked links end at once, listening
// machines are dialled.
func (g *Gateway) watchFleet(ctx context.Context) {
	machines, stopMachines := g.db.Watch(resource.MachineKind.Name)
	defer stopMachines()
	workers, stopWorkers := g.db.Watch(resource.WorkerKind.Name)
	defer stopWorkers()
	for {
		if err := g.fleet.load(ctx, g.db); err == nil {
			g.applyFleet(ctx)
		} else if ctx.Err() == nil {
			g.log.ErrorContext(ctx, "load fleet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-machines:
		case <-workers:
		case <-time.After(fleetEvery):
		}
	}
}

// fleetEvery is the look at the documents behind the wake-ups.
const fleetEvery = time.Minute

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
	g.dial(ctx, fleet)
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
		if !pause(ctx, min(max(4*g.now().Sub(began), restLeast), restMost)) {
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
	var machines []string
	err := g.db.Read(ctx, func(tx *store.Tx) (err error) {
		machines, err = store.WaitingMachines(tx)
		return err
	})
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

// jitter spreads a period by a tenth to either side.
func (g *Gateway) jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(g.random()*float64(d/5))
}
