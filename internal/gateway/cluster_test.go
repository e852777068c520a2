package gateway_test

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// peer is one of several nodes over the database of a rig: on PostgreSQL with a
// store of its own, on SQLite with the rig's.
type peer struct {
	name string
	db   *store.DB
	g    *gateway.Gateway
	stop func()
}

// newCluster is a rig whose nodes are begun by join.
func newCluster(t *testing.T) (r *rig, join func(name string, owns bool) *peer) {
	t.Helper()
	r = &rig{t: t, folder: t.TempDir(), ping: 50 * time.Millisecond}
	address := storetest.Database(t)
	keys, err := secret.Load(r.folder)
	r.must(err)
	r.open(address, keys)
	return r, func(name string, owns bool) *peer {
		db := r.db
		if address != "" {
			var err error
			db, err = store.Open(t.Context(), store.Config{Path: t.TempDir(), Database: address, Keys: keys, Now: time.Now})
			r.must(err)
			t.Cleanup(func() { r.must(db.Close()) })
		}
		return r.peer(name, db, owns)
	}
}

// peer begins a node. One that owns no rollouts has its lease renewed, and a
// gateway.
func (r *rig) peer(name string, db *store.DB, owns bool) *peer {
	r.t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	e := engine.New(engine.Config{DB: db, Node: name, Logger: testLogger(r.t), Now: time.Now})
	r.must(e.Begin(ctx))
	g, err := gateway.New(ctx, gateway.Config{
		DB: db, Blobs: r.blobs, Identity: r.id, Node: name, Owner: e.Owner, Listen: "127.0.0.1:0", Logger: testLogger(r.t), Ping: r.ping, Now: time.Now,
	})
	r.must(err)
	var running sync.WaitGroup
	running.Go(func() {
		if owns {
			r.check(e.Run(ctx))
			return
		}
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := e.Renew(ctx); err != nil && ctx.Err() == nil {
					r.t.Errorf("renew: %v", err)
				}
			}
		}
	})
	running.Go(func() { r.check(g.Run(ctx)) })
	p := &peer{name: name, db: db, g: g, stop: sync.OnceFunc(func() { cancel(nil); running.Wait() })}
	r.t.Cleanup(p.stop)
	return p
}

func (r *rig) check(err error) {
	if err != nil {
		r.t.Errorf("a node ended: %v", err)
	}
}

// links lets the agent poll these nodes in turn, one link at a time.
func (r *rig) links(a *fakeAgent, nodes ...*peer) (disconnect func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			a.pollOnce(ctx, nodes[i%len(nodes)].g.Addr().String(), r.id.Thumbprint())
		}
	}()
	stop := sync.OnceFunc(func() { cancel(nil); <-done })
	r.t.Cleanup(stop)
	return stop
}

// pollOnce keeps one link to its end.
func (a *fakeAgent) pollOnce(ctx context.Context, address, server string) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		conn := tls.Client(raw, agentrpc.ClientTLS(a.id, agentrpc.Pinned(server)))
		if conn.HandshakeContext(ctx) == nil {
			_ = agentrpc.ServeConn(ctx, conn, agentrpc.NewHandler(a))
		}
		_ = raw.Close()
	}
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}

// at waits until the machine is connected to the node.
func (r *rig) at(machine string, p *peer) {
	r.t.Helper()
	r.eventually(machine+" is connected to "+p.name, func() bool {
		s := r.session(machine)
		return s.State == store.SessionConnected && s.Node == p.name
	})
}

// Fault 51: the owner of the rollout is one node, the agent is linked to
// another, which delivers.
func TestAgentAtAnotherNode(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	join("owner", true)
	other := join("other", false)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.links(a, other)
	r.at(m, other)
	for range 3 {
		id := r.deploy(nil)
		r.ends(id, rollout.Succeeded)
		if n := a.begun(attemptOf(id, m, 1)); n != 1 {
			t.Errorf("%d starts of %s", n, id)
		}
		if log := r.log(attemptOf(id, m, 1)); log != "hello\n" {
			t.Errorf("log %q", log)
		}
	}
}

