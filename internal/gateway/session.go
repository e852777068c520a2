package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/store"
)

// answerLeast is how long an agent has to answer a ping, however often it is
// pinged; otherwise until the next one is due.
const answerLeast = time.Second

var (
	errNoAnswer = errors.New("the agent did not answer in time")
	errEnded    = errors.New("the session ended")
	errHeld     = errors.New("the session is held")
)

// session is one link to one machine: one goroutine, run, and those of the work
// under way on it.
type session struct {
	g     *Gateway
	m     *machine
	seat  *seat
	link  *agentrpc.Link
	agent Agent
	log   *slog.Logger

	wake   chan struct{} // something to deliver, or a reason to look
	over   chan struct{} // closed by end
	ending sync.Once
	why    error        // why it ended; set before over is closed
	skew   atomic.Int64 // the agent's clock minus the server's, ms

	// The loop's own.
	about      *agentrpc.DescribeResponse
	heldAs     string
	generation atomic.Int64
	heard      atomic.Bool // since the last flush
	disowned   atomic.Bool // the row is no longer this session's
	challenged atomic.Bool // another node has a link of the same identity

	work atomic.Pointer[work] // nil while it is held
}

// poke wakes the session's loop.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end asks the session to end, once, with the reason.
func (s *session) end(why error) {
	s.ending.Do(func() {
		s.why = why
		close(s.over)
	})
}

// run serves the session until the link, the session or ctx ends, and returns
// the reason.
func (s *session) run(ctx context.Context) error {
	defer s.stopWork()
	timer := time.NewTimer(s.g.jitter(s.g.ping))
	defer timer.Stop()
	aside(func() { s.step(ctx) })
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.over:
			return s.why
		case <-s.link.Done():
			return s.link.Err()
		case <-s.wake:
			aside(func() { s.step(ctx) })
		case <-timer.C:
			var err error
			aside(func() {
				if err = s.ping(ctx); err == nil {
					s.step(ctx)
				}
			})
			if err != nil {
				return err
			}
			timer.Reset(s.g.jitter(s.g.ping))
		}
	}
}

// aside runs f in a goroutine of its own and waits for it. What sessions do goes
// deep, and a goroutine keeps the stack that it once needed: thousands of them
// that wait most of the time shall be small.
func aside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// step brings the session as far as it can get now: into its seat, and what
// waits for the machine on its way.
func (s *session) step(ctx context.Context) {
	if s.disowned.CompareAndSwap(true, false) {
		s.stopWork()
		// Before it asks for its seat again, and another's is doubted for it.
		if _, err := s.describe(ctx); err != nil {
			s.end(fmt.Errorf("another link has replaced this one, which does not answer: %w", err))
			return
		}
	}
	if s.challenged.CompareAndSwap(true, false) {
		s.contend(ctx)
	}
	w := s.work.Load()
	if w == nil {
		if w = s.begin(ctx); w == nil {
			return
		}
	}
	if err := w.pump(ctx); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "read deliveries", "error", err)
	}
}

// begin asks for the seat and takes up the work that is under way.
func (s *session) begin(ctx context.Context) *work {
	held, err := s.seat.sit(ctx, s)
	if err != nil {
		s.log.ErrorContext(ctx, "open session", "error", err)
	}
	if err != nil || held != "" {
		return nil
	}
	fail.Point(fail.SessionOpen)
	w := newWork(ctx, s)
	s.work.Store(w)
	s.heldAs = ""
	s.log.InfoContext(ctx, "session open", "remote", s.link.RemoteAddr(), "incarnation", s.about.Incarnation, "generation", s.generation.Load())
	if err := w.resume(ctx); err != nil {
		s.log.ErrorContext(ctx, "read running attempts", "error", err)
	}
	w.tidy(s.about.Attempts)
	return w
}

// contend answers another node's challenge.
func (s *session) contend(ctx context.Context) {
	if err := s.seat.contend(ctx, s); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "hold session", "error", err)
	}
	if s.seat.taken.Load() != s {
		s.stopWork()
	}
}

// stopWork ends the goroutines of the work under way and waits for them.
func (s *session) stopWork() {
	if w := s.work.Swap(nil); w != nil {
		w.stop(errHeld)
	}
}

// ping asks the agent who it is: the application's sign of life.
func (s *session) ping(ctx context.Context) error {
	about, err := s.describe(ctx)
	if err != nil {
		return fmt.Errorf("the agent does not answer: %w", err)
	}
	if about.Incarnation != s.about.Incarnation || about.BootId != s.about.BootId {
		return errors.New("another agent answers on the same link")
	}
	s.about = about
	s.heard.Store(true)
	if w := s.work.Load(); w != nil {
		w.tidy(about.Attempts)
	}
	return nil
}

