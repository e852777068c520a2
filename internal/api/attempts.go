package api

import (
	"net/netip"
	"sync"
	"time"
)

// Guessing of passwords (abuse 17): this many tries per account and network in
// this time; the count of accounts that are watched is bounded.
const (
	maxAttempts   = 10
	attemptWindow = 15 * time.Minute
	maxWatched    = 50_000
)

type attempts struct {
	mu   sync.Mutex
	seen map[string]tries
}

type tries struct {
	count int
	since time.Time
}

func newAttempts() *attempts { return &attempts{seen: map[string]tries{}} }

// take counts a try; it returns how long to wait when there were too many.
func (a *attempts) take(key string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.seen[key]
	if now.Sub(t.since) >= attemptWindow {
		t = tries{since: now}
		a.makeRoom(now)
	}
	if t.count >= maxAttempts {
		return t.since.Add(attemptWindow).Sub(now)
	}
	t.count++
	a.seen[key] = t
	return 0
}

func (a *attempts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, key)
}

// makeRoom drops what is over, and something where nothing is.
func (a *attempts) makeRoom(now time.Time) {
	if len(a.seen) < maxWatched {
		return
	}
	for key, t := range a.seen {
		if now.Sub(t.since) >= attemptWindow {
			delete(a.seen, key)
		}
	}
	for key := range a.seen {
		if len(a.seen) < maxWatched {
			return
		}
		delete(a.seen, key)
	}
}

// network is what one client can be taken for: an IPv4 address, or the /64
// that an IPv6 client has to itself.
func network(ip netip.Addr) string {
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
