package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/store"
)

// Receive takes in an attempt's output and its result until the result is
// committed. The output goes on from the committed length, whatever ended the
// stream before; a piece is acknowledged to the agent only once it is committed
// (invariants I5, I6). An error means that the result is not stored and Receive
// may be called again, over this link or the next.
//
// A result that declares more output than the agent sends is asked for once
// more from the committed length; then it counts, and says that its log is
// incomplete (fault 18).
func (c *Core) Receive(ctx context.Context, agent Agent, w Work, skew int64) error {
	for again := false; ; again = true {
		result, length, err := c.follow(ctx, agent, w)
		if err != nil {
			return fmt.Errorf("follow attempt %s: %w", w.Attempt, err)
		}
		if length < result.LogLength && !again {
			continue
		}
		return c.finish(ctx, agent, w, result, length, skew)
	}
}

// follow reads one stream to its result.
func (c *Core) follow(ctx context.Context, agent Agent, w Work) (result *agentrpc.Result, length int64, err error) {
	length, err = c.Logs.Length(ctx, w.Attempt)
	if err != nil {
		return nil, 0, err
	}
	stream, err := agent.Follow(ctx, w.Attempt, length)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = stream.Close() }()
	for {
		message, err := stream.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil, 0, errors.New("the stream ended before the result")
		case err != nil:
			return nil, 0, err
		}
		if result := message.GetResult(); result != nil {
			fail.Point(fail.ResultIn)
			return result, length, nil
		}
		fail.Point(fail.OutputIn)
		length, err = c.keep(ctx, w, length, message.GetOutput())
		if err == nil {
			fail.Point(fail.OutputKept)
			//guard:ack-committed I6: output is acknowledged only up to where it is committed; less `length`, with `length + 1`
			err = stream.Acknowledge(length)
		}
		if err != nil {
			return nil, 0, err
		}
		fail.Point(fail.OutputAcked)
	}
}

// quotaMarker is the end of a log that its agent let grow over the quota.
const quotaMarker = "\n0\twarning\tThe rest of this log is cut off: it is longer than the server keeps.\n"

const (
	// keepMost bounds the bytes kept of a log: the quota that the agent was
	// told, and room for its own marker.
	keepMost = logQuota + logQuota/64
	// appendMost bounds one piece for the log's committer.
	appendMost = 1 << 20
)

// keep commits one piece of output and returns up to where the log is done
// with: committed or, beyond a bound that a sound agent never reaches, dropped
// (abuse 14).
func (c *Core) keep(ctx context.Context, w Work, length int64, out *agentrpc.Output) (int64, error) {
	if out == nil || out.Offset < 0 || out.Offset > length {
		return 0, fmt.Errorf("the agent sent output from %d, the log ends at %d", out.GetOffset(), length)
	}
	end := out.Offset + int64(len(out.Data))
	if end <= length {
		return length, nil // sent before: committed, and then the link broke
	}
	//guard:log-overlap I6: bytes that were sent before are not added again; less `[length-out.Offset:]`
	data := out.Data[length-out.Offset:]
	if end <= keepMost {
		return end, c.append(ctx, w.Attempt, length, data)
	}
	if length > keepMost {
		return end, nil
	}
	return end, c.append(ctx, w.Attempt, length, append(data[:keepMost-length:keepMost-length], quotaMarker...))
}

func (c *Core) append(ctx context.Context, attempt string, offset int64, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), appendMost)
		committed, err := c.Logs.Append(ctx, []store.LogChunk{{Attempt: attempt, Offset: offset, Data: data[:n]}})
		if err != nil {
			return err
		}
		offset += int64(n)
		data = data[n:]
		if committed[attempt] < offset {
			return fmt.Errorf("the log ends at %d, not at %d", committed[attempt], offset)
		}
	}
	return nil
}

// Resume finds out what became of an attempt that was sent over an earlier
// link: it is followed, still to be started, or closed.
func (c *Core) Resume(ctx context.Context, agent Agent, r *store.RunningAttempt) (follow bool, err error) {
	w := Work{Attempt: r.ID, Rollout: r.Rollout, Machine: r.Executor, Epoch: r.Epoch}
	answer, err := c.ask(ctx, agent, w, false)
	if err != nil {
		return false, err
	}
	switch answer.State {
	case agentrpc.AttemptState_ATTEMPT_STATE_RUNNING:
		return true, nil
	case agentrpc.AttemptState_ATTEMPT_STATE_ENDED:
		if answer.Result.GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED {
			return false, c.endWithout(ctx, w, nil, notStarted(clip(answer.Result.GetReason(), maxReason)))
		}
		return true, nil
	case agentrpc.AttemptState_ATTEMPT_STATE_CLOSED:
		if r.Started {
			return false, c.endWithout(ctx, w, nil, unknown("the agent no longer has the record of it"))
		}
		return false, c.endWithout(ctx, w, nil, notStarted("it was closed before it started"))
	case agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN:
		if r.StartPending {
			return false, nil // the effect is still there: the same attempt is sent again (fault 3)
		}
		return false, c.endWithout(ctx, w, nil, unknown("the agent's journal has no record of it"))
	case agentrpc.AttemptState_ATTEMPT_STATE_UNSPECIFIED:
	}
	return false, fmt.Errorf("query attempt %s: the agent answered with state %s", r.ID, answer.State)
}
