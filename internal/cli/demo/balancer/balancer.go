// Package balancer is the demo's load balancer: a small real reverse proxy
// with one site per environment, whose pools the deployment steps change
// through its API.
//
// It flatters nobody: a request goes to one machine, once. It is never
// retried, connections are never reused (net/http would retry on a reused one
// that broke), and an empty pool is an error. The one error page that is not
// an outage is the holding page, which a deployment turns on, and it is marked.
package balancer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// The headers of answers: who served, under which release that machine was put
// into the pool, and that this is the holding page.
const (
	MachineHeader = "X-Demo-Machine"
	ReleaseHeader = "X-Demo-Release"
	HoldingHeader = "X-Demo-Holding"
)

// Backend is a machine in a pool.
type Backend struct {
	Machine string
	Address string // host:port
	Release string // that it was put into the pool with
}

// Balancer holds the sites.
type Balancer struct {
	mu        sync.Mutex
	sites     map[string]*site
	transport *http.Transport
}

type site struct {
	holding  bool
	backends []*backend
	next     int
}

type backend struct {
	Backend
	busy int           // requests in flight
	out  bool          // no new ones
	idle chan struct{} // closed when out and no longer busy
}

// New makes a balancer with one empty site per name. A new site shows the
// holding page: nothing was deployed yet.
func New(sites ...string) *Balancer {
	b := &Balancer{sites: map[string]*site{}, transport: &http.Transport{DisableKeepAlives: true}}
	for _, name := range sites {
		b.sites[name] = &site{holding: true}
	}
	return b
}

// Handler serves one site's traffic.
func (b *Balancer) Handler(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chosen, holding := b.choose(name)
		switch {
		case holding:
			w.Header().Set(HoldingHeader, "1")
			http.Error(w, "We are improving our shop and will be back in a moment.", http.StatusServiceUnavailable)
		case chosen == nil:
			http.Error(w, "no machine is in the pool", http.StatusBadGateway)
		default:
			defer b.release(chosen)
			b.forward(w, r, chosen.Backend)
		}
	})
}

func (b *Balancer) forward(w http.ResponseWriter, r *http.Request, to Backend) {
	proxy := &httputil.ReverseProxy{
		Transport: b.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: to.Address})
			p.SetXForwarded()
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del(HoldingHeader)
			resp.Header.Set(MachineHeader, to.Machine)
			resp.Header.Set(ReleaseHeader, to.Release)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set(MachineHeader, to.Machine)
			http.Error(w, fmt.Sprintf("%s does not answer: %v", to.Machine, err), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// choose takes the next machine in turn and counts the request in.
func (b *Balancer) choose(name string) (chosen *backend, holding bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sites[name]
	if s.holding || len(s.backends) == 0 {
		return nil, s.holding
	}
	s.next = (s.next + 1) % len(s.backends)
	chosen = s.backends[s.next]
	chosen.busy++
	return chosen, false
}

func (b *Balancer) release(done *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done.busy--; done.busy == 0 && done.out {
		close(done.idle)
	}
}

// SetHolding turns the holding page of a site on or off.
func (b *Balancer) SetHolding(name string, on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sites[name]
	if !ok {
		return fmt.Errorf("there is no site %q", name)
	}
	s.holding = on
	return nil
}

// Add puts a machine into a pool, in place of an earlier entry of its name.
func (b *Balancer) Add(name string, entry Backend) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sites[name]
	if !ok {
		return fmt.Errorf("there is no site %q", name)
	}
	s.take(entry.Machine)
	s.backends = append(s.backends, &backend{Backend: entry, idle: make(chan struct{})})
	return nil
}

// Drain takes a machine out of a pool and waits until its last request is
// answered. A machine that is not in is out already.
func (b *Balancer) Drain(ctx context.Context, name, machine string) error {
	b.mu.Lock()
	s, ok := b.sites[name]
	if !ok {
		b.mu.Unlock()
		return fmt.Errorf("there is no site %q", name)
	}
	old := s.take(machine)
	b.mu.Unlock()
	if old == nil {
		return nil
	}
	select {
	case <-old.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain %s: %w", machine, context.Cause(ctx))
	}
}

// take removes a machine from the rotation.
func (s *site) take(machine string) *backend {
	for i, entry := range s.backends {
		if entry.Machine != machine {
			continue
		}
		s.backends = append(s.backends[:i:i], s.backends[i+1:]...)
		entry.out = true
		if entry.busy == 0 {
			close(entry.idle)
		}
		return entry
	}
	return nil
}

// State is what a site shows at the moment.
type State struct {
	Holding  bool
	Backends []Backend
}

// State lists a site's pool.
func (b *Balancer) State(name string) (State, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sites[name]
	if !ok {
		return State{}, false
	}
	state := State{Holding: s.holding, Backends: []Backend{}}
	for _, entry := range s.backends {
		state.Backends = append(state.Backends, entry.Backend)
	}
	return state, true
}
