// Package traffic is the demo's customers: they ask for pages all the time,
// never ask twice, and judge each answer.
//
// An answer counts as
//
//	holding  the marked holding page
//	failed   a connection error, or any other answer than 200
//	stale    a page that is not what its machine may serve: from another
//	         machine or release than the pool knows, of a release that is not
//	         current, or with a configuration that is not the environment's
//	good     everything else
package traffic

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
)

// Config says what is asked for, how often, and what is right.
type Config struct {
	URL     string
	Workers int
	// Every is how long each worker rests between two requests.
	Every time.Duration
	Now   func() time.Time
	// Environment and Database are what a configured page shows.
	Environment, Database string
}

// Stats is what the customers saw.
type Stats struct {
	Requests, Failed, Stale, Holding int
	// Examples are the first few wrong answers, for people.
	Examples []string
	// First says when each machine first served a release, by "machine release".
	First map[string]time.Time
	// Served counts good pages by machine.
	Served map[string]int
}

// Traffic is the customers at work. Make it with Start.
type Traffic struct {
	cfg    Config
	client *http.Client
	wait   sync.WaitGroup

	mu      sync.Mutex
	allowed []string
	stats   Stats
}

// Start sends the customers off until the context ends.
func Start(ctx context.Context, cfg Config) *Traffic {
	t := &Traffic{
		cfg: cfg,
		client: &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			// A reused connection that breaks would be retried by net/http.
			Transport: &http.Transport{DisableKeepAlives: true},
		},
		stats: Stats{First: map[string]time.Time{}, Served: map[string]int{}},
	}
	for worker := range cfg.Workers {
		t.wait.Go(func() { t.work(ctx, worker) })
	}
	return t
}

// Wait returns when the last customer has gone, which the context's end asks.
func (t *Traffic) Wait() { t.wait.Wait() }

// Allow says which releases may be served from now on: the current one, and
// during a rollout also the next.
func (t *Traffic) Allow(releases ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.allowed = releases
}

// Stats is what was seen until now.
func (t *Traffic) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := t.stats
	stats.Examples = slices.Clone(stats.Examples)
	stats.First, stats.Served = maps.Clone(stats.First), maps.Clone(stats.Served)
	return stats
}

func (t *Traffic) work(ctx context.Context, worker int) {
	tick := time.NewTicker(t.cfg.Every)
	defer tick.Stop()
	paths := []string{"/", "/product/1", "/product/2", "/product/3", "/product/4"}
	for i := worker; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.ask(context.WithoutCancel(ctx), paths[i%len(paths)])
	}
}

// ask sends one request, once, and counts its answer.
func (t *Traffic) ask(ctx context.Context, path string) {
	before := t.currently()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.cfg.URL+path, http.NoBody)
	if err != nil {
		t.count(func(s *Stats) { s.Failed++ }, err.Error())
		return
	}
	resp, err := t.client.Do(req)
	if err != nil {
		t.count(func(s *Stats) { s.Failed++ }, err.Error())
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		t.count(func(s *Stats) { s.Failed++ }, err.Error())
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(balancer.HoldingHeader) == "1":
		t.count(func(s *Stats) { s.Holding++ }, "")
	case resp.StatusCode != http.StatusOK:
		t.count(func(s *Stats) { s.Failed++ }, resp.Status+": "+strings.TrimSpace(string(body)))
	default:
		t.judge(before, resp.Header, body)
	}
}

func (t *Traffic) judge(before []string, header http.Header, body []byte) {
	id, ok := shop.Find(body)
	if wrong := t.wrong(id, ok, before, header); wrong != "" {
		t.count(func(s *Stats) { s.Stale++ }, wrong)
		return
	}
	now := t.cfg.Now()
	t.count(func(s *Stats) {
		s.Served[id.Machine]++
		if key := id.Machine + " " + id.Release; s.First[key].IsZero() {
			s.First[key] = now
		}
	}, "")
}

// wrong says what is not right about a page, "" if nothing.
func (t *Traffic) wrong(id shop.Identity, ok bool, before []string, header http.Header) string {
	switch {
	case !ok:
		return "a page without identity"
	case id.Machine != header.Get(balancer.MachineHeader):
		return fmt.Sprintf("%s was asked and %s answered", header.Get(balancer.MachineHeader), id.Machine)
	case id.Release != header.Get(balancer.ReleaseHeader):
		return fmt.Sprintf("%s serves %s, and was put into the pool for %s", id.Machine, id.Release, header.Get(balancer.ReleaseHeader))
	case id.Package != id.Release:
		return fmt.Sprintf("%s serves package %s as release %s", id.Machine, id.Package, id.Release)
	case id.Environment != t.cfg.Environment || id.Database != t.cfg.Database:
		return fmt.Sprintf("%s serves with the configuration of %q, %q", id.Machine, id.Environment, id.Database)
	case !slices.Contains(before, id.Release) && !slices.Contains(t.currently(), id.Release):
		return fmt.Sprintf("%s serves %s, which is not current", id.Machine, id.Release)
	}
	return ""
}

func (t *Traffic) currently() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.allowed
}

func (t *Traffic) count(add func(*Stats), example string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Requests++
	add(&t.stats)
	if example != "" && len(t.stats.Examples) < 5 {
		t.stats.Examples = append(t.stats.Examples, t.cfg.Now().Format("15:04:05.000")+" "+example)
	}
}
