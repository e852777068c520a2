package gateway

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// lookAgain is the look at the other nodes behind the wake-ups.
	lookAgain = 2 * time.Second
	// restShared is the least pause between two looks at what all nodes share.
	restShared = 100 * time.Millisecond
)

var (
	errDraining = errors.New("this server is being drained")
	errNotOurs  = errors.New("another server dials this machine")
)

// shared says that other nodes may have the same database open.
func (g *Gateway) shared() bool { return g.owner != nil }

// watchNodes follows the other nodes: sessions that another has taken over end
// or are held, listening machines that nobody dials are claimed, and a node that
// is drained lets go of all its agents, which find another by themselves.
func (g *Gateway) watchNodes(ctx context.Context) {
	nodes, stopNodes := g.db.Watch(store.TopicNodes)
	defer stopNodes()
	sessions, stopSessions := g.db.Watch(store.TopicSessions)
	defer stopSessions()
	for {
		began := g.now()
		if err := errors.Join(g.stand(ctx), g.claim(ctx), g.look(ctx)); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "look at the other nodes", "error", err)
		}
		if !pause(ctx, max(restShared, g.rest(began))) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-nodes:
		case <-sessions:
		case <-time.After(lookAgain):
		}
	}
}

// stand reads whether this node is drained and does what that means.
func (g *Gateway) stand(ctx context.Context) error {
	var standing store.Standing
	err := g.db.Read(ctx, func(tx *store.Tx) (err error) {
		standing, err = store.StandingOf(tx, g.node)
		return err
	})
	if err != nil || standing.Passive() == g.draining.Load() {
		return err
	}
	g.draining.Store(standing.Passive())
	g.log.InfoContext(ctx, "draining changed", "draining", standing.Passive())
	if standing.Passive() {
		g.eachSession(func(s *session) { s.end(errDraining) })
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.endAccepting != nil && standing.Passive() {
		g.endAccepting(errDraining)
	}
	close(g.stood)
	g.stood = make(chan struct{})
	return nil
}

// acceptUntilEnd accepts polling agents whenever this node is not drained. The
// socket is closed while it is: whoever balances connections goes elsewhere.
func (g *Gateway) acceptUntilEnd(ctx context.Context) error {
	listener := g.listener
	for {
		accepting, end := context.WithCancelCause(ctx)
		g.mu.Lock()
		g.endAccepting = end
		stood := g.stood
		g.mu.Unlock()
		if g.draining.Load() { // since before there was an end to call
			end(errDraining)
		}
		err := listener.Serve(accepting, g.accepted)
		end(nil)
		if ctx.Err() != nil || !errors.Is(err, errDraining) {
			return err
		}
		for g.draining.Load() {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-stood:
			}
			g.mu.Lock()
			stood = g.stood
			g.mu.Unlock()
		}
		for {
			if listener, err = agentrpc.Listen(ctx, g.address.String(), agentrpc.ServerTLS(g.identity, g.fleet.verify), g.refuse); err == nil {
				break
			}
			g.log.ErrorContext(ctx, "open the agents' port again", "error", err)
			if !pause(ctx, lookAgain) {
				return context.Cause(ctx)
			}
		}
	}
}

// claim sees to it that each listening machine is dialled by one node: by the
// one that claims it, for as long as that one's lease holds (fault 53).
func (g *Gateway) claim(ctx context.Context) error {
	g.claiming.Lock() // an older look must not undo what a newer one has claimed
	defer g.claiming.Unlock()
	fleet := g.fleet.snapshot()
	listening := map[string]*machine{}
	for id, m := range fleet.byID {
		if m.address != "" {
			listening[id] = m
		}
	}
	mine := map[string]bool{}
	var wanted, needless []string
	err := g.db.Read(ctx, func(tx *store.Tx) error {
		dials, err := store.Dials(tx)
		if err != nil {
			return err
		}
		nodes, err := store.ListNodes(tx)
		if err != nil {
			return err
		}
		others := map[string]bool{}
		for _, d := range dials {
			switch {
			case d.Owner != g.owner():
				others[d.Machine] = d.Alive
			case listening[d.Machine] == nil || g.draining.Load():
				needless = append(needless, d.Machine)
			default:
				mine[d.Machine] = true
			}
		}
		nodes = slices.DeleteFunc(nodes, func(n store.Node) bool { return !n.Alive || n.Draining > 0 && n.Name != g.node })
		for id := range listening {
			if !others[id] && !mine[id] && !g.draining.Load() && g.falls(id, nodes) {
				wanted = append(wanted, id)
			}
		}
		return nil
	})
	if err == nil && len(needless) > 0 {
		err = g.db.Write(ctx, func(tx *store.Tx) error {
			return store.GiveUpDials(tx, g.owner(), func(id string) bool { return !slices.Contains(needless, id) })
		})
	}
	if err == nil && len(wanted) > 0 {
		slices.Sort(wanted) // two nodes take the rows in one order
		err = g.db.Write(ctx, func(tx *store.Tx) error {
			got, err := store.ClaimDials(tx, g.owner(), wanted)
			for id := range got {
				mine[id] = true
			}
			return err
		})
	}
	if err == nil {
		g.dial(ctx, fleet, func(id string) bool { return mine[id] })
	}
	return err
}

// falls says whether a machine that nobody dials falls to this node: each node
// reckons the same from the names, so that machines spread over them and none
// waits for a claim that was lost.
func (g *Gateway) falls(machine string, nodes []store.Node) bool {
	best, most := "", uint64(0)
	for i := range nodes {
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(machine + "\n" + nodes[i].Name))
		if weight := sum.Sum64(); best == "" || weight > most || weight == most && strings.Compare(nodes[i].Name, best) > 0 {
			best, most = nodes[i].Name, weight
		}
	}
	return best == "" || best == g.node
}

// look compares this node's sessions with the rows that all nodes share.
func (g *Gateway) look(ctx context.Context) error {
	var seats []store.Seat
	err := g.db.Read(ctx, func(tx *store.Tx) (err error) {
		seats, err = store.Seats(tx)
		return err
	})
	rows := make(map[string]*store.Seat, len(seats))
	for i := range seats {
		rows[seats[i].Machine] = &seats[i]
	}
	g.eachSession(func(s *session) {
		row, generation := rows[s.m.id], s.generation.Load()
		switch {
		case row == nil:
		case s.work.Load() == nil:
			if row.Elsewhere(g.node) {
				return
			}
			s.poke() // the seat may be free
		case row.Generation > generation, row.Generation == generation && row.State != store.SessionConnected:
			s.disowned.Store(true)
			s.poke()
		case row.Rival != "" && row.Generation == generation:
			s.challenged.Store(true)
			s.poke()
		}
	})
	return errors.Join(err, g.core.GiveUp(ctx, g.node, seats, func(machine string) bool {
		working, held := g.seats.of(machine).now()
		return working != nil || held
	}))
}
