package gateway_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// valve lets connections through until it is cut: then it breaks those that
// there are, and new ones, until it is opened again.
type valve struct {
	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func (v *valve) wrap(c net.Conn) net.Conn {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shut {
		_ = c.Close()
	}
	v.conns = append(v.conns, c)
	return c
}

func (v *valve) cut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = true
	for _, c := range v.conns {
		_ = c.Close()
	}
	v.conns = nil
}

func (v *valve) open() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = false
}

// core gives the synchronous functions alone, without a shell around them.
func (r *rig) core() *gateway.Core {
	return &gateway.Core{DB: r.db, Logs: r.db.Logs(), Blobs: r.blobs, Log: testLogger(r.t)}
}

// link connects to the agent over memory and real TLS.
func (r *rig) link(a *fakeAgent) gateway.Agent {
	r.t.Helper()
	near, far := net.Pipe()
	agentEnd := tls.Client(far, agentrpc.ClientTLS(a.id, agentrpc.Pinned(r.id.Thumbprint())))
	serverEnd := tls.Server(near, agentrpc.ServerTLS(r.id, agentrpc.Pinned(a.id.Thumbprint())))
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if agentEnd.HandshakeContext(ctx) == nil {
			_ = agentrpc.ServeConn(ctx, agentEnd, agentrpc.NewHandler(a))
		}
	}()
	r.must(serverEnd.HandshakeContext(ctx))
	link, err := agentrpc.NewLink(serverEnd)
	r.must(err)
	r.t.Cleanup(func() { _ = link.Close(); cancel(nil); <-done })
	return gateway.Remote(link.Client)
}

// turns runs the engine until it has nothing more to do, under the owner name
// of its last run, and then stops it: what follows is the test's to drive.
func (r *rig) turns(id string) {
	r.t.Helper()
	r.startEngine()
	r.eventually("the engine is done with "+id, func() bool { return r.idle(id) })
	r.stop()
}

// effects are what waits for a machine.
func (r *rig) effects(machine string) []store.Delivery {
	r.t.Helper()
	var list []store.Delivery
	r.read(func(tx *store.Tx) (err error) { list, err = store.Deliveries(tx, machine, 100); return err })
	return list
}

// Fault 3: the server dies after the attempt row and its mark, before a byte is
// sent. The new owner sends the same attempt under its own epoch.
func TestDiesBeforeSend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	var v valve
	var dropped atomic.Bool
	reached := make(chan struct{})
	a.before = func(rpc string) error {
		if rpc == "Start" && dropped.CompareAndSwap(false, true) {
			v.cut() // it never gets to the journal
			close(reached)
			return connect.NewError(connect.CodeUnavailable, errors.New("cut"))
		}
		return nil
	}
	r.start()
	r.connect(a, v.wrap)
	r.online(m)
	id := r.deploy(nil)
	<-reached
	r.stop()
	v.open()
	r.start()
	r.connect(a, v.wrap)
	r.ends(id, rollout.Succeeded)
	attempt := attemptOf(id, m, 1)
	a.see(func() {
		if a.starts[attempt] != 1 || len(a.starts) != 1 {
			t.Errorf("starts %v", a.starts)
		}
		if a.epochs[id] < 2 {
			t.Errorf("the agent heard of epoch %d, want the new owner's", a.epochs[id])
		}
		if a.calls["Query"] == 0 {
			t.Error("the new owner did not ask what the agent knows of it")
		}
	})
}

