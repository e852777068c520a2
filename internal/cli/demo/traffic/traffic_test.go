package traffic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
	"github.com/slipwayhq/slipway/internal/cli/demo/traffic"
)

func page(w http.ResponseWriter, machine, release string, id shop.Identity) {
	w.Header().Set(balancer.MachineHeader, machine)
	w.Header().Set(balancer.ReleaseHeader, release)
	data, _ := json.Marshal(id)
	fmt.Fprintf(w, `<html><script type="application/json" id="shop">%s</script></html>`, data)
}

func identity(machine, pkg, release, environment, database string) shop.Identity {
	return shop.Identity{Machine: machine, Package: pkg, Release: release, Environment: environment, Database: database}
}

// TestEachAnswerIsJudged sends customers to a site that always answers the
// same, and looks at what they count it as.
func TestEachAnswerIsJudged(t *testing.T) {
	t.Parallel()
	good := identity("web-1", "1.1.0", "1.1.0", "Live", "db")
	cases := map[string]struct {
		answer http.HandlerFunc
		count  func(traffic.Stats) int
		says   string
	}{
		"good":    {func(w http.ResponseWriter, _ *http.Request) { page(w, "web-1", "1.1.0", good) }, nil, ""},
		"holding": {status(503, balancer.HoldingHeader), holding, ""},
		"503":     {status(503, "X"), failed, "503"},
		"500":     {status(500, "X"), failed, "500"},
		"404":     {status(404, "X"), failed, "404"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, failed, "302"},
		"cut off":     {cutOff, failed, ""},
		"no identity": {status(200, "X"), stale, "without identity"},
		"other machine": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-2", "1.1.0", good)
		}, stale, "web-2 was asked and web-1 answered"},
		"other release than in the pool": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-1", "1.0.0", good)
		}, stale, "was put into the pool for 1.0.0"},
		"other package than configured": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-1", "1.1.0", identity("web-1", "1.0.0", "1.1.0", "Live", "db"))
		}, stale, "package 1.0.0 as release 1.1.0"},
		"not current": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-1", "0.9.0", identity("web-1", "0.9.0", "0.9.0", "Live", "db"))
		}, stale, "not current"},
		"other environment": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-1", "1.1.0", identity("web-1", "1.1.0", "1.1.0", "Test", "db"))
		}, stale, "configuration"},
		"other database": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, "web-1", "1.1.0", identity("web-1", "1.1.0", "1.1.0", "Live", "unconfigured"))
		}, stale, "configuration"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stats := visit(t, tc.answer)
			wrong := 0
			if tc.count != nil {
				wrong = tc.count(stats)
			}
			if stats.Requests < 3 || tc.count != nil && wrong != stats.Requests ||
				stats.Failed+stats.Stale+stats.Holding != wrong {
				t.Errorf("%+v", stats)
			}
			if tc.says != "" && !strings.Contains(strings.Join(stats.Examples, " "), tc.says) {
				t.Errorf("examples %v, want one with %q", stats.Examples, tc.says)
			}
			if tc.count == nil && stats.First["web-1 1.1.0"].IsZero() {
				t.Errorf("first: %v", stats.First)
			}
		})
	}
}

func failed(s traffic.Stats) int  { return s.Failed }
func stale(s traffic.Stats) int   { return s.Stale }
func holding(s traffic.Stats) int { return s.Holding }

func status(code int, header string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(header, "1")
		w.WriteHeader(code)
	}
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

// visit lets customers ask a few times. Each request is asked once: the site
// counts as many as the customers.
func visit(t *testing.T, answer http.HandlerFunc) traffic.Stats {
	t.Helper()
	var asked atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 5 {
			cancel(nil)
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	customers := traffic.Start(ctx, traffic.Config{
		URL: server.URL, Workers: 2, Every: time.Millisecond, Now: time.Now, Environment: "Live", Database: "db",
	})
	customers.Allow("1.1.0")
	customers.Wait()
	stats := customers.Stats()
	if int(asked.Load()) != stats.Requests {
		t.Errorf("%d requests arrived, %d were counted", asked.Load(), stats.Requests)
	}
	return stats
}
