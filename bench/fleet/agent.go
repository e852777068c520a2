package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

const (
	// credit and chunk are those of the real agent: bytes on their way without an
	// acknowledgement, and bytes of one message.
	credit = 1 << 20
	chunk  = 128 << 10
)

// agent is one simulated machine: the real protocol over a real connection,
// with a journal in memory and scripts that only last, or write, for a while.
type agent struct {
	agentrpc.UnimplementedAgentHandler

	identity     *agentrpc.Identity
	subscription string
	starts       *atomic.Int64 // of all agents: scripts that began
	again        *atomic.Int64 // orders to start an attempt that had begun

	mu       sync.Mutex
	attempts map[string]*attempt
	epochs   map[string]int64
}

// attempt is a script that runs until its moment has come.
type attempt struct {
	began time.Time
	until time.Time
	flood bool // it writes as fast as it is let, until then
	log   int64
	ended *agentrpc.Result
}

// script reads what the script stands for: "flood 20s" writes for that long,
// everything else says hello and ends at once.
func script(body string, now time.Time) *attempt {
	a := &attempt{began: now, until: now}
	if text, ok := strings.CutPrefix(strings.TrimSpace(body), "flood "); ok {
		if d, err := time.ParseDuration(text); err == nil {
			a.flood, a.until = true, now.Add(d)
			return a
		}
	}
	a.log = int64(len(hello))
	return a
}

const hello = "0\tstdout\thello\n"

// page is what a flood writes, over and over.
var page = bytes.Repeat([]byte("1764000000000\tstdout\tthe quick brown fox jumps over the lazy dog, again and again and again\n"), 4096)

// text is a piece of the log from an offset on.
func (a *attempt) text(from, n int64) []byte {
	source := []byte(hello)
	if a.flood {
		source = page
		from %= int64(len(page))
	}
	return source[from:min(int64(len(source)), from+n)]
}

// result is how the attempt ended; nil while it runs. Called under the lock.
func (a *attempt) result(now time.Time) *agentrpc.Result {
	if a.ended == nil && !now.Before(a.until) {
		a.ended = &agentrpc.Result{
			Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, StartedMs: a.began.UnixMilli(), EndedMs: now.UnixMilli(), LogLength: a.log,
		}
	}
	return a.ended
}

func (a *attempt) state(now time.Time) (agentrpc.AttemptState, *agentrpc.Result) {
	if r := a.result(now); r != nil {
		return agentrpc.AttemptState_ATTEMPT_STATE_ENDED, r
	}
	return agentrpc.AttemptState_ATTEMPT_STATE_RUNNING, nil
}

// raise refuses an order of a former owner. Called under the lock.
func (a *agent) raise(rollout string, epoch int64) error {
	if known := a.epochs[rollout]; epoch < known {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("stale epoch: %s has epoch %d here and the order came with %d", rollout, known, epoch))
	}
	a.epochs[rollout] = epoch
	return nil
}

// Describe implements agentrpc.AgentHandler.
func (a *agent) Describe(context.Context, *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return connect.NewResponse(&agentrpc.DescribeResponse{
		SubscriptionId: a.subscription, Incarnation: 1, Hostname: "bench", Os: "linux", Arch: "amd64", Version: "0.0.0", Shell: "Bash",
		BootId: a.subscription, NowMs: time.Now().UnixMilli(), Attempts: slices.Sorted(maps.Keys(a.attempts)),
	}), nil
}

// Have implements agentrpc.AgentHandler: there are no packages here.
func (a *agent) Have(_ context.Context, r *connect.Request[agentrpc.HaveRequest]) (*connect.Response[agentrpc.HaveResponse], error) {
	return connect.NewResponse(&agentrpc.HaveResponse{Missing: r.Msg.Sha256}), nil
}