// Fault 4: the server dies after the start, before the reply. The new owner
// finds the attempt running and follows it from the committed offset.
func TestDiesBeforeReply(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	var v valve
	var once sync.Once
	started, finish := make(chan struct{}), make(chan struct{})
	a.before = func(rpc string) error {
		if rpc == "Started" {
			once.Do(func() { v.cut(); close(started) })
		}
		return nil
	}
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("first\n")
		<-finish
		write("second\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.start()
	r.connect(a, v.wrap)
	r.online(m)
	id := r.deploy(nil)
	<-started
	r.stop()
	v.open()
	r.start()
	r.connect(a, v.wrap)
	attempt := attemptOf(id, m, 1)
	r.eventually("the output so far arrives", func() bool { return r.log(attempt) == "first\n" })
	close(finish)
	r.ends(id, rollout.Succeeded)
	if got := r.log(attempt); got != "first\nsecond\n" {
		t.Errorf("log %q", got)
	}
	a.see(func() {
		if a.starts[attempt] != 1 || len(a.starts) != 1 {
			t.Errorf("starts %v", a.starts)
		}
	})
}

// Fault 4: the server dies in the middle of a script's output. The new owner
// asks for it from the offset that the old one has acknowledged, and has it
// whole, without a byte twice.
func TestFollowsFromTheAcknowledgedOffset(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	finish, acked := make(chan struct{}), make(chan int64, 9)
	a.acked = func(_ string, offset int64) { acked <- offset }
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("first\n")
		<-finish
		write("second\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.start()
	disconnect := r.connect(a, unchanged)
	id := r.deploy(nil)
	if at := <-acked; at != 6 {
		t.Fatalf("acknowledged up to %d", at)
	}
	disconnect()
	r.stop()
	r.start()
	r.connect(a, unchanged)
	attempt := attemptOf(id, m, 1)
	r.eventually("it is followed again", func() (again bool) {
		a.see(func() { again = len(a.follows[attempt]) == 2 })
		return again
	})
	close(finish)
	r.ends(id, rollout.Succeeded)
	if got := r.log(attempt); got != "first\nsecond\n" {
		t.Errorf("log %q", got)
	}
	a.see(func() {
		if got := a.follows[attempt]; len(got) != 2 || got[0] != 0 || got[1] != 6 || a.starts[attempt] != 1 {
			t.Errorf("followed from %v, want 0 and 6; starts %v", got, a.starts)
		}
	})
}

// dying is a store that dies at one of its commits, counted from 0: right
// before it, so that it is rolled back, or right after.
type dying struct {
	gateway.Records
	at    int // -1: never
	after bool
	made  int
	dead  bool
}

var errDied = errors.New("the process has died")

func (d *dying) Read(ctx context.Context, f func(*store.Tx) error) error {
	if d.dead {
		return errDied
	}
	return d.Records.Read(ctx, f)
}

func (d *dying) Write(ctx context.Context, f func(*store.Tx) error) error {
	switch {
	case d.dead:
		return errDied
	case d.made != d.at:
		d.made++
		return d.Records.Write(ctx, f)
	}
	d.dead = true
	return d.Records.Write(ctx, func(tx *store.Tx) error {
		if err := f(tx); err != nil || d.after {
			return err
		}
		return errDied
	})
}

// carryOut does for a machine what its link does: what waits for it is
// delivered, and what was sent is asked about and followed to its end.
func (r *rig) carryOut(core *gateway.Core, agent gateway.Agent, machine string) error {
	r.t.Helper()
	for _, d := range r.effects(machine) {
		if _, err := core.Deliver(r.t.Context(), agent, &d); err != nil {
			return err
		}
	}
	var running []store.RunningAttempt
	if err := core.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		running, err = store.RunningAttempts(tx, machine)
		return err
	}); err != nil {
		return err
	}
	for _, at := range running {
		follow, err := core.Resume(r.t.Context(), agent, &at)
		if err == nil && follow {
			err = core.Receive(r.t.Context(), agent, gateway.Work{Attempt: at.ID, Rollout: at.Rollout, Machine: machine, Epoch: at.Epoch}, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Faults 3, 4, 5 at every commit of a delivery, right before and right after
// it: whichever the server dies at, the script starts once, its output and its
// result are stored once, and the agent keeps both until they are.
func TestDiesAtAnyCommitOfADelivery(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, at int, after bool) (end string, commits int) {
		t.Helper()
		r := newRig(t)
		a := newAgent(t, "abc")
		a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
			write("first\nsecond\n")
			return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED, ExitCode: 7, Reason: "exit code 7"}
		}
		m := r.machine("web-1", a)
		id := r.deploy(nil)
		attempt := attemptOf(id, m, 1)
		r.turns(id)
		agent, db := r.link(a), &dying{Records: r.db, at: at, after: after}
		mortal := r.core()
		mortal.DB = db
		if err := r.carryOut(mortal, agent, m); db.dead != (at >= 0) || !db.dead && err != nil {
			t.Fatalf("dead: %v, %v", db.dead, err)
		}
		a.see(func() {
			if len(a.forgotten) != 0 {
				t.Error("the agent has forgotten what no turn has folded")
			}
		})
		for range 3 { // to be started, to be folded, to be forgotten
			r.turns(id)
			r.must(r.carryOut(r.core(), agent, m))
		}
		view := r.view(id)
		got := view.Attempts[0]
		a.see(func() {
			end = fmt.Sprint(view.Row.State, len(view.Attempts), got.ID == attempt, got.Outcome, got.ExitCode, got.Reason, got.LogLength, r.log(attempt), a.starts, a.forgotten, len(a.attempts))
		})
		return end, db.made
	}
	want, commits := run(t, -1, false)
	if commits != 3 { // sent, started, ended
		t.Fatalf("undisturbed, %d commits", commits)
	}
	for at := range commits {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("commit %d, after %v", at, after), func(t *testing.T) {
				t.Parallel()
				if got, _ := run(t, at, after); got != want {
					t.Errorf("it ended\n%s\nundisturbed\n%s", got, want)
				}
			})
		}
	}
}