// Fault 51: an agent that changes nodes in the middle of a script is followed
// by the other one, and nothing is started or told twice.
func TestAgentChangesNodes(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	first, second := join("first", true), join("second", true)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	goOn := make(chan struct{})
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("before\n")
		<-goOn
		write("after\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	disconnect := r.links(a, first)
	r.at(m, first)
	id := r.deploy(nil)
	r.eventually("the script runs", func() bool { return r.log(attemptOf(id, m, 1)) == "before\n" })
	disconnect()
	r.links(a, second)
	r.at(m, second)
	close(goOn)
	r.ends(id, rollout.Succeeded)
	if n, log := a.begun(attemptOf(id, m, 1)), r.log(attemptOf(id, m, 1)); n != 1 || log != "before\nafter\n" {
		t.Errorf("%d starts, log %q", n, log)
	}
}

// Abuse 4, over nodes: two agents of one identity at two nodes get no work
// until one of them is gone.
func TestDuplicateIdentityAtTwoNodes(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	first, second := join("first", true), join("second", true)
	a := newAgent(t, "abc")
	b := a.clone(t)
	b.incarnation = a.incarnation
	m := r.machine("web-1", a)
	r.links(a, first)
	r.at(m, first)
	stopB := r.links(b, second)
	r.eventually("the identity is a duplicate", func() bool { return r.session(m).State == store.SessionDuplicate })
	contains(t, r.session(m).Reason, "Duplicate identity")
	id := r.deploy(nil)
	var pings int
	b.see(func() { pings = b.calls["Describe"] })
	r.eventually("both go on being asked", func() (asked bool) {
		b.see(func() { asked = b.calls["Describe"] > pings+5 })
		return asked
	})
	if is := r.session(m); is.State != store.SessionDuplicate || a.begun("")+b.begun("") > 0 {
		t.Errorf("%+v, %d starts and %d", is, a.begun(""), b.begun(""))
	}
	stopB()
	r.at(m, first)
	r.ends(id, rollout.Succeeded)
	if a.begun(attemptOf(id, m, 1)) != 1 || b.begun("") > 0 {
		t.Errorf("%d starts and %d", a.begun(""), b.begun(""))
	}
}

// The node that has the link of a duplicate identity dies, or loses the link:
// the other link works then.
func TestDuplicateIdentityIsLeft(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	first, second := join("first", true), join("second", true)
	a := newAgent(t, "abc")
	b := a.clone(t)
	b.incarnation = a.incarnation
	m := r.machine("web-1", a)
	stopA := r.links(a, first)
	r.at(m, first)
	r.links(b, second)
	r.eventually("the identity is a duplicate", func() bool { return r.session(m).State == store.SessionDuplicate })
	stopA()
	r.at(m, second)
}

// Fault 53: a link that another has replaced starts nothing, also when its node
// has not heard of that.
func TestAReplacedLinkStartsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.startEngine()
	session := store.Session{Machine: m, Node: "node-1", State: store.SessionConnected, Incarnation: 1}
	r.write(func(tx *store.Tx) error { return store.OpenSession(tx, &session) })
	id := r.deploy(nil)
	var list []store.Delivery
	r.eventually("a start waits", func() bool {
		r.read(func(tx *store.Tx) (err error) { list, err = store.Deliveries(tx, m, 10); return err })
		return len(list) == 1 && r.idle(id)
	})
	can := func() (may bool) {
		r.read(func(tx *store.Tx) (err error) { may, err = store.Deliverable(tx, &list[0]); return err })
		return may
	}
	list[0].Session = session.Generation
	if !can() {
		t.Error("the machine's own link may not start it")
	}
	r.write(func(tx *store.Tx) error { return store.OpenSession(tx, &session) })
	r.eventually("the rollout has heard", func() bool { return r.idle(id) })
	r.read(func(tx *store.Tx) (err error) { list, err = store.Deliveries(tx, m, 10); return err })
	list[0].Session = session.Generation - 1
	if can() {
		t.Error("the link before may start it")
	}
}