// Start implements agentrpc.AgentHandler.
func (a *agent) Start(_ context.Context, r *connect.Request[agentrpc.StartRequest]) (*connect.Response[agentrpc.StartResponse], error) {
	job := &agentrpc.Job{}
	if err := proto.Unmarshal(r.Msg.Payload, job); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if sum := sha256.Sum256(r.Msg.Payload); !bytes.Equal(sum[:], r.Msg.PayloadSha256) {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("payload and hash differ"))
	}
	body := ""
	for _, v := range job.Variables {
		if v.Name == "Octopus.Action.Script.ScriptBody" {
			body = v.Value
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.raise(r.Msg.Rollout, r.Msg.Epoch); err != nil {
		return nil, err
	}
	now := time.Now()
	at := a.attempts[r.Msg.Attempt]
	if at == nil {
		at = script(body, now)
		a.attempts[r.Msg.Attempt] = at
		a.starts.Add(1)
	} else {
		a.again.Add(1)
	}
	res := &agentrpc.StartResponse{}
	res.State, res.Result = at.state(now)
	return connect.NewResponse(res), nil
}

// Query implements agentrpc.AgentHandler.
func (a *agent) Query(_ context.Context, r *connect.Request[agentrpc.QueryRequest]) (*connect.Response[agentrpc.QueryResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.raise(r.Msg.Rollout, r.Msg.Epoch); err != nil {
		return nil, err
	}
	res := &agentrpc.QueryResponse{State: agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN}
	if at := a.attempts[r.Msg.Attempt]; at != nil {
		res.State, res.Result = at.state(time.Now())
		res.LogLength = at.log
	} else if r.Msg.Close {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("a simulated agent keeps no tombstones"))
	}
	return connect.NewResponse(res), nil
}

// Follow implements agentrpc.AgentHandler.
func (a *agent) Follow(_ context.Context, stream *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	a.mu.Lock()
	at := a.attempts[first.Attempt]
	a.mu.Unlock()
	if at == nil {
		return connect.NewError(connect.CodeNotFound, errors.New("no such attempt"))
	}
	f := &following{agent: a, at: at, stream: stream, sent: first.Offset, wake: make(chan struct{}, 1)}
	f.acked.Store(first.Offset)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for m, err := stream.Receive(); err == nil; m, err = stream.Receive() {
			f.acked.Store(max(f.acked.Load(), m.Offset))
			select {
			case f.wake <- struct{}{}:
			default:
			}
		}
	}()
	return f.run(gone)
}

// following is one stream of an attempt's output.
type following struct {
	agent  *agent
	at     *attempt
	stream *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]
	sent   int64
	acked  atomic.Int64
	wake   chan struct{}
}

func (f *following) run(gone <-chan struct{}) error {
	for {
		f.agent.mu.Lock()
		result := f.at.result(time.Now())
		if f.at.flood && result == nil {
			f.at.log = f.sent + chunk
		}
		length := f.at.log
		f.agent.mu.Unlock()
		if f.sent == length && result != nil {
			return f.stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Result{Result: result}})
		}
		room := f.acked.Load() + credit - f.sent
		if room <= 0 {
			select {
			case <-f.wake:
			case <-gone:
				return errors.New("the server has stopped following")
			}
			continue
		}
		data := f.at.text(f.sent, min(length-f.sent, chunk, room))
		if err := f.stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Output{Output: &agentrpc.Output{Offset: f.sent, Data: data}}}); err != nil {
			return err
		}
		f.sent += int64(len(data))
	}
}

// Forget implements agentrpc.AgentHandler.
func (a *agent) Forget(_ context.Context, r *connect.Request[agentrpc.ForgetRequest]) (*connect.Response[agentrpc.ForgetResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range r.Msg.Attempts {
		delete(a.attempts, id)
	}
	return connect.NewResponse(&agentrpc.ForgetResponse{}), nil
}

// Probe implements agentrpc.AgentHandler: the machine is in good health.
func (a *agent) Probe(context.Context, *connect.Request[agentrpc.ProbeRequest]) (*connect.Response[agentrpc.ProbeResponse], error) {
	return connect.NewResponse(&agentrpc.ProbeResponse{}), nil
}
