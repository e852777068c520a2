package gateway_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// fakeAgent is a peer with a journal in memory: it keeps an attempt from its
// start to Forget, over any number of links, and counts what really started.
type fakeAgent struct {
	agentrpc.UnimplementedAgentHandler

	id           *agentrpc.Identity
	subscription string
	hostname     string
	// run is what a script does: it writes output and returns the result.
	run func(ctx context.Context, job *agentrpc.Job, write func(string)) *agentrpc.Result
	// acked, when set, hears each acknowledgement of output.
	acked func(attempt string, offset int64)
	// before, when set, may refuse or delay an RPC.
	before func(rpc string) error

	mu          sync.Mutex
	changed     chan struct{} // closed and replaced at each change
	incarnation int64
	startNames  []string
	attempts    map[string]*fakeAttempt
	epochs      map[string]int64
	packages    map[string][]byte
	files       map[string][]byte // artifacts by attempt and key
	starts      map[string]int    // scripts that really began, by attempt
	puts        int
	calls       map[string]int
	forgotten   []string
	follows     map[string][]int64 // offsets from which output was asked for, by attempt
	skew        time.Duration
	speaks      agentrpc.Speaks
	handler     func(agentrpc.AgentHandler) http.Handler
}

type fakeAttempt struct {
	state  agentrpc.AttemptState
	log    []byte
	result *agentrpc.Result
	job    *agentrpc.Job
	cancel context.CancelCauseFunc
}