// Fault 53: each listening machine is dialled by one node; those of a node that
// is drained, by the others.
func TestListeningMachinesOfTwoNodes(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	var machines []string
	for range 8 {
		a := newAgent(t, "")
		machines = append(machines, r.machineAt(a.id.Thumbprint()[:12], resource.Endpoint{
			CommunicationStyle: resource.StylePassive, URI: r.listen(a, r.id.Thumbprint()), Thumbprint: a.id.Thumbprint(),
		}))
	}
	first := join("first", true)
	for _, m := range machines {
		r.at(m, first)
	}
	second := join("second", true)
	id := r.deploy(nil)
	r.drain("first", true)
	for _, m := range machines {
		r.at(m, second)
	}
	r.ends(id, rollout.Succeeded)
	r.drain("first", false)
	r.eventually("the node works again", func() bool {
		var nodes []store.Node
		r.read(func(tx *store.Tx) (err error) { nodes, err = store.ListNodes(tx); return err })
		return !slices.ContainsFunc(nodes, func(n store.Node) bool { return n.Draining > 0 })
	})
	second.stop()
	for _, m := range machines {
		r.at(m, first)
	}
	r.ends(r.deploy(nil), rollout.Succeeded)
}

func (r *rig) drain(node string, on bool) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error { _, err := store.Drain(tx, node, on); return err })
}

// A node that is drained lets go of its agents and takes none, in the middle of
// a script; nothing is started twice.
func TestDrainLetsAgentsGo(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	first, second := join("first", true), join("second", true)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	goOn := make(chan struct{})
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("before\n")
		<-goOn
		write("after\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.drain("second", true)
	r.links(a, first, second)
	r.at(m, first)
	id := r.deploy(nil)
	r.eventually("the script runs", func() bool { return r.log(attemptOf(id, m, 1)) == "before\n" })
	r.drain("second", false)
	r.drain("first", true)
	r.at(m, second)
	r.eventually("the drained node accepts nobody", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", first.g.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(goOn)
	r.ends(id, rollout.Succeeded)
	if n, log := a.begun(attemptOf(id, m, 1)), r.log(attemptOf(id, m, 1)); n != 1 || log != "before\nafter\n" {
		t.Errorf("%d starts, log %q", n, log)
	}
	r.drain("first", false)
	r.eventually("it accepts again", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", first.g.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// A health check asks an agent through the node that it is linked to.
func TestProbeThroughAnotherNode(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	here, there := join("here", true), join("there", true)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	disconnect := r.links(a, there)
	r.at(m, there)
	got, err := here.g.Probe(t.Context(), m, "true", "", time.Second)
	if want := "ran true for " + r.id.Thumbprint()[:4]; err != nil || string(got.Log) != want {
		t.Errorf("probe: %s, %v", got.Log, err)
	}
	about, err := here.g.Describe(t.Context(), m)
	if err != nil || about.Hostname != "web-1" {
		t.Errorf("describe: %v, %v", about, err)
	}
	disconnect()
	r.eventually("the session is lost", func() bool { return r.session(m).State == store.SessionLost })
	if _, err := here.g.Probe(t.Context(), m, "true", "", time.Second); resource.CodeOf(err) != resource.Unavailable {
		t.Errorf("probe without a link: %v", err)
	}
}

// Fault 51: a row says that a living node has the machine's link, and it has
// not: the link ended while the database took no writes, or another life of the
// node wrote it. The node gives it up, and the machine may link elsewhere (found
// by the simulation).
func TestALinkThatNobodyHasIsGivenUp(t *testing.T) {
	t.Parallel()
	r, join := newCluster(t)
	_, second := join("first", true), join("second", true)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	ghost := store.Session{Machine: m, Node: "first", State: store.SessionConnected, Incarnation: 1}
	r.write(func(tx *store.Tx) error { return store.OpenSession(tx, &ghost) })
	r.links(a, second)
	r.at(m, second)
}
