package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/gateway"
)

// link is a connection between a machine's agent and a node. Calls on it are
// delayed, copied, lost on the way there or back, and cut off.
type link struct {
	w    *world
	m    *machine
	n    *node
	up   bool
	deaf bool // nothing comes back, as of a half-open connection
}

var _ gateway.Agent = (*link)(nil)

func (l *link) cut() {
	if l != nil {
		l.up = false
	}
}

var errLink = connect.NewError(connect.CodeUnavailable, errors.New("the link broke"))

// keepLinked is the agent's thread that dials the servers again and again.
func (m *machine) keepLinked(a *actor) {
	for {
		if m.link != nil && m.link.up && m.link.n.p.frozen && m.w.odds(4) {
			m.leave(m.link) // it does not answer
		}
		if m.link == nil || !m.link.up {
			if n := m.w.anyNode(); n != nil && !m.w.chance("dial fails", 10) {
				m.link = &link{w: m.w, m: m, n: n, up: true}
				n.accept(m.link)
			}
		}
		a.sleep(m.w.between(100, 1500))
		if m.link != nil && m.link.up {
			switch {
			case m.w.chance("link cut", 400):
				m.link.cut()
			case m.w.chance("partition", 1500): // fault 15
				m.link.cut()
				a.sleep(m.w.between(5_000, 60_000))
			case m.w.chance("half-open link", 800): // fault 16
				m.link.deaf = true
			}
		}
	}
}

// leave gives up a link to a server that does not answer. What that one has on
// its way when it wakes up may still arrive.
func (m *machine) leave(l *link) {
	m.link = nil
	var end func()
	end = func() {
		if l.n.p.frozen && !l.n.p.dead {
			m.w.after(500, end)
			return
		}
		m.w.after(m.w.between(0, 1000), l.cut)
	}
	end()
}

// call carries one call over the link. handle is what the agent does; it may
// run twice, long after the call was given up, or not at all.
func (l *link) call(name string, patience int64, handle func() error) error {
	w, a := l.w, l.w.self
	a.sleep(w.between(0, 25))
	if !l.up {
		return errLink
	}
	if w.chance("request lost", 250) {
		a.sleep(patience)
		l.cut()
		return errLink
	}
	if w.chance("request held up", 200) { // fault 31: it arrives when nobody waits for it any more
		w.after(w.between(100, 100<<w.rng.IntN(9)), func() {
			err := l.m.serve(handle)
			w.say("%s: %s arrives late: %v", l.m.name, name, err)
		})
		l.cut()
		if w.rng.IntN(2) == 0 {
			l.n.crash()
		}
		return errLink
	}
	if w.chance("request waits for another", 100) { // fault 31: in the buffer of a node that is paused, or on a slow way
		l.m.late = append(l.m.late, func() {
			err := l.m.serve(handle)
			w.say("%s: %s arrives after another: %v", l.m.name, name, err)
		})
		l.cut()
		if w.rng.IntN(2) == 0 {
			l.n.pause(w.between(7000, 15_000))
			a.sleep(1)
		}
		return errLink
	}
	if w.chance("request copied", 60) { // fault 17, abuse 12
		w.after(w.between(0, 20_000), func() {
			err := l.m.serve(handle)
			w.say("%s: a copy of %s arrives: %v", l.m.name, name, err)
		})
	}
	if w.chance("request delayed", 60) {
		a.sleep(w.between(100, 3000))
	}
	life := l.m.agent
	err := l.m.serve(handle)
	l.m.catchUp()
	if l.deaf || life != l.m.agent || life == nil || w.chance("answer lost", 250) {
		a.sleep(patience)
		l.cut()
		return errLink
	}
	a.sleep(w.between(0, 25))
	if !l.up {
		return errLink
	}
	return err
}

// catchUp lets the late requests arrive, each in its time.
func (m *machine) catchUp() {
	for _, late := range m.late {
		m.w.after(m.w.between(0, 60), late)
	}
	m.late = nil
}

// serve lets the agent carry a call out, if it lives.
func (m *machine) serve(handle func() error) (err error) {
	if m.agent == nil || m.core == nil || m.agent.frozen {
		return errLink
	}
	if !m.guard(func() { err = handle() }) {
		return errLink
	}
	if m.core != nil && m.core.Broken() != nil {
		m.killAgent()
		return errLink
	}
	if err != nil {
		return connect.NewWireError(agent.CodeOf(err), err)
	}
	return nil
}

const patience = 10_000

func (l *link) Describe(_ context.Context, _ *agentrpc.DescribeRequest) (out *agentrpc.DescribeResponse, err error) {
	err = l.call("Describe", patience, func() error {
		m := l.m
		out = &agentrpc.DescribeResponse{Incarnation: m.incarnation, Starts: m.starts, BootId: m.bootID(), NowMs: epoch + m.w.now + m.skew}
		for _, at := range m.core.List() {
			out.Attempts = append(out.Attempts, at.ID)
		}
		return nil
	})
	return out, err
}

func (l *link) Have(_ context.Context, in *agentrpc.HaveRequest) (out *agentrpc.HaveResponse, err error) {
	err = l.call("Have", patience, func() error {
		out = &agentrpc.HaveResponse{}
		for _, sum := range in.Sha256 {
			if !l.m.packages[sum] {
				out.Missing = append(out.Missing, sum)
			}
		}
		return nil
	})
	return out, err
}

func (l *link) Put(_ context.Context, header *agentrpc.PutRequest_Header, content io.Reader) error {
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	return l.call("Put", 5*patience, func() error {
		if int64(len(text)) != header.Size {
			return connect.NewError(connect.CodeInvalidArgument, errors.New("another size"))
		}
		if l.m.full {
			return agent.ErrDiskFull
		}
		l.m.packages[header.Sha256] = true
		return nil
	})
}

