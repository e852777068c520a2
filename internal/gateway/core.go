package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Records is the database as the core uses it.
type Records interface {
	Read(ctx context.Context, f func(*store.Tx) error) error
	// Write commits f, alone or together with others: f may run more than once
	// and must leave the same result each time.
	Write(ctx context.Context, f func(*store.Tx) error) error
}

// Logs keeps the output of attempts, as store.Logs does: bytes that are there
// are not added again, and a piece beyond the end is not taken (invariant I6).
type Logs interface {
	Length(ctx context.Context, attempt string) (int64, error)
	Append(ctx context.Context, chunks []store.LogChunk) (map[string]int64, error)
}

// Core is what the gateway does, as synchronous functions. It may be used by
// any number of goroutines at once.
type Core struct {
	DB    Records
	Logs  Logs
	Blobs blob.Store
	Log   *slog.Logger
	// Orders bounds the payloads in memory at once, and Transfers the packages
	// on their way; nil means no bound.
	Orders    Slots
	Transfers Slots
	// Contest is for how long a machine whose identity was in use twice has to be
	// linked once before it gets work again; a minute when 0.
	Contest time.Duration
}

// contest is the default of Core.Contest: longer than any agent waits between
// two tries.
const contest = time.Minute

// Slots bounds how many do something at once, by its capacity.
type Slots chan struct{}

// take waits for a slot; free gives it back.
func (s Slots) take(ctx context.Context) (free func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Work is an attempt that an agent has been given: what to follow, and for
// which rollout under which epoch.
type Work struct {
	Attempt string
	Rollout string
	Machine string // that has it
	Epoch   int64
}

// ErrStale says that a newer owner of the rollout exists: this effect is not
// for us to deliver (design 5.5).
var ErrStale = errors.New("the rollout has a newer owner")

// refusal is an answer of the agent that says no; anything else is trouble
// with the link, after which nothing is known.
func refusal(err error) bool {
	if err == nil || !connect.IsWireError(err) {
		return false
	}
	code := connect.CodeOf(err)
	return code != connect.CodeUnavailable && code != connect.CodeCanceled && code != connect.CodeDeadlineExceeded
}

// stale says that the agent has heard of a higher epoch (abuse 12, fault 30).
func stale(err error) bool {
	return refusal(err) && connect.CodeOf(err) == connect.CodeFailedPrecondition && strings.Contains(err.Error(), staleWords)
}

// staleWords are part of the text with which an agent refuses a lower epoch.
const staleWords = "stale epoch"

// reason is an agent's refusal as a sentence, cut to a size that fits a row.
func reason(err error) string {
	text := err.Error()
	if e := new(connect.Error); errors.As(err, &e) {
		text = e.Message()
	}
	return clip(text, maxReason)
}

// maxReason bounds a reason's bytes.
const maxReason = 2000

// notStarted is the end of an attempt that provably did not start and may start
// another time.
func notStarted(why string) *rollout.End {
	return &rollout.End{Outcome: rollout.OutcomeNotStarted, Reason: why, Retry: true}
}

// neverStarts is the end of one for a reason that does not pass by itself.
func neverStarts(why string) *rollout.End {
	return &rollout.End{Outcome: rollout.OutcomeNotStarted, Reason: why}
}

// postStarted tells the rollout that the agent has journaled the attempt.
func postStarted(tx *store.Tx, id, attempt string) error {
	return store.Post(tx, id, "started/"+attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Started, Attempt: attempt}, nil)
}

// postEnded tells the rollout how the attempt ended.
func postEnded(tx *store.Tx, id, attempt string, end *rollout.End, boxes map[int][]byte) error {
	return store.Post(tx, id, "ended/"+attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: attempt, End: end}, boxes)
}

// endWithout closes an attempt that left no result on the agent, and the
// effect that led to that, if any, in one transaction.
func (c *Core) endWithout(ctx context.Context, w Work, d *store.Delivery, end *rollout.End) error {
	err := c.DB.Write(ctx, func(tx *store.Tx) error {
		if err := postEnded(tx, w.Rollout, w.Attempt, end, nil); err != nil || d == nil {
			return err
		}
		return store.Delivered(tx, d)
	})
	if err != nil {
		return fmt.Errorf("close attempt %s: %w", w.Attempt, err)
	}
	return nil
}

// outpaced is ErrStale. Where the database itself knows of no newer owner than
// the agent refused, it has lost its last commits (fault 24): the rollout goes
// on under an epoch that is newer than all that the agents have heard of.
func (c *Core) outpaced(ctx context.Context, w Work) error {
	lost := false
	err := c.DB.Write(ctx, func(tx *store.Tx) (err error) {
		lost, err = store.Outpace(tx, w.Rollout, w.Epoch)
		return err
	})
	if lost {
		c.Log.ErrorContext(ctx, "the database has lost commits: an agent knows a newer owner of the rollout than it does; set its standby up to be synchronous",
			"rollout", w.Rollout, "attempt", w.Attempt)
	}
	return errors.Join(ErrStale, err)
}

// ask queries the agent about an attempt; with shut it will never start if it
// has not yet.
func (c *Core) ask(ctx context.Context, agent Agent, w Work, shut bool) (*agentrpc.QueryResponse, error) {
	answer, err := agent.Query(ctx, &agentrpc.QueryRequest{Attempt: w.Attempt, Rollout: w.Rollout, Epoch: w.Epoch, Close: shut})
	fail.Point(fail.Asked)
	if stale(err) {
		return nil, c.outpaced(ctx, w)
	}
	if err != nil {
		return nil, fmt.Errorf("query attempt %s: %w", w.Attempt, err)
	}
	return answer, nil
}
