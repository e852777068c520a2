package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// listen serves the agent as a listening one until the test ends and returns
// its Uri. pin is the server that it knows.
func (r *rig) listen(a *fakeAgent, pin string) string {
	r.t.Helper()
	listener, err := agentrpc.Listen(r.t.Context(), "127.0.0.1:0", agentrpc.ServerTLS(a.id, agentrpc.Pinned(pin)), func(string, error) {})
	r.must(err)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = listener.Serve(ctx, func(ctx context.Context, conn *tls.Conn) {
			_ = agentrpc.ServeConn(ctx, conn, agentrpc.NewHandler(a))
		})
	}()
	r.t.Cleanup(func() { cancel(nil); <-done })
	return fmt.Sprintf("https://%s/", listener.Addr())
}

// writes is a number that every committed write transaction of the main
// database raises.
func (r *rig) writes() string {
	r.t.Helper()
	info, err := os.Stat(filepath.Join(r.folder, "slipway.db-wal"))
	r.must(err)
	return fmt.Sprint(info.Size(), info.ModTime())
}

// Abuse 1: a stranger gets no further than the handshake: no RPC, no row.
func TestStranger(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	r := newRig(t)
	a, stranger := newAgent(t, "abc"), newAgent(t, "abc")
	m := r.machine("web-1", a)
	var calls atomic.Int64
	stranger.before = func(string) error { calls.Add(1); return nil }
	r.start()
	before := r.writes()
	r.connect(stranger, unchanged)
	r.eventually("strangers are counted", func() bool { return r.g.Stats().Refused > 20 })
	if calls.Load() != 0 || r.g.Stats().Links != 0 {
		t.Errorf("%d calls, %d sessions", calls.Load(), r.g.Stats().Links)
	}
	if after := r.writes(); after != before {
		t.Errorf("the database was written: %s, then %s", before, after)
	}
	r.connect(a, unchanged)
	r.online(m) // nobody else is kept out
}

// A known key with another subscription is nobody.
func TestWrongSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	a.subscription = "other"
	r.start()
	r.connect(a, unchanged)
	r.eventually("it is refused", func() bool { return r.g.Stats().Refused > 0 })
	if s := r.session(m); s.Generation != 0 || r.g.Stats().Links != 0 {
		t.Errorf("session %+v", s)
	}
}

// Abuse 4: a copied machine with the same key. Neither of the two gets work
// until one of them is gone for good.
func TestDuplicateIdentity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 50 * time.Millisecond
	a := newAgent(t, "abc")
	b := a.clone(t)
	m := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	disconnect := r.connect(b, unchanged)
	r.eventually("both are flagged", func() bool { return r.session(m).State == store.SessionDuplicate })
	contains(t, r.session(m).Reason, "Duplicate identity")
	id := r.deploy(nil)
	r.eventually("work waits", func() bool { return len(r.effects(m)) == 1 })
	for range 5 { // pings later, still nothing
		a.waitFor("Describe")
		b.waitFor("Describe")
	}
	a.see(func() {
		if len(a.starts) != 0 {
			t.Errorf("the first got work: %v", a.starts)
		}
	})
	b.see(func() {
		if len(b.starts) != 0 {
			t.Errorf("the copy got work: %v", b.starts)
		}
	})
	disconnect()
	r.ends(id, rollout.Succeeded)
	a.see(func() {
		if a.starts[attemptOf(id, m, 1)] != 1 || len(b.starts) != 0 {
			t.Errorf("starts %v, copy %v", a.starts, b.starts)
		}
	})
}

// A second link of an agent whose first is dead is no duplicate.
func TestDeadLinkIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	b := a.clone(t) // the same agent after a restart
	a.see(func() { a.before = func(string) error { return errors.New("gone") } })
	r.connect(b, unchanged)
	r.eventually("the new link has the session", func() bool {
		s := r.session(m)
		return s.State == store.SessionConnected && s.Incarnation == b.incarnation
	})
}

