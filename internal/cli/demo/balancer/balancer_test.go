package balancer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
)

// rig is a balancer with one site and its API, over real sockets.
type rig struct {
	site   string // URL
	remote balancer.Remote
}

func newRig(t *testing.T) rig {
	t.Helper()
	b := balancer.New("Live")
	site, api := httptest.NewServer(b.Handler("Live")), httptest.NewServer(b.API("secret"))
	t.Cleanup(site.Close)
	t.Cleanup(api.Close)
	r := rig{site: site.URL, remote: balancer.Remote{URL: api.URL, Token: "secret"}}
	if err := r.remote.SetHolding(t.Context(), "Live", false); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rig) get(t *testing.T) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.site, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func (r rig) add(t *testing.T, machine string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	if err := r.remote.Add(t.Context(), "Live", balancer.Backend{Machine: machine, Address: address, Release: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	return server
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestMachinesTakeTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(t, "web-1", says("one"))
	r.add(t, "web-2", says("two"))
	got := map[string]int{}
	for range 10 {
		code, header, body := r.get(t)
		got[body]++
		if code != http.StatusOK || header.Get(balancer.ReleaseHeader) != "1.0.0" {
			t.Errorf("%d %v", code, header)
		}
	}
	if diff := cmp.Diff(map[string]int{"one": 5, "two": 5}, got); diff != "" {
		t.Error(diff)
	}
}

// TestABrokenMachineIsAFailure: the balancer tries once, also when another
// machine would have answered, and also when the connection broke at once.
func TestABrokenMachineIsAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var asked atomic.Int64
	r.add(t, "web-1", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	r.add(t, "web-2", says("two"))
	codes := map[int]int{}
	for range 4 {
		code, _, _ := r.get(t)
		codes[code]++
	}
	if codes[http.StatusBadGateway] != 2 || codes[http.StatusOK] != 2 || asked.Load() != 2 {
		t.Errorf("answers %v, %d tries of the broken machine", codes, asked.Load())
	}
}

func TestAnEmptyPoolIsAFailureAndTheHoldingPageIsMarked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if code, header, _ := r.get(t); code != http.StatusBadGateway || header.Get(balancer.HoldingHeader) != "" {
		t.Errorf("empty pool: %d %v", code, header)
	}
	r.add(t, "web-1", says("one"))
	if err := r.remote.SetHolding(t.Context(), "Live", true); err != nil {
		t.Fatal(err)
	}
	if code, header, _ := r.get(t); code != http.StatusServiceUnavailable || header.Get(balancer.HoldingHeader) != "1" {
		t.Errorf("holding: %d %v", code, header)
	}
}

// TestAMachineCannotForgeTheMarks: only the balancer says which page is the
// holding page and who answered.
func TestAMachineCannotForgeTheMarks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(t, "web-1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(balancer.HoldingHeader, "1")
		w.Header().Set(balancer.MachineHeader, "web-9")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, header, _ := r.get(t); header.Get(balancer.HoldingHeader) != "" || header.Get(balancer.MachineHeader) != "web-1" {
		t.Errorf("forged: %v", header)
	}
}

// TestDrainWaitsForTheLastRequest: no answer is cut off, and no new request
// comes while it is awaited.
func TestDrainWaitsForTheLastRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	entered, finish := make(chan struct{}), make(chan struct{})
	r.add(t, "web-1", func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	answered, drained := make(chan string, 1), make(chan error, 1)
	go func() { _, _, body := r.get(t); answered <- body }()
	<-entered
	go func() { drained <- r.remote.Drain(context.WithoutCancel(t.Context()), "Live", "web-1") }()
	deadline := time.After(10 * time.Second)
	for out := false; !out; {
		state, err := r.remote.State(t.Context(), "Live")
		if err != nil {
			t.Fatal(err)
		}
		out = len(state.Backends) == 0
		select {
		case <-deadline:
			t.Fatal("the machine stays in the pool")
		case err := <-drained:
			t.Fatalf("drained with a request in flight: %v", err)
		default:
		}
	}
	if code, _, _ := r.get(t); code != http.StatusBadGateway {
		t.Errorf("a request reached a machine that is draining: %d", code)
	}
	close(finish)
	if body := <-answered; body != "done" {
		t.Errorf("the last request got %q", body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := r.remote.Drain(t.Context(), "Live", "web-1"); err != nil {
		t.Errorf("draining a machine that is out: %v", err)
	}
}

func TestTheAPIWantsItsToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	thief := balancer.Remote{URL: r.remote.URL, Token: "guess"}
	if err := thief.SetHolding(t.Context(), "Live", true); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
	if err := r.remote.SetHolding(t.Context(), "Elsewhere", true); err == nil || !strings.Contains(err.Error(), "no site") {
		t.Errorf("unknown site: %v", err)
	}
}