func (s *session) describe(ctx context.Context) (*agentrpc.DescribeResponse, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, max(s.g.ping, answerLeast), errNoAnswer)
	defer cancel()
	now := s.g.now().UnixMilli()
	about, err := s.agent.Describe(ctx, greeting(now))
	if err == nil {
		s.skew.Store(about.NowMs - now)
	}
	return about, err
}

// answers says whether the agent at the other end is alive.
func (s *session) answers(ctx context.Context) error {
	select {
	case <-s.over:
		return s.why
	default:
	}
	_, err := s.agent.Describe(ctx, greeting(s.g.now().UnixMilli()))
	return err
}

// greeting tells an agent the time and what this server speaks.
func greeting(now int64) *agentrpc.DescribeRequest {
	ours := agentrpc.Ours()
	return &agentrpc.DescribeRequest{NowMs: now, Protocol: ours.Newest, OldestProtocol: ours.Oldest}
}

// misunderstands says why the agent cannot work with this server, "" when both
// speak a version of the protocol (fault 45).
func (s *session) misunderstands() string {
	ours, theirs := agentrpc.Ours(), agentrpc.Speaks{Newest: s.about.Protocol, Oldest: s.about.OldestProtocol}
	_, ok := ours.Agree(theirs)
	older := "agent"
	switch {
	case ok:
		return ""
	case theirs.Newest > ours.Newest:
		older = "server"
	}
	return fmt.Sprintf("The agent, release %s, speaks %v of the protocol and this server %v. Upgrade the %s.",
		clip(s.about.Version, maxFact), theirs, ours, older)
}

// open records the session, unless it has to be held.
func (s *session) open(ctx context.Context) (held string, err error) {
	row := store.Session{
		Machine: s.m.id, Node: s.g.node, State: store.SessionConnected, Incarnation: s.about.Incarnation, Starts: s.starts(), Facts: s.facts(),
	}
	held, err = s.g.core.Open(ctx, &row)
	if err == nil && held == "" {
		s.generation.Store(row.Generation)
	}
	return held, err
}

// hold records that the session gets no work, and why, once per reason.
func (s *session) hold(ctx context.Context, state store.SessionState, reason string) error {
	if s.heldAs == reason {
		return nil
	}
	row := store.Session{
		Machine: s.m.id, Node: s.g.node, State: state, Incarnation: s.about.Incarnation, Starts: s.starts(), Facts: s.facts(), Reason: reason,
	}
	if err := s.g.group.Write(ctx, func(tx *store.Tx) error { return store.HoldSession(tx, &row) }); err != nil {
		return err
	}
	s.heldAs = reason
	s.log.WarnContext(ctx, "session held", "state", state, "remote", s.link.RemoteAddr(), "reason", reason)
	return nil
}

// close records the end of the session, if it worked.
func (s *session) close(why error) {
	ctx := s.g.group.run // the session's own may have ended
	had, last := s.seat.leave(s)
	if !had {
		if last && s.heldAs == duplicate && s.g.shared() {
			if err := s.g.group.Write(ctx, func(tx *store.Tx) error { return store.LeaveHeld(tx, s.m.id, s.g.node) }); err != nil {
				s.log.ErrorContext(ctx, "leave session", "error", err)
			}
		}
		return
	}
	err := s.g.group.Write(ctx, func(tx *store.Tx) error {
		return store.CloseSession(tx, s.m.id, s.generation.Load(), store.SessionLost, clip(why.Error(), maxReason))
	})
	if err != nil {
		s.log.ErrorContext(ctx, "close session", "error", err)
	}
	s.log.InfoContext(ctx, "session closed", "reason", why)
}

// FactPin is the fact that says which key the session's agent has.
const FactPin = "Thumbprint"

// maxFact bounds what one fact that an agent tells may take up.
const maxFact = 200

// starts are the names of the agent's starts, as far as they are read.
func (s *session) starts() []string {
	const most = 256
	names := make([]string, min(len(s.about.Starts), most))
	for i := range names {
		names[i] = clip(s.about.Starts[i], maxFact)
	}
	return names
}

func (s *session) facts() map[string]string {
	a := s.about
	facts := map[string]string{
		FactPin: s.m.pin, "SubscriptionId": a.SubscriptionId, "Version": a.Version, "Hostname": a.Hostname,
		"OS": a.Os, "OSDescription": a.OsDescription, "Architecture": a.Arch, "Shell": a.Shell, "ShellVersion": a.ShellVersion,
		"BootId": a.BootId, "FreeDiskBytes": strconv.FormatInt(a.FreeDiskBytes, 10),
		"ClockSkewMs": strconv.FormatInt(s.skew.Load(), 10), "Remote": s.link.RemoteAddr(),
	}
	for name, value := range facts {
		facts[name] = clip(value, maxFact)
	}
	return facts
}
