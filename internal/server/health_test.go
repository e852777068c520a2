package server_test

import (
	"net/http"
	"strings"
	"testing"
)

func (r *running) get(address string) (status int, answer string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, address, nil)
	check(r.t, err)
	return r.do(req)
}

// A probe that comes while the server starts waits for it; one while it serves
// is told in what state it is, and nothing else (abuse 90); one after the stop
// finds nobody.
func TestHealth(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := open(t, cfg)
	early := make(chan int, 1)
	go func() {
		res, err := r.http.Get(r.url("/healthz"))
		if err != nil {
			t.Error(err)
			early <- 0
			return
		}
		_ = res.Body.Close()
		early <- res.StatusCode
	}()
	if !answers(t, r.Addr().String()) {
		t.Error("the socket is closed while the server starts")
	}
	select {
	case status := <-early:
		t.Errorf("answered before Run: %d", status)
	default:
	}
	r.serve()
	if status := <-early; status != http.StatusOK {
		t.Errorf("started: %d", status)
	}
	if status, body := r.get(r.url("/healthz")); status != http.StatusOK || body != `{"Status":"OK"}` {
		t.Errorf("serving: %d %s", status, body)
	}
	db := database(t, cfg.Data)
	alter(t, db, "ALTER TABLE space RENAME TO away")
	if status, body := r.get(r.url("/healthz")); status != http.StatusServiceUnavailable || body != `{"Status":"Unavailable"}` {
		t.Errorf("without a database: %d %s", status, body)
	}
	alter(t, db, "ALTER TABLE away RENAME TO space")
	if status, _ := r.get(r.url("/healthz")); status != http.StatusOK {
		t.Errorf("with it again: %d", status)
	}
	check(t, db.Close())
	address := r.Addr().String()
	r.stop()
	closed(t, address)
}

// Metrics have a socket of their own, on loopback, with nothing else on it
// (abuse 90).
func TestMetrics(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := run(t, cfg)
	own := "http://" + r.MetricsAddr().String()
	if r.MetricsAddr().String() == r.Addr().String() {
		t.Error("metrics share the API's socket")
	}
	status, text := r.get(own + "/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, text)
	}
	for _, want := range []string{
		"slipway_agent_links 0\n", "slipway_agent_refused_total 0\n", "slipway_agent_writes_total ", "slipway_agent_commits_total ",
		"slipway_store_transactions_total ", "slipway_store_rows_total ", "slipway_store_bytes_total ", "slipway_log_commits_total 0\n",
		"slipway_log_bytes_total 0\n", "slipway_turn_seconds_count 0\n", "slipway_report_wait_seconds_count 0\n",
		"slipway_turn_reports_total 0\n", "slipway_turn_effects_total 0\n",
		`slipway_tasks{state="Success"} 1` + "\n", "go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	for address, where := range map[string]string{
		own + "/healthz": "the metrics' socket", own + "/api": "the metrics' socket", own + "/debug/pprof/": "the metrics' socket", r.url("/metrics"): "the API's",
	} {
		if status, _ := r.get(address); status != http.StatusNotFound {
			t.Errorf("%s on %s: %d", address, where, status)
		}
	}
	agentsSee(t, r.AgentsAddr().String()) // a stranger, without a certificate
	eventually(t, "the stranger is counted", func() bool {
		_, text := r.get(own + "/metrics")
		return strings.Contains(text, "slipway_agent_refused_total 1\n")
	})
	// A figure that cannot be read is an error, not a zero.
	db := database(t, cfg.Data)
	alter(t, db, "ALTER TABLE task_count RENAME TO away")
	if status, _ := r.get(own + "/metrics"); status != http.StatusInternalServerError {
		t.Errorf("without tasks: %d", status)
	}
	alter(t, db, "ALTER TABLE away RENAME TO task_count")
	check(t, db.Close())
	address := r.MetricsAddr().String()
	r.stop()
	closed(t, address)
}
