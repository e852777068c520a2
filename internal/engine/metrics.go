package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// metrics are what operators graph about turns. Times are those of turns that
// have committed.
type metrics struct {
	turn    prometheus.Histogram
	wait    prometheus.Histogram
	reports prometheus.Counter
	effects prometheus.Counter
}

func newMetrics() *metrics {
	// From half a millisecond to five seconds, a third more each: fine enough to
	// read a 99th percentile from.
	buckets := prometheus.ExponentialBuckets(0.0005, 1.35, 32)
	return &metrics{
		turn: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "slipway_turn_seconds", Buckets: buckets,
			Help: "How long turns of rollouts took, from asking for the transaction to its commit.",
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "slipway_report_wait_seconds", Buckets: buckets,
			Help: "How long a report of an agent that was stored waited for the turn that took it up to commit.",
		}),
		reports: prometheus.NewCounter(prometheus.CounterOpts{Name: "slipway_turn_reports_total", Help: "Events that turns have folded from inboxes."}),
		effects: prometheus.NewCounter(prometheus.CounterOpts{Name: "slipway_turn_effects_total", Help: "Orders to agents that turns have made."}),
	}
}

// Collectors are the engine's figures for the server's metrics.
func (e *Engine) Collectors() []prometheus.Collector {
	m := e.metrics
	return []prometheus.Collector{m.turn, m.wait, m.reports, m.effects}
}

// seen is a turn's Tx that notes what passes through it.
type seen struct {
	Tx

	items   []store.InboxItem
	effects int
}

// Inbox implements Tx.
func (s *seen) Inbox(n int) []store.InboxItem {
	s.items = s.Tx.Inbox(n)
	return s.items
}

// AddEffect implements Tx.
func (s *seen) AddEffect(n int, e *rollout.Effect) {
	s.effects++
	s.Tx.AddEffect(n, e)
}

// committed counts a turn that was asked for at asked, whose transaction began
// at began, and that has committed now. Reports carry the database's clock, so
// their wait is told by it up to the turn's begin.
func (m *metrics) committed(s *seen, asked, began, now time.Time) {
	m.turn.Observe(now.Sub(asked).Seconds())
	m.reports.Add(float64(len(s.items)))
	m.effects.Add(float64(s.effects))
	for i := range s.items {
		switch event := &s.items[i].Event; event.Kind { //nolint:exhaustive // the reports of agents
		case rollout.Started, rollout.Ended, rollout.Sending:
			waited := time.Duration(max(0, s.Now()-event.At)) * time.Millisecond
			m.wait.Observe((waited + now.Sub(began)).Seconds())
		}
	}
}
