package gateway_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// fleetOf makes n polling agents and their documents.
func (r *rig) fleetOf(n int) []*fakeAgent {
	r.t.Helper()
	agents := make([]*fakeAgent, n)
	for i := range agents {
		agents[i] = newAgent(r.t, fmt.Sprintf("sub-%d", i))
	}
	r.write(func(tx *store.Tx) error {
		for i, a := range agents {
			m := &resource.Machine{Roles: []string{"web"}, EnvironmentIDs: []string{r.env}}
			m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, fmt.Sprintf("web-%d", i), "MachinePolicies-1"
			m.Endpoint = resource.Endpoint{
				CommunicationStyle: resource.StyleActive, URI: "poll://" + a.subscription + "/", Thumbprint: a.id.Thumbprint(),
			}
			if err := store.Insert(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	return agents
}

// connected counts the sessions that work.
func (r *rig) connected() int {
	n := 0
	r.read(func(tx *store.Tx) error {
		list, err := store.ListSessions(tx)
		for _, s := range list {
			if s.State == store.SessionConnected {
				n++
			}
		}
		return err
	})
	return n
}

// A fleet connects at once, and one rollout reaches all of it.
func TestFleet(t *testing.T) {
	t.Parallel()
	const n = 100
	r := newRig(t)
	agents := r.fleetOf(n)
	r.start()
	for _, a := range agents {
		r.connect(a, unchanged)
	}
	r.eventually("all are connected", func() bool { return r.connected() == n })
	view := r.ends(r.deploy(nil), rollout.Succeeded)
	if len(view.Attempts) != n {
		t.Errorf("%d attempts", len(view.Attempts))
	}
	for _, a := range agents {
		a.see(func() {
			if len(a.starts) != 1 {
				t.Errorf("starts %v", a.starts)
			}
		})
	}
}

// BenchmarkFleet measures a fleet in one process, both ends of every link: how
// long all take to connect at once (abuse 15), what an idle link costs, and a
// rollout of one script to all of them.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				benchmarkFleet(b, n)
			}
		})
	}
}

func benchmarkFleet(b *testing.B, n int) {
	b.Helper()
	r := newRig(b)
	agents := r.fleetOf(n)
	r.start()
	before := memory()
	began := time.Now()
	for _, a := range agents {
		r.connect(a, unchanged)
	}
	r.eventually("all are connected", func() bool { return r.connected() == n })
	b.ReportMetric(time.Since(began).Seconds(), "s-to-connect")
	b.ReportMetric(float64(memory()-before)/float64(n)/1000, "kB/link")
	was := r.g.Stats()
	began = time.Now()
	r.ends(r.deploy(nil), rollout.Succeeded)
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "attempts/s")
	now := r.g.Stats()
	b.ReportMetric(float64(now.Writes-was.Writes)/float64(n), "writes/attempt")
	b.ReportMetric(float64(now.Commits-was.Commits)/float64(n), "commits/attempt")
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