func newAgent(tb testing.TB, subscription string) *fakeAgent {
	tb.Helper()
	id, err := agentrpc.CreateIdentity(tb.TempDir(), "agent", time.Now(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &fakeAgent{
		id: id, subscription: subscription, hostname: "web-1", incarnation: 1, changed: make(chan struct{}),
		attempts: map[string]*fakeAttempt{}, epochs: map[string]int64{}, packages: map[string][]byte{},
		files: map[string][]byte{}, starts: map[string]int{}, calls: map[string]int{}, follows: map[string][]int64{},
		speaks: agentrpc.Ours(), handler: agentrpc.NewHandler,
		run: func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
			write("hello\n")
			return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
		},
	}
}

// clone is another process with the same identity, as on a copied machine.
func (a *fakeAgent) clone(tb testing.TB) *fakeAgent {
	tb.Helper()
	b := newAgent(tb, a.subscription)
	b.id, b.hostname, b.incarnation = a.id, "web-1-copy", a.incarnation+1
	return b
}

// change calls f under the lock and wakes who waits for a change.
func (a *fakeAgent) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// see calls f under the lock.
func (a *fakeAgent) see(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// begun is how often the attempt was started, and all attempts together for "".
func (a *fakeAgent) begun(attempt string) (n int) {
	a.see(func() {
		for id, times := range a.starts {
			if attempt == "" || attempt == id {
				n += times
			}
		}
	})
	return n
}

// poll keeps one link to the server until ctx ends; wrap may break it.
func (a *fakeAgent) poll(ctx context.Context, address, server string, wrap func(net.Conn) net.Conn) error {
	config := agentrpc.ClientTLS(a.id, agentrpc.Pinned(server))
	for wait := 5 * time.Millisecond; ; {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn := tls.Client(wrap(raw), config)
			if err = conn.HandshakeContext(ctx); err == nil {
				err = agentrpc.ServeConn(ctx, conn, a.handler(a))
			}
			_ = raw.Close()
		}
		if ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

func unchanged(c net.Conn) net.Conn { return c }

// gate counts the call and lets the test refuse or delay it.
func (a *fakeAgent) gate(rpc string) error {
	var before func(string) error
	a.change(func() { a.calls[rpc]++; before = a.before })
	if before == nil {
		return nil
	}
	return before(rpc)
}

// waitFor returns after the next call of the RPC.
func (a *fakeAgent) waitFor(rpc string) {
	from := -1
	for {
		var changed chan struct{}
		done := false
		a.see(func() {
			changed = a.changed
			if from < 0 {
				from = a.calls[rpc]
			}
			done = a.calls[rpc] > from
		})
		if done {
			return
		}
		<-changed
	}
}

// raise keeps the highest epoch and refuses lower ones. Called under the lock.
func (a *fakeAgent) raise(rollout string, epoch int64) error {
	if known := a.epochs[rollout]; epoch < known {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("stale epoch: %s has epoch %d here and the order came with %d", rollout, known, epoch))
	}
	a.epochs[rollout] = epoch
	return nil
}

func (a *fakeAgent) Describe(_ context.Context, _ *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	if err := a.gate("Describe"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return connect.NewResponse(&agentrpc.DescribeResponse{
		SubscriptionId: a.subscription, Incarnation: a.incarnation, Starts: a.startNames, Hostname: a.hostname, Os: "linux", Arch: "amd64",
		Version: "1.0.0", Shell: "Bash", BootId: a.hostname, NowMs: time.Now().Add(a.skew).UnixMilli(),
		Attempts: slices.Sorted(maps.Keys(a.attempts)), Protocol: a.speaks.Newest, OldestProtocol: a.speaks.Oldest,
	}), nil
}

func (a *fakeAgent) Have(_ context.Context, r *connect.Request[agentrpc.HaveRequest]) (*connect.Response[agentrpc.HaveResponse], error) {
	if err := a.gate("Have"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	res := &agentrpc.HaveResponse{}
	for _, sum := range r.Msg.Sha256 {
		if a.packages[sum] == nil {
			res.Missing = append(res.Missing, sum)
		}
	}
	return connect.NewResponse(res), nil
}

func (a *fakeAgent) Put(_ context.Context, stream *connect.ClientStream[agentrpc.PutRequest]) (*connect.Response[agentrpc.PutResponse], error) {
	if err := a.gate("Put"); err != nil {
		return nil, err
	}
	var header *agentrpc.PutRequest_Header
	var content []byte
	for stream.Receive() {
		if h := stream.Msg().GetHeader(); h != nil {
			header = h
		}
		content = append(content, stream.Msg().GetChunk()...)
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != header.Sha256 {
		return nil, connect.NewError(connect.CodeDataLoss, fmt.Errorf("the package has digest %s, not %s", got, header.Sha256))
	}
	a.change(func() { a.packages[header.Sha256] = content; a.puts++ })
	return connect.NewResponse(&agentrpc.PutResponse{}), nil
}

func (a *fakeAgent) Start(_ context.Context, r *connect.Request[agentrpc.StartRequest]) (*connect.Response[agentrpc.StartResponse], error) {
	if err := a.gate("Start"); err != nil {
		return nil, err
	}
	var res *agentrpc.StartResponse
	var err error
	a.change(func() { res, err = a.start(r.Msg) }) //nolint:contextcheck // the script outlives the call
	if err != nil {
		return nil, err
	}
	if err := a.gate("Started"); err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

func (a *fakeAgent) start(r *agentrpc.StartRequest) (*agentrpc.StartResponse, error) {
	if err := a.raise(r.Rollout, r.Epoch); err != nil {
		return nil, err
	}
	if at := a.attempts[r.Attempt]; at != nil {
		return &agentrpc.StartResponse{State: at.state, Result: at.result}, nil
	}
	job := &agentrpc.Job{}
	if err := proto.Unmarshal(r.Payload, job); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if sum := sha256.Sum256(r.Payload); string(sum[:]) != string(r.PayloadSha256) {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("payload and hash differ"))
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	at := &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_RUNNING, job: job, cancel: cancel}
	a.attempts[r.Attempt] = at
	a.starts[r.Attempt]++
	go a.script(ctx, at)
	return &agentrpc.StartResponse{State: at.state}, nil
}

func (a *fakeAgent) script(ctx context.Context, at *fakeAttempt) {
	result := a.run(ctx, at.job, func(text string) {
		a.change(func() { at.log = append(at.log, text...) })
	})
	a.change(func() {
		if result.LogLength == 0 {
			result.LogLength = int64(len(at.log))
		}
		at.state, at.result = agentrpc.AttemptState_ATTEMPT_STATE_ENDED, result
	})
}

func (a *fakeAgent) Query(_ context.Context, r *connect.Request[agentrpc.QueryRequest]) (*connect.Response[agentrpc.QueryResponse], error) {
	if err := a.gate("Query"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.raise(r.Msg.Rollout, r.Msg.Epoch); err != nil {
		return nil, err
	}
	at := a.attempts[r.Msg.Attempt]
	if at == nil && !r.Msg.Close {
		return connect.NewResponse(&agentrpc.QueryResponse{State: agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN}), nil
	}
	if at == nil {
		at = &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_CLOSED}
		a.attempts[r.Msg.Attempt] = at
	}
	return connect.NewResponse(&agentrpc.QueryResponse{State: at.state, Result: at.result, LogLength: int64(len(at.log))}), nil
}

func (a *fakeAgent) Cancel(_ context.Context, r *connect.Request[agentrpc.CancelRequest]) (*connect.Response[agentrpc.CancelResponse], error) {
	if err := a.gate("Cancel"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.raise(r.Msg.Rollout, r.Msg.Epoch); err != nil {
		return nil, err
	}
	at := a.attempts[r.Msg.Attempt]
	if at == nil {
		return connect.NewResponse(&agentrpc.CancelResponse{State: agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN}), nil
	}
	if at.cancel != nil {
		at.cancel(errors.New("canceled"))
	}
	return connect.NewResponse(&agentrpc.CancelResponse{State: at.state}), nil
}

// fakeCredit is how many bytes may be on their way without being acknowledged.
const fakeCredit = 10_000

func (a *fakeAgent) Follow(ctx context.Context, stream *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	a.change(func() { a.follows[first.Attempt] = append(a.follows[first.Attempt], first.Offset) })
	offset := first.Offset
	acked := offset
	go func() {
		for m, err := stream.Receive(); err == nil; m, err = stream.Receive() {
			if a.acked != nil {
				a.acked(first.Attempt, m.Offset)
			}
			a.change(func() { acked = m.Offset })
		}
	}()
	for {
		var at *fakeAttempt
		var data []byte
		var result *agentrpc.Result
		var changed chan struct{}
		a.see(func() {
			changed = a.changed
			if at = a.attempts[first.Attempt]; at == nil {
				return
			}
			if offset >= acked+fakeCredit {
				return
			}
			if offset < int64(len(at.log)) {
				data = slices.Clone(at.log[offset:min(int64(len(at.log)), offset+1000)])
			} else if at.state == agentrpc.AttemptState_ATTEMPT_STATE_ENDED {
				result = at.result
			}
		})
		switch {
		case at == nil:
			return connect.NewError(connect.CodeNotFound, errors.New("no such attempt"))
		case data != nil:
			if err := stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Output{Output: &agentrpc.Output{Offset: offset, Data: data}}}); err != nil {
				return err
			}
			offset += int64(len(data))
		case result != nil:
			return stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Result{Result: result}})
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (a *fakeAgent) Fetch(_ context.Context, r *connect.Request[agentrpc.FetchRequest], stream *connect.ServerStream[agentrpc.FetchResponse]) error {
	a.mu.Lock()
	content, ok := a.files[r.Msg.Attempt+"/"+r.Msg.Key]
	a.mu.Unlock()
	if !ok {
		return connect.NewError(connect.CodeNotFound, errors.New("the file is gone"))
	}
	for len(content) > 0 {
		n := min(len(content), 1000)
		if err := stream.Send(&agentrpc.FetchResponse{Chunk: content[:n]}); err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

func (a *fakeAgent) Forget(_ context.Context, r *connect.Request[agentrpc.ForgetRequest]) (*connect.Response[agentrpc.ForgetResponse], error) {
	if err := a.gate("Forget"); err != nil {
		return nil, err
	}
	var err error
	a.change(func() {
		for _, id := range r.Msg.Attempts {
			if at := a.attempts[id]; at != nil && at.state == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
				err = connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("attempt %s has not ended", id))
				return
			}
		}
		for _, id := range r.Msg.Attempts {
			delete(a.attempts, id)
			a.forgotten = append(a.forgotten, id)
		}
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&agentrpc.ForgetResponse{}), nil
}

func (a *fakeAgent) Probe(ctx context.Context, r *connect.Request[agentrpc.ProbeRequest]) (*connect.Response[agentrpc.ProbeResponse], error) {
	return connect.NewResponse(&agentrpc.ProbeResponse{Log: []byte("ran " + r.Msg.Bash + " for " + agentrpc.Caller(ctx)[:4])}), nil
}

// testLogger writes to the test's own log.
func testLogger(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(logWriter{tb}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

var _ io.Writer = logWriter{}
