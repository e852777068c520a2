package gateway_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// patience is how long the tests wait for what has to happen.
const patience = 60 * time.Second

// rig is a server without its API: real store, engine and gateway.
type rig struct {
	t      testing.TB
	folder string
	db     *store.DB
	blobs  *blob.Disk
	id     *agentrpc.Identity
	g      *gateway.Gateway
	stop   func() // ends engine and gateway, as a stop of the server does
	env    string
	n      int
	runs   int // of the engine
	ping   time.Duration
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{t: tb, folder: tb.TempDir()}
	keys, err := secret.Load(r.folder)
	r.must(err)
	r.open(storetest.Database(tb), keys)
	return r
}

// open opens the store and makes what a test needs in it.
func (r *rig) open(database string, keys *secret.Keyring) {
	tb := r.t
	tb.Helper()
	var err error
	r.db, err = store.Open(tb.Context(), store.Config{Path: r.folder, Database: database, Keys: keys, Now: time.Now})
	r.must(err)
	r.blobs, err = blob.OpenDisk(r.folder + "/blobs")
	r.must(err)
	r.id, err = agentrpc.CreateIdentity(tb.TempDir(), "server", time.Now(), rand.Reader)
	r.must(err)
	r.write(func(tx *store.Tx) error {
		env := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Production"}
		if err := store.Seed(tx, store.Admin{Username: "admin"}); err != nil {
			return err
		}
		err := store.Insert(tx, env)
		r.env = env.ID
		return err
	})
	tb.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		r.must(r.db.Close())
	})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) write(f func(*store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Write(context.Background(), f))
}

func (r *rig) read(f func(*store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Read(context.Background(), f))
}

// start begins engine and gateway and returns once both serve.
func (r *rig) start() {
	r.t.Helper()
	r.startEngine()
	stopEngine := r.stop
	ctx, cancel := context.WithCancelCause(context.Background())
	g, err := gateway.New(ctx, gateway.Config{
		DB: r.db, Blobs: r.blobs, Identity: r.id, Node: "node-1", Listen: "127.0.0.1:0", Logger: testLogger(r.t), Ping: r.ping, Now: time.Now,
	})
	r.must(err)
	r.g = g
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			r.t.Errorf("gateway: %v", err)
		}
	}()
	r.stop = func() {
		cancel(nil)
		<-done
		stopEngine()
	}
}

// startEngine begins the engine alone.
func (r *rig) startEngine() {
	r.t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	r.runs++
	e := engine.New(engine.Config{DB: r.db, Node: "node-1", Logger: testLogger(r.t), Now: time.Now})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := e.Run(ctx); err != nil {
			r.t.Errorf("engine: %v", err)
		}
	}()
	r.stop = func() {
		cancel(nil)
		<-done
		r.stop = nil
	}
	r.eventually("the node starts", r.ownsNode)
}

// idle says whether the running engine has folded all that waits for the
// rollout and has claimed it.
func (r *rig) idle(id string) bool {
	owner := fmt.Sprintf("node-1/%d", r.runs)
	var due []store.Owned
	r.read(func(tx *store.Tx) (err error) { due, err = store.DueRollouts(tx, owner, 100); return err })
	return len(due) == 0 && r.view(id).Row.State != rollout.Queued
}

// ownsNode says whether the engine has begun its epoch, and with it has
// written off the sessions of the last run.
func (r *rig) ownsNode() bool {
	err := r.db.Write(context.Background(), func(tx *store.Tx) error {
		return store.RenewLease(tx, fmt.Sprintf("node-1/%d", r.runs))
	})
	return err == nil
}

// machine inserts the document of a polling agent.
func (r *rig) machine(name string, a *fakeAgent) string {
	r.t.Helper()
	return r.machineAt(name, resource.Endpoint{
		CommunicationStyle: resource.StyleActive, URI: "poll://" + a.subscription + "/", Thumbprint: a.id.Thumbprint(),
	})
}

func (r *rig) machineAt(name string, at resource.Endpoint) string {
	r.t.Helper()
	m := &resource.Machine{Roles: []string{"web"}, EnvironmentIDs: []string{r.env}}
	m.SpaceID, m.Name, m.MachinePolicyID, m.Endpoint = resource.DefaultSpace, name, "MachinePolicies-1", at
	r.write(func(tx *store.Tx) error { return store.Insert(tx, m) })
	return m.ID
}

