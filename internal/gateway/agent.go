package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// Agent is the far end of a session: the closed list of RPCs, with the streams
// cut down to what the gateway does with them. Errors are *connect.Error.
type Agent interface {
	Describe(context.Context, *agentrpc.DescribeRequest) (*agentrpc.DescribeResponse, error)
	Have(context.Context, *agentrpc.HaveRequest) (*agentrpc.HaveResponse, error)
	// Put sends a package: the header, then what the reader holds.
	Put(context.Context, *agentrpc.PutRequest_Header, io.Reader) error
	Start(context.Context, *agentrpc.StartRequest) (*agentrpc.StartResponse, error)
	Query(context.Context, *agentrpc.QueryRequest) (*agentrpc.QueryResponse, error)
	Cancel(context.Context, *agentrpc.CancelRequest) (*agentrpc.CancelResponse, error)
	// Follow opens the stream of an attempt's output from the offset.
	Follow(ctx context.Context, attempt string, offset int64) (Stream, error)
	// Fetch opens a file that an attempt declared as an artifact.
	Fetch(ctx context.Context, attempt, key string) (io.ReadCloser, error)
	Forget(context.Context, *agentrpc.ForgetRequest) (*agentrpc.ForgetResponse, error)
	Probe(context.Context, *agentrpc.ProbeRequest) (*agentrpc.ProbeResponse, error)
}

// Stream is an attempt's output on its way in. Close may be called at any time
// and more than once.
type Stream interface {
	Receive() (*agentrpc.FollowResponse, error)
	// Acknowledge says up to which offset the log is committed.
	Acknowledge(offset int64) error
	Close() error
}

// chunkSize is how much of a package goes into one message, well below
// agentrpc.MaxMessage.
const chunkSize = 256 << 10

// The deadlines of calls. A start is journaled with an fsync, and a disk may be
// slow; the streams are bounded by how long they stand still.
const (
	quick = 10 * time.Second
	slow  = 60 * time.Second
	still = 60 * time.Second
)

// Remote is the agent behind a client of the generated service. Every call has
// a deadline of its own, but for Probe, whose caller sets it, and Follow, which
// stands still as long as the script does.
func Remote(client agentrpc.AgentClient) Agent { return remote{client} }

type remote struct{ client agentrpc.AgentClient }

func unary[Req, Res any](ctx context.Context, limit time.Duration, call func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errNoAnswer)
		defer cancel()
	}
	res, err := call(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (r remote) Describe(ctx context.Context, req *agentrpc.DescribeRequest) (*agentrpc.DescribeResponse, error) {
	return unary(ctx, quick, r.client.Describe, req)
}

func (r remote) Have(ctx context.Context, req *agentrpc.HaveRequest) (*agentrpc.HaveResponse, error) {
	return unary(ctx, slow, r.client.Have, req)
}

func (r remote) Start(ctx context.Context, req *agentrpc.StartRequest) (*agentrpc.StartResponse, error) {
	return unary(ctx, slow, r.client.Start, req)
}

func (r remote) Query(ctx context.Context, req *agentrpc.QueryRequest) (*agentrpc.QueryResponse, error) {
	return unary(ctx, slow, r.client.Query, req)
}

func (r remote) Cancel(ctx context.Context, req *agentrpc.CancelRequest) (*agentrpc.CancelResponse, error) {
	return unary(ctx, slow, r.client.Cancel, req)
}

func (r remote) Forget(ctx context.Context, req *agentrpc.ForgetRequest) (*agentrpc.ForgetResponse, error) {
	return unary(ctx, slow, r.client.Forget, req)
}

func (r remote) Probe(ctx context.Context, req *agentrpc.ProbeRequest) (*agentrpc.ProbeResponse, error) {
	return unary(ctx, 0, r.client.Probe, req)
}

// watchdog ends the context when it is not fed for a while.
type watchdog struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newWatchdog(ctx context.Context) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watchdog{cancel: cancel, timer: time.AfterFunc(still, func() { cancel(errNoAnswer) })}
}

func (w *watchdog) feed() { w.timer.Reset(still) }

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(errStreamClosed)
}

func (r remote) Put(ctx context.Context, header *agentrpc.PutRequest_Header, content io.Reader) error {
	ctx, dog := newWatchdog(ctx)
	defer dog.stop()
	stream := r.client.Put(ctx)
	err := stream.Send(&agentrpc.PutRequest{Part: &agentrpc.PutRequest_Header_{Header: header}})
	buffer := make([]byte, chunkSize)
	for err == nil {
		dog.feed()
		n, readErr := io.ReadFull(content, buffer)
		if n > 0 {
			err = stream.Send(&agentrpc.PutRequest{Part: &agentrpc.PutRequest_Chunk{Chunk: buffer[:n]}})
		}
		if errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) {
			break
		}
		if readErr != nil {
			// The agent hashes what it got and keeps none of it.
			_, _ = stream.CloseAndReceive()
			return fmt.Errorf("read package %s: %w", header.Sha256, readErr)
		}
	}
	dog.feed() // the agent hashes and fsyncs
	// A send that fails with EOF means that the answer says why.
	if _, answer := stream.CloseAndReceive(); answer != nil {
		return answer
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (r remote) Fetch(ctx context.Context, attempt, key string) (io.ReadCloser, error) {
	ctx, dog := newWatchdog(ctx)
	stream, err := r.client.Fetch(ctx, connect.NewRequest(&agentrpc.FetchRequest{Attempt: attempt, Key: key}))
	if err != nil {
		dog.stop()
		return nil, err
	}
	return &fetching{stream: stream, dog: dog}, nil
}

// fetching reads the chunks of a file as one.
type fetching struct {
	stream *connect.ServerStreamForClient[agentrpc.FetchResponse]
	dog    *watchdog
	rest   []byte
}

func (f *fetching) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if !f.stream.Receive() {
			if err := f.stream.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		f.rest = f.stream.Msg().Chunk
		f.dog.feed()
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *fetching) Close() error {
	defer f.dog.stop()
	return f.stream.Close()
}

func (r remote) Follow(ctx context.Context, attempt string, offset int64) (Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stream := r.client.Follow(ctx)
	if err := stream.Send(&agentrpc.FollowRequest{Attempt: attempt, Offset: offset}); err != nil && !errors.Is(err, io.EOF) {
		cancel(nil)
		return nil, err
	}
	// While the request is open HTTP/2 does not hear that the context ended: a
	// script that says nothing would keep the session from ending.
	context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })
	return &following{stream: stream, cancel: cancel}, nil
}

type following struct {
	stream *connect.BidiStreamForClient[agentrpc.FollowRequest, agentrpc.FollowResponse]
	cancel context.CancelCauseFunc
}

func (f *following) Receive() (*agentrpc.FollowResponse, error) { return f.stream.Receive() }

func (f *following) Acknowledge(offset int64) error {
	err := f.stream.Send(&agentrpc.FollowRequest{Offset: offset})
	if errors.Is(err, io.EOF) {
		return nil // Receive says why the stream ended
	}
	return err
}

func (f *following) Close() error {
	f.cancel(errStreamClosed)
	return f.stream.CloseResponse()
}

var errStreamClosed = errors.New("the stream was closed here")
