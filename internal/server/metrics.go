package server

import (
	"context"
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/store"
)

// metricsServer serves what operators graph, on loopback only (abuse 90).
func (s *Server) metricsServer() *http.Server {
	registry := prometheus.NewRegistry()
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")} // the heap without its garbage
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), taskCollector{s.db},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "slipway_agent_links", Help: "Open links to agents."},
			func() float64 { return float64(s.gateway.Stats().Links) }),
		counter("slipway_agent_refused_total", "Connections refused on the agents' port.", func() int64 { return s.gateway.Stats().Refused }),
		counter("slipway_agent_writes_total", "Reports of agents that were stored.", func() int64 { return s.gateway.Stats().Writes }),
		counter("slipway_agent_commits_total", "Transactions that carried the reports of agents.", func() int64 { return s.gateway.Stats().Commits }),
		counter("slipway_store_transactions_total", "Transactions that wrote to the database, without those of logs.", func() int64 { return s.db.Stats().Transactions }),
		counter("slipway_store_rows_total", "Rows that they inserted, changed or deleted.", func() int64 { return s.db.Stats().Rows }),
		counter("slipway_store_bytes_total", "Bytes of the values that they wrote, before pages and indexes.", func() int64 { return s.db.Stats().Bytes }),
		counter("slipway_log_commits_total", "Transactions that stored output of attempts.", func() int64 { return s.db.Logs().Stats().Transactions }),
		counter("slipway_log_bytes_total", "Bytes of output of attempts that were stored.", func() int64 { return s.db.Logs().Stats().Bytes }),
	)
	registry.MustRegister(s.engine.Collectors()...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return api.HTTPServer(mux, s.cfg.Logger)
}

func counter(name, help string, value func() int64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

// taskCollector counts tasks by state.
type taskCollector struct{ db *store.DB }

var taskDesc = prometheus.NewDesc("slipway_tasks", "Tasks by state.", []string{"state"}, nil)

func (taskCollector) Describe(ch chan<- *prometheus.Desc) { ch <- taskDesc }

func (t taskCollector) Collect(ch chan<- prometheus.Metric) {
	err := t.db.Read(context.Background(), func(tx *store.Tx) error {
		counts, err := store.CountTasks(tx, nil)
		for state, n := range counts {
			ch <- prometheus.MustNewConstMetric(taskDesc, prometheus.GaugeValue, float64(n), string(state))
		}
		return err
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(taskDesc, err)
	}
}