// connect lets the agent poll until the returned function is called.
func (r *rig) connect(a *fakeAgent, wrap func(net.Conn) net.Conn) (disconnect func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	address := r.g.Addr().String()
	go func() {
		defer close(done)
		_ = a.poll(ctx, address, r.id.Thumbprint(), wrap)
	}()
	stop := sync.OnceFunc(func() { cancel(nil); <-done })
	r.t.Cleanup(stop)
	return stop
}

// deploy queues a rollout of one step over the machines with role web and
// returns its id.
func (r *rig) deploy(change func(*rollout.Plan)) string {
	r.t.Helper()
	r.n++
	id := fmt.Sprintf("ServerTasks-%d", r.n)
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Deploy, Task: id, Space: rollout.Ref{ID: resource.DefaultSpace},
		Project: rollout.Ref{ID: fmt.Sprintf("Projects-%d", r.n), Name: "Shop"}, Environment: rollout.Ref{ID: r.env, Name: "Production"},
		Release: rollout.Ref{ID: "Releases-1", Name: "1.0.0"}, Worker: rollout.Ref{ID: "Workers-1", Name: "worker"},
		Steps: []rollout.Step{{
			ID: "s1", Name: "Run", Number: 1, Condition: rollout.ConditionSuccess, Roles: []string{"web"},
			Actions: []rollout.Action{{
				ID: "a1", Name: "Run", Number: "1", Type: "Octopus.Script", Condition: rollout.ConditionSuccess,
				Properties: map[string]string{"Octopus.Action.Script.ScriptBody": "echo hello"},
			}},
		}},
	}
	if change != nil {
		change(plan)
	}
	r.write(func(tx *store.Tx) error {
		if err := store.InsertTask(tx, &store.Task{ID: id, SpaceID: resource.DefaultSpace, Name: "Deploy", State: store.TaskQueued}); err != nil {
			return err
		}
		return store.InsertRollout(tx, plan)
	})
	return id
}

// pack stores a package's bytes and returns how a plan names it.
func (r *rig) pack(id, version, content string) rollout.Package {
	r.t.Helper()
	ref, err := r.blobs.Put(context.Background(), strings.NewReader(content), 1<<30)
	r.must(err)
	return rollout.Package{PackageID: id, Version: version, SHA256: ref.SHA256, Size: ref.Size, Extension: ".zip"}
}

func (r *rig) view(id string) *store.RolloutView {
	r.t.Helper()
	var view *store.RolloutView
	r.read(func(tx *store.Tx) (err error) { view, err = store.ViewRollout(tx, id); return err })
	return view
}

// ends waits for the rollout to end and wants the state.
func (r *rig) ends(id string, want rollout.State) *store.RolloutView {
	r.t.Helper()
	var view *store.RolloutView
	r.eventually(id+" ends", func() bool { view = r.view(id); return view.Row.State.Terminal() })
	if view.Row.State != want {
		r.t.Fatalf("%s ended %s, want %s: %+v", id, view.Row.State, want, view)
	}
	return view
}

func (r *rig) session(machine string) store.Session {
	r.t.Helper()
	var s *store.Session
	r.read(func(tx *store.Tx) (err error) { s, err = store.GetSession(tx, machine); return err })
	if s == nil {
		return store.Session{}
	}
	return *s
}

func (r *rig) online(machine string) {
	r.t.Helper()
	r.eventually(machine+" is connected", func() bool { return r.session(machine).State == store.SessionConnected })
}

func (r *rig) log(attempt string) string {
	r.t.Helper()
	data, err := r.db.Logs().Read(context.Background(), attempt, 0, 64<<20)
	r.must(err)
	return string(data)
}

// eventually waits for a condition that another goroutine brings about.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// attemptOf is the id of a machine's attempt of a rollout's only action.
func attemptOf(rollout, machine string, try int) string {
	return fmt.Sprintf("%s.0.0.%s.%d", rollout, machine, try)
}

func contains(tb testing.TB, text, part string) {
	tb.Helper()
	if !strings.Contains(text, part) {
		tb.Errorf("%q does not contain %q", text, part)
	}
}