// Fault 5: the script ends while no server is there. The result is stored once
// when one is.
func TestEndsWithoutServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	finish := make(chan struct{})
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("running\n")
		<-finish
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED, ExitCode: 7, Reason: "exit code 7"}
	}
	r.start()
	disconnect := r.connect(a, unchanged)
	r.online(m)
	id := r.deploy(nil)
	attempt := attemptOf(id, m, 1)
	r.eventually("the script runs", func() bool { return r.log(attempt) == "running\n" })
	disconnect()
	r.stop()
	close(finish)
	r.eventually("the script ends", func() (ended bool) {
		a.see(func() { ended = a.attempts[attempt].result != nil })
		return ended
	})
	r.start()
	r.connect(a, unchanged)
	view := r.ends(id, rollout.Failed)
	if got := view.Attempts[0]; len(view.Attempts) != 1 || got.ExitCode != 7 || got.Reason != "exit code 7" {
		t.Errorf("attempts %+v", view.Attempts)
	}
}

// stateHash is the digest of all that is stored of a rollout but for its times:
// its rows, its history by length, and the output of its attempts.
func (r *rig) stateHash(id string) string {
	r.t.Helper()
	view := r.view(id)
	for i := range view.Steps {
		view.Steps[i].StartedAt, view.Steps[i].EndedAt = 0, 0
	}
	for i := range view.Cells {
		c := &view.Cells[i]
		c.StartedAt, c.EndedAt, c.DueAt, c.SilentAt, c.LimitAt = 0, 0, 0, 0, 0
	}
	var logs []string
	for i := range view.Attempts {
		at := &view.Attempts[i]
		logs = append(logs, r.log(at.ID))
		at.CreatedAt, at.SentAt, at.StartedAt, at.EndedAt = 0, 0, 0, 0
	}
	for i := range view.Notes {
		view.Notes[i].At = 0
	}
	var seq int64
	r.read(func(tx *store.Tx) (err error) { seq, err = store.LastSeq(tx, id); return err })
	text, err := json.Marshal([]any{view.Row, view.Steps, view.Members, view.Cells, view.Attempts, view.Notes, seq, logs})
	r.must(err)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// Fault 17: every message twice leaves the same rows as every message once.
func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	dump := func(times int) string {
		r := newRig(t)
		a := newAgent(t, "abc")
		a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
			write(strings.Repeat("line\n", 1000))
			return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, Outputs: []*agentrpc.OutputVariable{{Name: "Port", Value: "80"}}}
		}
		m := r.machine("web-1", a)
		id := r.deploy(nil)
		r.turns(id)
		d := r.effects(m)[0]
		core, agent := r.core(), r.link(a)
		for range times {
			_, err := core.Deliver(t.Context(), agent, &d)
			if err != nil && !errors.Is(err, gateway.ErrStale) { // the second time there is no such effect
				t.Fatal(err)
			}
		}
		for range times {
			r.must(core.Receive(t.Context(), agent, gateway.Work{Attempt: d.Attempt, Rollout: id, Machine: m, Epoch: d.Epoch}, 0))
		}
		r.turns(id)
		return r.stateHash(id) + fmt.Sprint(a.starts)
	}
	if once, twice := dump(1), dump(2); once != twice {
		t.Errorf("once:  %s\ntwice: %s", once, twice)
	}
}

