package gateway

import (
	"context"
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
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// pingEvery is how often agents are asked who they are.
	pingEvery = 10 * time.Second
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
	// Owner is this run of the node, once it has begun; nil where no other node
	// can have the database open.
	Owner  func() string
	Listen string // where polling agents connect, ":10943"; empty: nowhere
	Logger *slog.Logger
	Now    func() time.Time
	Random func() float64 // 0 up to but not including 1; math/rand when nil
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
	owner    func() string
	listener *agentrpc.Listener
	address  net.Addr // of listener
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
	// endAccepting closes the agents' port while the node is drained; stood is
	// closed when that changes.
	endAccepting context.CancelCauseFunc
	stood        chan struct{}
	draining     atomic.Bool
	claiming     sync.Mutex

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
		db: c.DB, identity: c.Identity, node: c.Node, owner: c.Owner, stood: make(chan struct{}), log: c.Logger, now: c.Now, random: c.Random, ping: c.Ping,
		sessions: map[*session]bool{}, dialers: map[string]*dialer{},
		refusals: rate.NewLimiter(1, 5), dialSlots: make(Slots, dialsAtOnce),
	}
	if g.random == nil {
		g.random = rand.Float64
	}
	if g.ping == 0 {
		g.ping = pingEvery
	}
	g.group = &group{db: c.DB, now: c.Now}
	g.core = &Core{
		DB: g.group, Logs: c.DB.Logs(), Blobs: c.Blobs, Log: c.Logger,
		Orders: make(Slots, ordersAtOnce), Transfers: make(Slots, transfersAtOnce), Contest: contestedPings * g.ping,
	}
	if c.Listen == "" {
		return g, nil
	}
	var err error
	g.listener, err = agentrpc.Listen(ctx, c.Listen, agentrpc.ServerTLS(c.Identity, g.fleet.verify), g.refuse)
	if err != nil {
		return nil, fmt.Errorf("open the agents' port: %w", err)
	}
	g.address = g.listener.Addr()
	return g, nil
}

// Addr is where polling agents connect; nil when nowhere.
func (g *Gateway) Addr() net.Addr {
	return g.address
}

// Stats are figures for the server's metrics; all but Links count since the
// start.
type Stats struct {
	Links   int   // open now, those held included
	Refused int64 // connections turned away
	Writes  int64 // by sessions and attempts
	Commits int64 // that carried those writes
}

// Stats reads the figures.
func (g *Gateway) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{
		Links: len(g.sessions), Refused: g.refused.Load(),
		Writes: g.group.writes.Load(), Commits: g.group.commits.Load(),
	}
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
	if g.shared() {
		loops.Go(func() { g.watchNodes(ctx) })
		loops.Go(func() { g.watchQuestions(ctx) })
	}
	var err error
	if g.listener != nil {
		err = g.acceptUntilEnd(ctx)
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

// jitter spreads a period by a tenth to either side.
func (g *Gateway) jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(g.random()*float64(d/5))
}
