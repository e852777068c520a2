package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// A listening agent gets its work like a polling one.
func TestListeningAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "")
	m := r.machineAt("web-1", resource.Endpoint{
		CommunicationStyle: resource.StylePassive, URI: r.listen(a, r.id.Thumbprint()), Thumbprint: a.id.Thumbprint(),
	})
	r.start()
	id := r.deploy(nil)
	r.ends(id, rollout.Succeeded)
	if a.starts[attemptOf(id, m, 1)] != 1 {
		t.Errorf("starts %v", a.starts)
	}
}

// Fault 16: an agent that no longer answers, on a link that looks alive, is
// found by the ping.
func TestHalfOpenLink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 50 * time.Millisecond
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	hang := make(chan struct{})
	var silent atomic.Bool
	silent.Store(true)
	a.see(func() {
		a.before = func(string) error {
			if silent.Load() {
				<-hang
			}
			return nil
		}
	})
	r.eventually("the session is lost", func() bool { return r.session(m).State == store.SessionLost })
	contains(t, r.session(m).Reason, "does not answer")
	silent.Store(false)
	close(hang)
	r.online(m)
}

// A health check goes over the session, or over a link of its own where a
// listening machine has none; a machine out of reach says so in a sentence.
func TestProbe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	polling, absent, listening := newAgent(t, "abc"), newAgent(t, "def"), newAgent(t, "")
	online, offline := r.machine("web-1", polling), r.machine("web-2", absent)
	listens := r.machineAt("web-3", resource.Endpoint{
		CommunicationStyle: resource.StylePassive, URI: r.listen(listening, r.id.Thumbprint()), Thumbprint: listening.id.Thumbprint(),
	})
	r.start()
	r.connect(polling, unchanged)
	r.online(online)
	want := "ran true for " + r.id.Thumbprint()[:4]
	for _, m := range []string{online, listens} {
		got, err := r.g.Probe(t.Context(), m, "true", "", time.Second)
		if err != nil || string(got.Log) != want || got.ExitCode != 0 {
			t.Errorf("probe of %s: %s, %v", m, got.Log, err)
		}
		about, err := r.g.Describe(t.Context(), m)
		if err != nil || about.Hostname != "web-1" {
			t.Errorf("describe of %s: %v, %v", m, about, err)
		}
	}
	for m, sentence := range map[string]string{offline: "not connected", "Machines-99": "No agent is known"} {
		_, err := r.g.Probe(t.Context(), m, "true", "", time.Second)
		if resource.CodeOf(err) != resource.Unavailable {
			t.Errorf("probe of %s: %v", m, err)
			continue
		}
		contains(t, err.Error(), sentence)
	}
}

// A machine is checked as soon as its agent links to some node; the one that
// asks may not have heard of it yet.
func TestProbeOfAMachineNotYetHeardOf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	g, err := gateway.New(t.Context(), gateway.Config{
		DB: r.db, Blobs: r.blobs, Identity: r.id, Node: "node-1", Listen: "127.0.0.1:0", Logger: testLogger(t), Now: time.Now,
	})
	r.must(err)
	defer func() { // it never ran, and knows no machine at all
		ended, end := context.WithCancelCause(t.Context())
		end(nil)
		_ = g.Run(ended)
	}()
	a := newAgent(t, "")
	m := r.machineAt("web-1", resource.Endpoint{
		CommunicationStyle: resource.StylePassive, URI: r.listen(a, r.id.Thumbprint()), Thumbprint: a.id.Thumbprint(),
	})
	if got, err := g.Probe(t.Context(), m, "true", "", time.Second); err != nil || got.ExitCode != 0 {
		t.Errorf("probe: %v, %v", got, err)
	}
}

// A restart of the server marks sessions lost and opens them again under a new
// generation; a stop that was asked for closes them.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	disconnect := r.connect(a, unchanged)
	r.online(m)
	before := r.session(m)
	r.stop()
	if s := r.session(m); s.State != store.SessionLost {
		t.Errorf("after the stop: %+v", s)
	}
	disconnect()
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	if s := r.session(m); s.Generation <= before.Generation {
		t.Errorf("generation %d, before the restart %d", s.Generation, before.Generation)
	}
}