// Fault 18: a cancel that overtakes its start leaves a tombstone, and the start
// finds the attempt closed.
func TestCancelBeforeStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	id := r.deploy(nil)
	r.turns(id)
	start := r.effects(m)[0]
	core, agent := r.core(), r.link(a)
	r.write(func(tx *store.Tx) error { // as sent: a start that is still on its way
		_, err := store.MarkSent(tx, start.Attempt)
		return err
	})
	r.write(func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
	r.turns(id)
	var cancel *store.Delivery
	for _, d := range r.effects(m) {
		if d.Kind == rollout.CancelAttempt {
			cancel = &d
		}
	}
	if cancel == nil {
		t.Fatalf("no cancel among %+v", r.effects(m))
	}
	for _, d := range []*store.Delivery{cancel, &start} {
		d.Epoch = cancel.Epoch // as the take-over has stamped both
		if follow, err := core.Deliver(t.Context(), agent, d); err != nil || follow {
			t.Fatalf("deliver %s: follow %v, %v", d.Kind, follow, err)
		}
	}
	r.turns(id)
	view := r.view(id)
	if view.Row.State != rollout.Canceled || view.Attempts[0].Outcome != rollout.OutcomeNotStarted || len(a.starts) != 0 {
		t.Errorf("rollout %s, attempt %+v, starts %v", view.Row.State, view.Attempts[0], a.starts)
	}
}

// Fault 18: a result that declares more output than arrives counts, and says
// that its log is incomplete.
func TestResultBeforeLogTail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("some\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, LogLength: 5000}
	}
	r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	id := r.deploy(nil)
	at := r.ends(id, rollout.Succeeded).Attempts[0]
	if !at.Warnings || at.LogLength != 5 {
		t.Errorf("attempt %+v", at)
	}
	contains(t, at.Reason, "log is incomplete")
}

// Faults 30, 51, 53: what belongs to a former owner is dropped at delivery, and
// where this node has not heard of the new one, by the agent.
func TestStaleEpoch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	id := r.deploy(nil)
	r.turns(id)
	core, agent := r.core(), r.link(a)
	old := r.effects(m)[0]
	a.see(func() { a.epochs[id] = old.Epoch + 5 }) // another node was faster, and this one's database does not show it yet
	if _, err := core.Deliver(t.Context(), agent, &old); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("the agent took an old epoch: %v", err)
	}
	a.see(func() { a.epochs[id] = 0 })
	r.write(func(tx *store.Tx) error {
		return store.Post(tx, id, "go on", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Continue}, nil)
	})
	r.turns(id) // a new epoch
	if _, err := core.Deliver(t.Context(), agent, &old); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("I4: an old effect was sent: %v", err)
	}
	fresh := r.effects(m)
	if len(fresh) != 1 || fresh[0].Epoch <= old.Epoch || len(a.starts) != 0 {
		t.Fatalf("effects %+v, starts %v", fresh, a.starts)
	}
	follow, err := core.Deliver(t.Context(), agent, &fresh[0])
	if err != nil || !follow || a.starts[old.Attempt] != 1 {
		t.Errorf("follow %v, %v, starts %v", follow, err, a.starts)
	}
}