// Abuse 7, 8: an agent speaks only for itself. A receipt for another attempt is
// not stored and fails its own; a record of another machine's attempt in its
// journal is left alone; a closed attempt's outcome stays.
func TestClaimsAnotherAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a, b := newAgent(t, "abc"), newAgent(t, "def")
	ma := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	first := r.deploy(nil)
	r.ends(first, rollout.Succeeded)
	theirs := attemptOf(first, ma, 1)

	b.run = func(context.Context, *agentrpc.Job, func(string)) *agentrpc.Result {
		return &agentrpc.Result{
			Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED,
			Receipt: &agentrpc.Receipt{Attempt: theirs, PackageId: "Shop", InstallDir: "/x", Files: []*agentrpc.FileHash{{Path: "a"}}},
		}
	}
	b.attempts[theirs] = &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_ENDED, result: &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED}}
	mb := r.machine("web-2", b)
	r.connect(b, unchanged)
	r.online(mb)
	second := r.deploy(func(p *rollout.Plan) {
		p.Specific = []string{mb}
		p.Steps[0].Actions[0].Receipt = true
		p.Steps[0].Actions[0].Packages = []rollout.Package{r.pack("Shop", "1.0.0", "content")}
	})
	at := r.ends(second, rollout.Failed).Attempts[0]
	contains(t, at.Reason, "receipt is for attempt")
	for range 3 {
		b.waitFor("Describe")
	}
	b.see(func() {
		if b.attempts[theirs] == nil {
			t.Error("abuse 8: another machine's attempt was forgotten")
		}
	})
	r.read(func(tx *store.Tx) error {
		for _, id := range []string{first, second} {
			if list, err := store.Receipts(tx, id); err != nil || len(list) != 0 {
				t.Errorf("receipts of %s: %+v, %v", id, list, err)
			}
		}
		return nil
	})
	if at := r.view(first).Attempts[0]; at.Outcome != rollout.OutcomeSucceeded {
		t.Errorf("the stored result changed: %+v", at)
	}
}

// Abuse 11: a listening agent with another key than the pinned one, and one
// that pins another server: nothing is executed, nothing is told.
func TestListeningPins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	impostor, other, honest := newAgent(t, ""), newAgent(t, ""), newAgent(t, "")
	var calls atomic.Int64
	impostor.before = func(string) error { calls.Add(1); return nil }
	other.before = impostor.before
	at := func(a *fakeAgent, pin, thumbprint string) resource.Endpoint {
		return resource.Endpoint{CommunicationStyle: resource.StylePassive, URI: r.listen(a, pin), Thumbprint: thumbprint}
	}
	wrongKey := r.machineAt("wrong-key", at(impostor, r.id.Thumbprint(), honest.id.Thumbprint()))
	wrongServer := r.machineAt("wrong-server", at(other, honest.id.Thumbprint(), other.id.Thumbprint()))
	right := r.machineAt("right", at(honest, r.id.Thumbprint(), honest.id.Thumbprint()))
	r.start()
	r.online(right)
	for _, m := range []string{wrongKey, wrongServer} {
		if _, err := r.g.Probe(t.Context(), m, "true", "", time.Second); resource.CodeOf(err) != resource.Unavailable {
			t.Errorf("probe of %s: %v", m, err)
		}
		if s := r.session(m); s.Generation != 0 {
			t.Errorf("session of %s: %+v", m, s)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls reached an agent that is not pinned", calls.Load())
	}
}

// Revocation: the document goes, or gets another key, and the session with it.
func TestRevocation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	other := newAgent(t, "abc")
	r.write(func(tx *store.Tx) error {
		doc, err := store.Get[resource.Machine](tx, m)
		if err != nil {
			return err
		}
		doc.Endpoint.Thumbprint = other.id.Thumbprint()
		return store.Update(tx, doc)
	})
	r.eventually("abuse 3: the session ends", func() bool { return r.session(m).State == store.SessionLost })
	refused := r.g.Stats().Refused
	r.eventually("the old key is refused", func() bool { return r.g.Stats().Refused > refused })
	r.connect(other, unchanged)
	r.online(m) // incarnation 1 again: another key, another counter
	r.write(func(tx *store.Tx) error { return store.Delete[resource.Machine](tx, m) })
	r.eventually("nobody is left", func() bool { return r.g.Stats().Links == 0 })
}