// What an agent kept of attempts that the server has closed meanwhile is
// forgotten once it has ended there; what still runs is left alone.
func TestTidiesJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	id := r.deploy(nil)
	r.turns(id)
	attempt := attemptOf(id, m, 1)
	r.write(func(tx *store.Tx) error { // closed without the agent: given up on
		if _, err := store.MarkSent(tx, attempt); err != nil {
			return err
		}
		return store.Post(tx, id, "ended/"+attempt, rollout.Event{
			At: 1, Kind: rollout.Ended, Attempt: attempt, End: &rollout.End{Outcome: rollout.OutcomeUnknown, Reason: "silent"},
		}, nil)
	})
	r.turns(id)
	for _, d := range r.effects(m) {
		r.write(func(tx *store.Tx) error { return store.Delivered(tx, &d) })
	}
	running := &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_RUNNING}
	a.attempts[attempt] = running
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	for range 3 {
		a.waitFor("Query")
	}
	a.see(func() {
		if a.attempts[attempt] == nil {
			t.Error("a running attempt was forgotten")
		}
	})
	a.change(func() { running.state = agentrpc.AttemptState_ATTEMPT_STATE_ENDED })
	r.eventually("the record is forgotten", func() (gone bool) {
		a.see(func() { gone = a.attempts[attempt] == nil })
		return gone
	})
}

// One transaction carries what many agents report, and where one of a group
// fails, the others do not.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	group := gateway.NewGroup(t.Context(), r.db)
	errBad := errors.New("bad")
	const n = 400
	// write lets n callers write at once; bad ones fail.
	write := func(round string, bad func(i int) bool) (transactions map[*store.Tx]bool, failed, stored int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		transactions = map[*store.Tx]bool{}
		for i := range n {
			wg.Go(func() {
				err := group.Write(t.Context(), func(tx *store.Tx) error {
					if bad(i) {
						return errBad
					}
					mu.Lock()
					transactions[tx] = true
					mu.Unlock()
					return store.Post(tx, "ServerTasks-1", round+fmt.Sprint(i), rollout.Event{Kind: rollout.Timer}, nil)
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, errBad):
					failed++
				case err == nil:
					stored++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return transactions, failed, stored
	}
	transactions, failed, stored := write("a", func(int) bool { return false })
	if failed != 0 || stored != n || len(transactions) > n/10 {
		t.Errorf("%d stored and %d failed in %d transactions", stored, failed, len(transactions))
	}
	if _, failed, stored := write("b", func(i int) bool { return i%100 == 7 }); failed != 4 || stored != n-4 {
		t.Errorf("%d stored and %d failed, want %d and 4", stored, failed, n-4)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBad)
	if err := group.Write(ctx, func(*store.Tx) error { return nil }); !errors.Is(err, errBad) {
		t.Errorf("a caller that has gone: %v", err)
	}
}

// fault 29: an agent whose clock is a day off works as any other; what it says
// of times is put on the server's clock, and how far it is off is a fact.
func TestAgentsClockADayOff(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		r := newRig(t)
		a := newAgent(t, "abc")
		a.skew = off
		a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
			write("fine\n")
			now := time.Now().Add(off).UnixMilli()
			return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, StartedMs: now - 1, EndedMs: now, LogLength: 5}
		}
		m := r.machine("web-1", a)
		began := time.Now()
		r.start()
		r.connect(a, unchanged)
		id := r.deploy(nil)
		at := r.ends(id, rollout.Succeeded).Attempts[0]
		margin := int64(10_000)
		if at.StartedAt < began.UnixMilli()-margin || at.EndedAt > time.Now().UnixMilli()+margin || at.EndedAt < at.StartedAt {
			t.Errorf("clock %v off: from %v to %v", off, time.UnixMilli(at.StartedAt), time.UnixMilli(at.EndedAt))
		}
		if r.log(at.ID) != "fine\n" {
			t.Errorf("log %q", r.log(at.ID))
		}
		ms, err := strconv.ParseInt(r.session(m).Facts["ClockSkewMs"], 10, 64)
		if err != nil || (time.Duration(ms)*time.Millisecond-off).Abs() > 10*time.Second {
			t.Errorf("clock %v off, and said to be %d ms, %v", off, ms, err)
		}
	}
}
