package agent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/proc"
)

// startWait is how long Start waits to see the job begin before it answers that
// it runs.
const startWait = 5 * time.Second

// maxIDs bounds the lists of Have and Forget.
const maxIDs = 10_000

// maxCancelGrace bounds what a cancellation may allow.
const maxCancelGrace = 10 * time.Minute

// Start implements agentrpc.AgentHandler.
func (s *Service) Start(ctx context.Context, req *connect.Request[agentrpc.StartRequest]) (*connect.Response[agentrpc.StartResponse], error) {
	m := req.Msg
	order, err := orderOf(m.GetAttempt(), m.GetRollout(), m.GetEpoch())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(m.GetPayload())
	//guard:payload-sent I9: what runs is what the server sent; seen by ./internal/agent TestExclusiveAndRefusedStarts
	if string(sum[:]) != string(m.GetPayloadSha256()) {
		return nil, invalid("the payload of %s does not have the hash that came with it", order.Attempt)
	}
	job := new(agentrpc.Job)
	if err := proto.Unmarshal(m.GetPayload(), job); err != nil {
		return nil, invalid("the payload of %s is no job: %w", order.Attempt, err)
	}
	var r *run
	d, err := s.core.Start(order, sum[:], job.GetExclusive(), func() { r = s.spawn(s.folder(order.Attempt), m.GetPayload()) })
	if err != nil {
		return nil, s.failed(err)
	}
	if r != nil {
		s.watch(r)
		wait := time.NewTimer(startWait)
		defer wait.Stop()
		select {
		case <-r.settled:
		case <-wait.C:
		case <-ctx.Done():
		}
		at := s.core.Get(order.Attempt)
		d.Phase, d.Result = at.Phase, at.Result
	}
	fail.Point(fail.StartAnswer)
	return connect.NewResponse(&agentrpc.StartResponse{State: d.Phase.State(), Result: d.Result}), nil
}

// Query implements agentrpc.AgentHandler.
func (s *Service) Query(_ context.Context, req *connect.Request[agentrpc.QueryRequest]) (*connect.Response[agentrpc.QueryResponse], error) {
	order, err := orderOf(req.Msg.GetAttempt(), req.Msg.GetRollout(), req.Msg.GetEpoch())
	if err != nil {
		return nil, err
	}
	d, length, err := s.core.Query(order, req.Msg.GetClose())
	if err != nil {
		return nil, s.failed(err)
	}
	fail.Point(fail.QueryAnswer)
	return connect.NewResponse(&agentrpc.QueryResponse{State: d.Phase.State(), Result: d.Result, LogLength: length}), nil
}

// Cancel implements agentrpc.AgentHandler.
func (s *Service) Cancel(_ context.Context, req *connect.Request[agentrpc.CancelRequest]) (*connect.Response[agentrpc.CancelResponse], error) {
	order, err := orderOf(req.Msg.GetAttempt(), req.Msg.GetRollout(), req.Msg.GetEpoch())
	if err != nil {
		return nil, err
	}
	grace := min(max(time.Duration(req.Msg.GetGraceMs())*time.Millisecond, 0), maxCancelGrace)
	d, err := s.core.Cancel(order, grace)
	if err != nil {
		return nil, s.failed(err)
	}
	return connect.NewResponse(&agentrpc.CancelResponse{State: d.Phase.State()}), nil
}

// Forget implements agentrpc.AgentHandler.
func (s *Service) Forget(_ context.Context, req *connect.Request[agentrpc.ForgetRequest]) (*connect.Response[agentrpc.ForgetResponse], error) {
	ids := req.Msg.GetAttempts()
	if len(ids) > maxIDs {
		return nil, invalid("at most %d attempts can be forgotten at once", maxIDs)
	}
	for _, id := range ids {
		if !ValidID(id) {
			return nil, invalid("%q is not the id of an attempt", id)
		}
	}
	err := s.core.Forget(ids, func(attempt string, err error) {
		s.deps.Log.Warn("remove attempt's folder", "attempt", attempt, "error", err)
	})
	if err != nil {
		return nil, s.failed(err)
	}
	proc.SweepGroups()
	return connect.NewResponse(&agentrpc.ForgetResponse{}), nil
}

// Describe implements agentrpc.AgentHandler.
func (s *Service) Describe(context.Context, *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	answer := s.deps.Facts.describe(s.home)
	answer.Protocol, answer.OldestProtocol = agentrpc.NewestVersion, agentrpc.OldestVersion
	answer.NowMs = s.deps.Clock().UnixMilli()
	for _, at := range s.core.List() {
		answer.Attempts = append(answer.Attempts, at.ID)
	}
	return connect.NewResponse(answer), nil
}

// Have implements agentrpc.AgentHandler.
func (s *Service) Have(_ context.Context, req *connect.Request[agentrpc.HaveRequest]) (*connect.Response[agentrpc.HaveResponse], error) {
	digests := req.Msg.GetSha256()
	if len(digests) > maxIDs {
		return nil, invalid("at most %d packages can be asked for at once", maxIDs)
	}
	for _, digest := range digests {
		if !validDigest(digest) {
			return nil, invalid("%q is not a SHA-256 in lower-case hex", digest)
		}
	}
	missing, err := s.deps.Packages.Missing(digests)
	if err != nil {
		return nil, s.failed(err)
	}
	return connect.NewResponse(&agentrpc.HaveResponse{Missing: missing}), nil
}

// Put implements agentrpc.AgentHandler.
func (s *Service) Put(ctx context.Context, stream *connect.ClientStream[agentrpc.PutRequest]) (*connect.Response[agentrpc.PutResponse], error) {
	if !stream.Receive() {
		return nil, invalid("no header: %w", stream.Err())
	}
	header := stream.Msg().GetHeader()
	if !validDigest(header.GetSha256()) || header.GetSize() < 0 {
		return nil, invalid("the first message has to be a header with the package's size and SHA-256 in lower-case hex")
	}
	if err := s.deps.Packages.Put(ctx, header, &putReader{stream: stream, left: header.GetSize()}); err != nil {
		return nil, s.failed(fullDisk(err))
	}
	return connect.NewResponse(&agentrpc.PutResponse{}), nil
}

// putReader reads the chunks of a package, no more than the header announced.
type putReader struct {
	stream *connect.ClientStream[agentrpc.PutRequest]
	chunk  []byte
	left   int64
}

func (r *putReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if !r.stream.Receive() {
			if err := r.stream.Err(); err != nil {
				return 0, err
			}
			if r.left > 0 {
				return 0, fmt.Errorf("it ended %d bytes before the size in its header: %w", r.left, io.ErrUnexpectedEOF)
			}
			return 0, io.EOF
		}
		if r.stream.Msg().GetHeader() != nil {
			return 0, invalid("a second header")
		}
		r.chunk = r.stream.Msg().GetChunk()
		if r.left -= int64(len(r.chunk)); r.left < 0 {
			return 0, invalid("the package is larger than its header says")
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func validDigest(text string) bool {
	if len(text) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