// Fault 32: the start counter went back, so the journal did. No work until a
// person has confirmed the machine.
func TestRestoredAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a := newAgent(t, "abc")
	a.incarnation = 9
	m := r.machine("web-1", a)
	r.start()
	disconnect := r.connect(a, unchanged)
	r.online(m)
	disconnect()
	a.see(func() { a.incarnation = 4 })
	r.connect(a, unchanged)
	r.eventually("I1: a machine that went back in time is quarantined", func() bool { return r.session(m).State == store.SessionQuarantined })
	if s := r.session(m); s.Incarnation != 9 || !strings.Contains(s.Reason, "from 9 to 4") {
		t.Errorf("session %+v", s)
	}
	id := r.deploy(nil)
	r.eventually("work waits", func() bool { return len(r.effects(m)) == 1 })
	for range 3 {
		a.waitFor("Describe")
	}
	a.see(func() {
		if len(a.starts) != 0 {
			t.Errorf("I1: a machine that went back in time got %v", a.starts)
		}
	})
	r.write(func(tx *store.Tx) error { return store.ConfirmSession(tx, m) })
	r.ends(id, rollout.Succeeded)
	if s := r.session(m); s.Incarnation != 4 {
		t.Errorf("session %+v", s)
	}
}

// Fault 32: the copy that the machine was restored from was started so often,
// unheard, that its count is no lower. Its starts are others.
func TestRestoredAgentThatWasStartedOften(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	for _, next := range []struct {
		incarnation int64
		names       []string
	}{
		{6, []string{"six", "five"}},
		{7, []string{"seven", "six", "five"}},
		{10, []string{"ten", "nine", "eight", "seven"}},
		{100, []string{"hundred"}}, // it has forgotten the name of its tenth start
	} {
		a.see(func() { a.incarnation, a.startNames = next.incarnation, next.names })
		disconnect := r.connect(a, unchanged)
		r.online(m)
		disconnect()
		r.eventually("the link is gone", func() bool { return r.session(m).State == store.SessionLost })
	}
	a.see(func() { a.incarnation, a.startNames = 101, []string{"another 101", "another 100", "ten"} })
	r.connect(a, unchanged)
	r.eventually("I1: a machine with other starts is quarantined", func() bool { return r.session(m).State == store.SessionQuarantined })
	if s := r.session(m); s.Incarnation != 100 || !strings.Contains(s.Reason, "start 100 is not the one") {
		t.Errorf("session %+v", s)
	}
	r.write(func(tx *store.Tx) error { return store.ConfirmSession(tx, m) })
	r.online(m)
}

// A disabled machine finishes what runs and starts nothing new.
func TestDisabledMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	finish := make(chan struct{})
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		write("runs\n")
		<-finish
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.start()
	r.connect(a, unchanged)
	running := r.deploy(nil)
	r.eventually("the first script runs", func() bool { return r.log(attemptOf(running, m, 1)) != "" })
	next := r.deploy(func(p *rollout.Plan) { p.Project.ID = "Projects-9" })
	r.eventually("the second waits for the machine", func() bool { return r.view(next).Row.State == rollout.Running })
	enable := func(on bool) {
		r.write(func(tx *store.Tx) error {
			doc, err := store.Get[resource.Machine](tx, m)
			if err != nil {
				return err
			}
			doc.IsDisabled = !on
			return store.Update(tx, doc)
		})
	}
	enable(false)
	a.waitFor("Describe")
	close(finish)
	r.ends(running, rollout.Succeeded)
	r.eventually("a start waits", func() bool { return len(r.effects(m)) == 1 })
	for range 3 {
		a.waitFor("Describe")
	}
	a.see(func() {
		if len(a.starts) != 1 {
			t.Errorf("starts %v", a.starts)
		}
	})
	enable(true)
	r.ends(next, rollout.Succeeded)
}