func (l *link) Start(_ context.Context, in *agentrpc.StartRequest) (out *agentrpc.StartResponse, err error) {
	order := agent.Order{Attempt: in.Attempt, Rollout: in.Rollout, Epoch: in.Epoch}
	payload := bytes.Clone(in.Payload)
	sum := sha256.Sum256(payload)
	job := new(agentrpc.Job)
	if err := proto.Unmarshal(payload, job); err != nil {
		return nil, err
	}
	l.w.truth.ordered(l, order, job)
	refused := errors.New("the payload does not have the hash that came with it")
	begin := func() error {
		m := l.m
		var sp *spawn
		d, err := m.core.Start(order, sum[:], job.Exclusive, func() {
			m.w.truth.spawned(m, order, sum)
			sp = m.startShim(order.Attempt, payload)
			m.watch(order.Attempt, agent.Starting, sp)
		})
		if err != nil {
			return err
		}
		m.w.truth.heard(m, order)
		out = &agentrpc.StartResponse{State: d.Phase.State(), Result: d.Result}
		return nil
	}
	err = l.call("Start "+in.Attempt, patience, func() error {
		if !l.w.chance("start refused", 150) {
			return begin()
		}
		l.w.after(l.w.between(50, 5000), func() { // a sound copy of the order comes later
			err := l.m.serve(begin)
			l.w.say("%s: Start %s arrives again: %v", l.m.name, in.Attempt, err)
		})
		return refused
	})
	return out, err
}

func (l *link) Query(_ context.Context, in *agentrpc.QueryRequest) (out *agentrpc.QueryResponse, err error) {
	order := agent.Order{Attempt: in.Attempt, Rollout: in.Rollout, Epoch: in.Epoch}
	err = l.call("Query "+in.Attempt, patience, func() error {
		d, length, err := l.m.core.Query(order, in.Close)
		if err != nil {
			return err
		}
		l.w.truth.heard(l.m, order)
		out = &agentrpc.QueryResponse{State: d.Phase.State(), Result: d.Result, LogLength: length}
		return nil
	})
	return out, err
}

func (l *link) Cancel(_ context.Context, in *agentrpc.CancelRequest) (out *agentrpc.CancelResponse, err error) {
	order := agent.Order{Attempt: in.Attempt, Rollout: in.Rollout, Epoch: in.Epoch}
	err = l.call("Cancel "+in.Attempt, patience, func() error {
		d, err := l.m.core.Cancel(order, 0)
		if err != nil {
			return err
		}
		l.w.truth.heard(l.m, order)
		out = &agentrpc.CancelResponse{State: d.Phase.State()}
		return nil
	})
	return out, err
}

func (l *link) Forget(_ context.Context, in *agentrpc.ForgetRequest) (out *agentrpc.ForgetResponse, err error) {
	err = l.call("Forget", patience, func() error {
		out = &agentrpc.ForgetResponse{}
		return l.m.core.Forget(in.Attempts, func(string, error) {})
	})
	return out, err
}

func (l *link) Fetch(context.Context, string, string) (io.ReadCloser, error) {
	return nil, connect.NewWireError(connect.CodeNotFound, errors.New("there is no such artifact"))
}

func (l *link) Probe(context.Context, *agentrpc.ProbeRequest) (*agentrpc.ProbeResponse, error) {
	return &agentrpc.ProbeResponse{}, nil
}

// Follow opens an attempt's output.
func (l *link) Follow(_ context.Context, attempt string, offset int64) (gateway.Stream, error) {
	s := &stream{l: l, attempt: attempt, sent: offset, acked: offset}
	return s, l.call("Follow "+attempt, patience, func() error { return nil })
}

// stream is the agent's end of an attempt's output, as Service.Follow sends it.
type stream struct {
	l       *link
	attempt string
	sent    int64
	acked   int64
}

func (s *stream) Receive() (message *agentrpc.FollowResponse, err error) {
	for message == nil && err == nil {
		s.l.w.self.sleep(s.l.w.between(1, 80))
		err = s.l.call("Receive", patience, func() error { return s.look(&message) })
	}
	return message, err
}

// look is one look at the attempt: its phase before its log, so that what the
// log holds at the end of one that has ended is all of it.
func (s *stream) look(message **agentrpc.FollowResponse) error {
	m := s.l.m
	at := m.core.Get(s.attempt)
	if at.Phase == agent.Unseen || at.Phase == agent.Closed || at.Phase == agent.Forgotten {
		return connect.NewError(connect.CodeNotFound, errors.New("there is no such attempt here"))
	}
	var log []byte
	if f := m.folders[s.attempt]; f != nil {
		log = f.log
	}
	if s.acked > 0 && s.l.w.chance("output sent again", 60) {
		s.sent = s.acked - s.l.w.between(1, min(s.acked, 60))
	}
	switch {
	case s.sent < int64(len(log)):
		n := s.l.w.between(1, int64(len(log))-s.sent)
		*message = &agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Output{Output: &agentrpc.Output{
			Offset: s.sent, Data: bytes.Clone(log[s.sent : s.sent+n]),
		}}}
		s.sent += n
	case at.Phase == agent.Ended:
		m.w.truth.told(m, s.attempt)
		result, _ := proto.Clone(at.Result).(*agentrpc.Result)
		*message = &agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Result{Result: result}}
	}
	return nil
}

func (s *stream) Acknowledge(offset int64) error {
	s.acked = offset
	s.l.w.truth.acknowledged(s.attempt, offset)
	return nil
}

func (s *stream) Close() error { return nil }
