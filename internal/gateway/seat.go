package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// probeOld is how long the link that is in place may take to answer when a
	// newer one claims the machine.
	probeOld = 5 * time.Second
	// contestedPings is for how many pings a machine whose identity was in use
	// twice has to be linked once before it gets work again: a minute, longer
	// than any agent waits between two tries.
	contestedPings = 6
)

// seat is a machine's place: one link at a time works, others are held.
//
//	free ──first link──► taken ──the link ends──► free
//	  ▲                    │ a second link, and the first does not answer: replaced
//	  │                    │ a second link, and the first answers: contested (abuse 4)
//	  └── one link alone for a minute ── contested: all are held, none works
type seat struct {
	taken     atomic.Pointer[session]
	mu        sync.Mutex // for what follows, and for changing taken
	links     map[*session]bool
	contested time.Time // when two links were last seen; zero: not contested
}

// seats are the machines' seats by id. They are kept: a machine's past matters
// to its next link.
type seats struct {
	mu sync.Mutex
	by map[string]*seat
}

func (s *seats) of(machine string) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]*seat{}
	}
	if s.by[machine] == nil {
		s.by[machine] = &seat{links: map[*session]bool{}}
	}
	return s.by[machine]
}

// sit asks for the seat. It returns why the session is held instead, "" when
// it works now.
func (s *seat) sit(ctx context.Context, c *session) (held string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[c] = true
	if old := s.taken.Load(); old != nil && old != c {
		s.challenge(ctx, old)
	}
	if held := s.dispute(c); held != "" {
		return held, c.hold(ctx, store.SessionDuplicate, held)
	}
	if held := c.misunderstands(); held != "" {
		return held, c.hold(ctx, store.SessionIncompatible, held)
	}
	held, err = c.open(ctx)
	if errors.Is(err, ErrElsewhere) {
		s.taken.CompareAndSwap(c, nil)
		return ErrElsewhere.Error(), nil
	}
	if err == nil && held != "" {
		return held, c.hold(ctx, store.SessionQuarantined, held)
	}
	if err == nil {
		s.taken.Store(c)
	}
	return "", err
}

// now is the session that works, if any, and otherwise whether there are links
// that are held. It waits for one that is just about to sit: its row may be
// seen before its seat is.
func (s *seat) now() (working *session, held bool) {
	if working := s.taken.Load(); working != nil {
		return working, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.Load(), len(s.links) > 0
}

// challenge finds out what the link in place is worth now that there is a
// second one: dead, it is replaced; alive, the identity is in use twice.
func (s *seat) challenge(ctx context.Context, old *session) {
	s.taken.Store(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, probeOld, errNoAnswer)
	defer cancel()
	if err := old.answers(ctx); err != nil {
		old.end(fmt.Errorf("replaced by a newer link; this one did not answer: %w", err))
		delete(s.links, old)
		return
	}
	old.stopWork()
	s.contested = old.g.now()
}

// contend finds out what the working link is worth now that another node has
// one, too: dead, it ends, and the other takes the seat; alive, the identity is
// in use twice.
func (s *seat) contend(ctx context.Context, c *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken.Load() != c {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeOld, errNoAnswer)
	defer cancel()
	if err := c.answers(ctx); err != nil {
		c.end(fmt.Errorf("another server has a newer link; this one did not answer: %w", err))
		return nil
	}
	s.taken.Store(nil)
	s.contested = c.g.now()
	return c.hold(ctx, store.SessionDuplicate, duplicate)
}

const duplicate = "Duplicate identity: two agents with this key and subscription are running, most likely after a machine was cloned. " +
	"Stop one of them, or give it an identity of its own."

// dispute says why nobody may take a contested seat yet.
func (s *seat) dispute(c *session) (held string) {
	if s.contested.IsZero() {
		return ""
	}
	now := c.g.now()
	if len(s.links) > 1 {
		s.contested = now
	}
	if now.Sub(s.contested) >= contestedPings*c.g.ping {
		s.contested = time.Time{}
		return ""
	}
	return duplicate
}

// leave gives the seat up and says whether the session had it, and whether it
// was the last of the machine's links here.
func (s *seat) leave(c *session) (had, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, c)
	return s.taken.CompareAndSwap(c, nil), len(s.links) == 0
}