// The journal lost an attempt that it had: nobody can know what became of it.
func TestJournalHasNoRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	hang := make(chan struct{})
	defer close(hang)
	a.run = func(context.Context, *agentrpc.Job, func(string)) *agentrpc.Result {
		<-hang
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.start()
	disconnect := r.connect(a, unchanged)
	id := r.deploy(nil)
	attempt := attemptOf(id, m, 1)
	r.eventually("the attempt is started", func() bool {
		view := r.view(id)
		return len(view.Attempts) == 1 && view.Attempts[0].StartedAt != 0
	})
	disconnect()
	a.see(func() { delete(a.attempts, attempt) })
	r.connect(a, unchanged)
	at := r.ends(id, rollout.Failed).Attempts
	if len(at) != 1 || at[0].Outcome != rollout.OutcomeUnknown {
		t.Errorf("attempts %+v", at)
	}
	contains(t, at[0].Reason, "no record")
}

// I1, I2: a start whose answer was lost is delivered again, and by then the
// agent's store or the server's may lack what it needs. That proves nothing:
// the script runs, and no second attempt may be made beside it.
func TestNothingButTheAgentProvesThatItDidNotStart(t *testing.T) {
	t.Parallel()
	full := connect.NewError(connect.CodeResourceExhausted, errors.New("disk full"))
	for name, lack := range map[string]func(r *rig, a *fakeAgent, pkg rollout.Package){
		"the agent has no room": func(_ *rig, a *fakeAgent, _ rollout.Package) {
			a.before = func(rpc string) error {
				if rpc == "Put" {
					return full
				}
				return nil
			}
		},
		"the agent's store refuses": func(_ *rig, a *fakeAgent, _ rollout.Package) {
			a.before = func(rpc string) error {
				if rpc == "Have" {
					return full
				}
				return nil
			}
		},
		"the server has lost the package": func(r *rig, a *fakeAgent, pkg rollout.Package) {
			a.before = nil
			r.must(r.blobs.Delete(t.Context(), pkg.SHA256))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := newAgent(t, "abc")
			m := r.machine("web-1", a)
			end := make(chan struct{})
			a.run = func(context.Context, *agentrpc.Job, func(string)) *agentrpc.Result {
				<-end
				return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
			}
			pkg := r.pack("Shop", "1.0.0", "content")
			id := r.deploy(func(p *rollout.Plan) { p.Steps[0].Actions[0].Packages = []rollout.Package{pkg} })
			r.turns(id)
			d := r.effects(m)[0]
			a.before = func(rpc string) error {
				if rpc == "Started" {
					return connect.NewError(connect.CodeUnavailable, errors.New("cut"))
				}
				return nil
			}
			if _, err := r.core().Deliver(t.Context(), r.link(a), &d); err == nil {
				t.Fatal("the answer was not lost")
			}
			r.turns(id)
			a.change(func() { a.packages = map[string][]byte{} })
			lack(r, a, pkg)
			d = r.effects(m)[0]
			follow, err := r.core().Deliver(t.Context(), r.link(a), &d)
			if err != nil || !follow {
				t.Errorf("I2: an attempt that runs is not followed: %v, %v", follow, err)
			}
			close(end)
			r.turns(id)
			if list := r.view(id).Attempts; len(list) != 1 || list[0].Outcome != rollout.OutcomeNone {
				t.Errorf("attempts %+v", list)
			}
		})
	}
}
