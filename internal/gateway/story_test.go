package gateway_test

import (
	"testing"

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
