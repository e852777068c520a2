package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/agentrpc/agentrpctest"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// fault 45: an agent of the release before this one, which knows nothing of
// what was added since, works for this server: it is described, gets a package,
// runs, and its log, outputs, artifact, receipt and end arrive. What it cannot
// say is not guessed: a restart of its machine is an unknown end, also where the
// action expects one.
func TestAgentOfThePreviousRelease(t *testing.T) {
	t.Parallel()
	first, err := agentrpctest.FirstVersion()
	if err != nil {
		t.Fatal(err)
	}
	previous, err := agentrpctest.NewPrevious(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer *agentrpctest.Previous
		want rollout.State
	}{
		"previous release": {previous, rollout.Failed},
		"this release":     {nil, rollout.Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := newAgent(t, "abc")
			if c.peer != nil {
				a.handler = c.peer.Handler
			}
			m := r.machine("web-1", a)
			pkg := r.pack("Shop", "1.0.0", strings.Repeat("package ", 100_000))
			a.run = func(_ context.Context, job *agentrpc.Job, write func(string)) *agentrpc.Result {
				write("works\n")
				if len(job.GetPackages()) == 0 {
					return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_UNKNOWN, Reason: "the machine was restarted", Restarted: true, LogLength: 6}
				}
				return &agentrpc.Result{
					Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, LogLength: 6,
					Outputs:   []*agentrpc.OutputVariable{{Name: "Answer", Value: "42"}},
					Artifacts: []*agentrpc.Artifact{{Name: "report", Key: "report", Size: 4}},
				}
			}
			r.start()
			r.connect(a, unchanged)
			r.online(m)
			id := r.deploy(func(p *rollout.Plan) { p.Steps[0].Actions[0].Packages = []rollout.Package{pkg} })
			attempt := attemptOf(id, m, 1)
			a.see(func() { a.files[attempt+"/report"] = []byte("data") })
			view := r.ends(id, rollout.Succeeded)
			if at := view.Attempts[0]; at.Outcome != rollout.OutcomeSucceeded || r.log(attempt) != "works\n" {
				t.Errorf("attempt %+v, log %q", at, r.log(attempt))
			}
			a.see(func() {
				if len(a.packages[pkg.SHA256]) != int(pkg.Size) || a.starts[attempt] != 1 {
					t.Errorf("%d bytes of package, started %d times", len(a.packages[pkg.SHA256]), a.starts[attempt])
				}
			})
			id = r.deploy(func(p *rollout.Plan) { p.Steps[0].Actions[0].RebootsExpected = true })
			if at := r.ends(id, c.want).Attempts[0]; at.Outcome != rollout.OutcomeUnknown || len(r.view(id).Attempts) != 1 {
				t.Errorf("after a restart: %+v", at)
			}
		})
	}
}

// fault 45: an agent that speaks no version of the protocol that this server
// does gets no work, and people read which of the two to upgrade; once that was
// done it works.
func TestProtocolsThatDoNotMeet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ping = 20 * time.Millisecond
	a := newAgent(t, "abc")
	a.speaks = agentrpc.Speaks{Newest: agentrpc.NewestVersion + 7, Oldest: agentrpc.NewestVersion + 1}
	m := r.machine("web-1", a)
	r.start()
	disconnect := r.connect(a, unchanged)
	r.eventually("it is held", func() bool { return r.session(m).State == store.SessionIncompatible })
	contains(t, r.session(m).Reason, "Upgrade the server.")
	id := r.deploy(nil)
	r.eventually("work waits", func() bool { return len(r.effects(m)) == 1 })
	for range 3 {
		a.waitFor("Describe")
	}
	a.see(func() {
		if len(a.starts) != 0 {
			t.Errorf("starts %v", a.starts)
		}
	})
	disconnect()
	a.see(func() { a.speaks, a.incarnation = agentrpc.Ours(), 2 })
	r.connect(a, unchanged)
	r.ends(id, rollout.Succeeded)
}
