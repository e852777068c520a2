package gateway_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// One script on one polling agent, from the effect to the forgotten record.
func TestScriptOnPollingAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	id := r.deploy(nil)
	view := r.ends(id, rollout.Succeeded)
	attempt := attemptOf(id, m, 1)
	if got := r.log(attempt); got != "hello\n" {
		t.Errorf("log %q", got)
	}
	if got := view.Attempts[0]; got.ID != attempt || got.LogLength != 6 || got.StartedAt == 0 {
		t.Errorf("attempt %+v", got)
	}
	r.eventually("the record is forgotten", func() (done bool) {
		a.see(func() { done = len(a.attempts) == 0 && a.starts[attempt] == 1 })
		return done
	})
	if s := r.session(m); s.Facts["Hostname"] != "web-1" || s.Incarnation != 1 {
		t.Errorf("session %+v", s)
	}
}

// Design 5.7, invariant I5: the attempt is marked sent before the order to
// start goes out, and output is acknowledged only once it is committed.
func TestCommitsFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	id := "ServerTasks-1"
	var orders, acks atomic.Int64
	a.before = func(rpc string) error {
		if rpc == "Start" {
			orders.Add(1)
			if at := r.view(id).Attempts[0]; at.SentAt == 0 {
				t.Errorf("started before it was marked: %+v", at)
			}
		}
		return nil
	}
	a.acked = func(attempt string, offset int64) {
		acks.Add(1)
		if length, err := r.db.Logs().Length(context.Background(), attempt); err != nil || length < offset {
			t.Errorf("%d acknowledged, %d committed, %v", offset, length, err)
		}
	}
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		for range 50 {
			write(strings.Repeat("output\n", 500))
		}
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	r.start()
	r.connect(a, unchanged)
	r.online(m)
	if got := r.deploy(nil); got != id {
		t.Fatalf("the rollout is %s", got)
	}
	r.ends(id, rollout.Succeeded)
	if orders.Load() != 1 || acks.Load() < 50 {
		t.Errorf("%d orders, %d acknowledgements", orders.Load(), acks.Load())
	}
}
