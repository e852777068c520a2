package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
)

const (
	// followCredit is how many bytes may be sent that the server has not yet
	// acknowledged as committed.
	followCredit = 1 << 20
	// followPoll is how often a log that has been sent is looked at again.
	followPoll = 40 * time.Millisecond
	// chunkSize is how much goes into one message.
	chunkSize = 128 << 10
)

// Follow implements agentrpc.AgentHandler. It sends the log from the first
// message's offset on, as far as credit goes, then the result, and ends. A
// server that asks again from what it has committed loses and doubles nothing
// (invariant I6).
func (s *Service) Follow(ctx context.Context, stream *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]) error {
	first, err := stream.Receive()
	if err != nil {
		return invalid("no attempt: %w", err)
	}
	if !ValidID(first.GetAttempt()) || first.GetOffset() < 0 {
		return invalid("the first message has to name an attempt and an offset from 0 on")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &follower{service: s, folder: s.folder(first.GetAttempt()), sent: first.GetOffset(), stream: stream}
	f.acked.Store(first.GetOffset())
	go f.receive(cancel)
	defer f.close()
	return f.run(ctx)
}

type follower struct {
	service *Service
	folder  Folder
	stream  *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]
	file    *os.File
	sent    int64
	acked   atomic.Int64
}

// receive takes acknowledgements until the server stops sending any.
func (f *follower) receive(cancel context.CancelCauseFunc) {
	for {
		m, err := f.stream.Receive()
		if err != nil {
			cancel(errors.New("the server has stopped following"))
			return
		}
		f.acked.Store(max(f.acked.Load(), m.GetOffset()))
	}
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}

func (f *follower) run(ctx context.Context) error {
	look := newPace(followPoll)
	defer look.stop()
	buffer := make([]byte, chunkSize)
	for {
		// The phase is looked at before the log: what the log holds at the
		// end of an attempt that has ended is all of it.
		at := f.service.core.Get(f.folder.Attempt)
		if at.Phase == Unseen || at.Phase == Closed || at.Phase == Forgotten {
			return connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no attempt %s here", f.folder.Attempt))
		}
		before := f.sent
		whole, err := f.send(buffer)
		if err != nil {
			return err
		}
		if f.sent != before {
			look.restart()
		}
		if whole && at.Phase == Ended {
			fail.Point(fail.ResultDue)
			err := f.stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Result{Result: at.Result}})
			fail.Point(fail.ResultSent)
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.next():
		}
	}
}

// send sends what there is of the log and credit for; whole says that it came
// to the log's end.
func (f *follower) send(buffer []byte) (whole bool, err error) {
	if f.file == nil {
		f.file, err = os.Open(filepath.Join(f.folder.Path, fileLog))
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	for {
		credit := f.acked.Load() + followCredit - f.sent
		if credit <= 0 {
			return false, nil
		}
		n, err := f.file.ReadAt(buffer[:min(credit, int64(len(buffer)))], f.sent)
		if n > 0 {
			output := &agentrpc.Output{Offset: f.sent, Data: buffer[:n]}
			if err := f.stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Output{Output: output}}); err != nil {
				return false, err
			}
			f.sent += int64(n)
			fail.Point(fail.OutputOut)
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// Fetch implements agentrpc.AgentHandler. Only a file that the attempt's result
// declares is read, and only within the attempt's folder.
func (s *Service) Fetch(ctx context.Context, req *connect.Request[agentrpc.FetchRequest], stream *connect.ServerStream[agentrpc.FetchResponse]) error {
	none := connect.NewError(connect.CodeNotFound, errors.New("there is no such artifact"))
	if !ValidID(req.Msg.GetAttempt()) {
		return none
	}
	at := s.core.Get(req.Msg.GetAttempt())
	var declared *agentrpc.Artifact
	for _, a := range at.Result.GetArtifacts() {
		if a.GetKey() == req.Msg.GetKey() {
			declared = a
		}
	}
	if declared == nil {
		return none
	}
	file, err := openWithin(s.folder(at.ID).Path, declared.GetKey())
	if err != nil {
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("open artifact %s: %w", declared.GetName(), err))
	}
	defer func() { _ = file.Close() }()
	content := io.LimitReader(file, declared.GetSize())
	for buffer := make([]byte, chunkSize); ; {
		n, err := content.Read(buffer)
		if n > 0 {
			if err := stream.Send(&agentrpc.FetchResponse{Chunk: buffer[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
	}
}

// openWithin opens a regular file below dir and follows no link out of it.
func openWithin(dir, key string) (*os.File, error) {
	//guard:fetch-root abuse 54: what an attempt hands in lies in its own folder; less `os.OpenRoot(dir)`, with `os.OpenRoot("/"); key = filepath.Join(dir, key)[1:]`; seen by ./internal/agent TestNoLinkLeadsOut
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(filepath.FromSlash(key))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return root.Open(filepath.FromSlash(key))
}
