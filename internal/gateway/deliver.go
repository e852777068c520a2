package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// logQuota is how many bytes of an attempt's log are kept (abuse 14).
const logQuota = 100 << 20

// Deliver carries out one effect on its agent. follow says that the attempt
// runs or has ended there, so that Receive has to fetch its output and result.
//
// ErrStale means to step aside; any other error that the effect is still there
// and may be tried again, over this link or the next: every step is idempotent
// by attempt id (faults 3, 4, 17). Effects of the same attempt may be delivered
// in any order (fault 18).
func (c *Core) Deliver(ctx context.Context, agent Agent, d *store.Delivery) (follow bool, err error) {
	switch {
	case d.Kind == rollout.StartAttempt:
		return c.start(ctx, agent, d)
	case d.Kind == rollout.CancelAttempt:
		return c.cancel(ctx, agent, d)
	case d.Kind == rollout.ForgetAttempt:
		return false, c.Forget(ctx, agent, []store.Delivery{*d})
	default:
		return false, fmt.Errorf("effect %s/%d/%d has the kind %q, which no agent can be sent", d.Rollout, d.Seq, d.N, d.Kind)
	}
}

func workOf(d *store.Delivery) Work {
	return Work{Attempt: d.Attempt, Rollout: d.Rollout, Machine: d.Machine, Epoch: d.Epoch}
}

// start sends the packages, then marks the attempt sent in a transaction of its
// own, and only then sends the order to start: up to that commit the attempt is
// provably not started and may be withdrawn.
func (c *Core) start(ctx context.Context, agent Agent, d *store.Delivery) (follow bool, err error) {
	for sent := false; ; sent = true {
		follow, send, err := c.startWith(ctx, agent, d)
		if err != nil || len(send) == 0 {
			return follow, err
		}
		end := notStarted("the agent's package store lost what was just sent")
		if !sent {
			if err = c.sending(ctx, d); err == nil {
				end, err = c.send(ctx, agent, send)
			}
		}
		if err != nil {
			return false, err
		}
		if end != nil {
			return c.refused(ctx, agent, d, end)
		}
	}
}

// sending tells the rollout that packages travel: that may take longer than the
// machine may be silent.
func (c *Core) sending(ctx context.Context, d *store.Delivery) error {
	return c.DB.Write(ctx, func(tx *store.Tx) error {
		return store.Post(tx, d.Rollout, "sending/"+d.Attempt, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Sending, Attempt: d.Attempt}, nil)
	})
}

// startWith starts the attempt if the agent holds its packages, and otherwise
// says which ones to send first. It does not keep the payload in memory while
// they travel.
func (c *Core) startWith(ctx context.Context, agent Agent, d *store.Delivery) (follow bool, send []*agentrpc.Package, err error) {
	free, err := c.Orders.take(ctx)
	if err != nil {
		return false, nil, err
	}
	free = sync.OnceFunc(free)
	defer free()
	order, err := c.order(ctx, d.Attempt)
	if ctx.Err() != nil {
		return false, nil, context.Cause(ctx)
	}
	if err != nil {
		c.Log.ErrorContext(ctx, "attempt cannot be rendered", "attempt", d.Attempt, "error", err)
		follow, err = c.refused(ctx, agent, d, notStarted("the server cannot prepare it: "+clip(err.Error(), maxReason)))
		return follow, nil, err
	}
	send, problem, err := c.missing(ctx, agent, order.packages)
	switch {
	case err != nil || len(send) > 0:
		return false, send, err
	case problem != "":
		follow, err = c.refused(ctx, agent, d, notStarted(problem))
		return follow, nil, err
	}
	follow, err = c.startNow(ctx, agent, d, order, free)
	return follow, nil, err
}

// startNow sends the order. answered is called once the agent has it: what the
// answer leads to waits for no payload.
func (c *Core) startNow(ctx context.Context, agent Agent, d *store.Delivery, order *order, answered func()) (follow bool, err error) {
	//guard:sent-first I1, I2, I4: an order goes out only after it is committed as sent; less `c.markSent(ctx, d)`, with `true, error(nil)`
	goes, err := c.markSent(ctx, d)
	if err != nil || !goes {
		return false, err
	}
	fail.Point(fail.Sent)
	answer, err := agent.Start(ctx, &agentrpc.StartRequest{
		Attempt: d.Attempt, Rollout: d.Rollout, Epoch: d.Epoch, Payload: order.bytes, PayloadSha256: order.sum,
	})
	answered()
	fail.Point(fail.Answered)
	switch {
	case stale(err):
		return false, c.outpaced(ctx, workOf(d))
	case refusal(err):
		return c.refused(ctx, agent, d, notStarted(reason(err)))
	case err != nil:
		return false, fmt.Errorf("start attempt %s: %w", d.Attempt, err)
	}
	return c.started(ctx, d, answer.State, answer.Result)
}

// markSent commits that the first byte is about to go out, unless the start was
// withdrawn or belongs to a former owner meanwhile.
func (c *Core) markSent(ctx context.Context, d *store.Delivery) (goes bool, err error) {
	var current bool
	err = c.DB.Write(ctx, func(tx *store.Tx) (err error) {
		//guard:epoch-delivery I4: a deliverer looks at the epoch again in the moment it sends; less `if current, err = store.Deliverable(tx, d); err != nil || !current {`, with `if current = true; err != nil {`; seen by ./internal/gateway TestStaleEpoch
		if current, err = store.Deliverable(tx, d); err != nil || !current {
			return err
		}
		//guard:withdrawn I1, I2: a start that was withdrawn is not sent; less `if goes, err = store.MarkSent(tx, d.Attempt); err != nil || goes {`, with `if goes, err = store.MarkSent(tx, d.Attempt); err != nil || !goes { goes = true }; if true {`
		if goes, err = store.MarkSent(tx, d.Attempt); err != nil || goes {
			return err
		}
		return store.Delivered(tx, d)
	})
	switch {
	case err != nil:
		return false, fmt.Errorf("mark attempt %s sent: %w", d.Attempt, err)
	case !current:
		return false, ErrStale
	default:
		return goes, nil
	}
}

// started stores the agent's answer to Start or to the question that took its
// place.
func (c *Core) started(ctx context.Context, d *store.Delivery, state agentrpc.AttemptState, result *agentrpc.Result) (follow bool, err error) {
	switch {
	case state == agentrpc.AttemptState_ATTEMPT_STATE_CLOSED:
		return false, c.endWithout(ctx, workOf(d), d, notStarted("it was closed before it started"))
	case state == agentrpc.AttemptState_ATTEMPT_STATE_ENDED && result.GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED:
		return false, c.endWithout(ctx, workOf(d), d, notStarted(clip(result.GetReason(), maxReason)))
	case state == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING, state == agentrpc.AttemptState_ATTEMPT_STATE_ENDED:
		err := c.DB.Write(ctx, func(tx *store.Tx) error {
			if err := postStarted(tx, d.Rollout, d.Attempt); err != nil {
				return err
			}
			return store.Delivered(tx, d)
		})
		if err != nil {
			return false, fmt.Errorf("record the start of attempt %s: %w", d.Attempt, err)
		}
		fail.Point(fail.Recorded)
		return true, nil
	default:
		return false, fmt.Errorf("start attempt %s: the agent answered with state %s", d.Attempt, state)
	}
}

// refused settles what an agent really did where this delivery could not start
// the attempt: an earlier one may have, and only its answer was lost. A
// tombstone proves that none did.
func (c *Core) refused(ctx context.Context, agent Agent, d *store.Delivery, end *rollout.End) (follow bool, err error) {
	answer, err := c.ask(ctx, agent, workOf(d), true)
	if err != nil {
		return false, err
	}
	//guard:closed-answer I1, I2: only a tombstone proves that an attempt never started; less `answer.State == agentrpc.AttemptState_ATTEMPT_STATE_CLOSED`, with `true`; seen by ./internal/gateway TestNothingButTheAgentProvesThatItDidNotStart
	if answer.State == agentrpc.AttemptState_ATTEMPT_STATE_CLOSED {
		return false, c.endWithout(ctx, workOf(d), d, end)
	}
	return c.started(ctx, d, answer.State, answer.Result)
}

// cancel asks the agent to end the attempt. One that it never saw is closed by
// a tombstone, so that a start that is still on its way finds it shut
// (fault 18).
func (c *Core) cancel(ctx context.Context, agent Agent, d *store.Delivery) (follow bool, err error) {
	answer, err := agent.Cancel(ctx, &agentrpc.CancelRequest{Attempt: d.Attempt, Rollout: d.Rollout, Epoch: d.Epoch, GraceMs: d.GraceMS})
	fail.Point(fail.Canceled)
	if stale(err) {
		return false, c.outpaced(ctx, workOf(d))
	}
	if err != nil {
		return false, fmt.Errorf("cancel attempt %s: %w", d.Attempt, err)
	}
	state := answer.State
	if state == agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN {
		asked, err := c.ask(ctx, agent, workOf(d), true)
		if err != nil {
			return false, err
		}
		state = asked.State
	}
	switch state {
	case agentrpc.AttemptState_ATTEMPT_STATE_CLOSED:
		return false, c.endWithout(ctx, workOf(d), d, notStarted("canceled before it started"))
	case agentrpc.AttemptState_ATTEMPT_STATE_RUNNING, agentrpc.AttemptState_ATTEMPT_STATE_ENDED:
		return true, c.delivered(ctx, []store.Delivery{*d})
	case agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN, agentrpc.AttemptState_ATTEMPT_STATE_UNSPECIFIED:
	}
	return false, fmt.Errorf("cancel attempt %s: the agent answered with state %s", d.Attempt, state)
}

// Forget lets the agent drop the records of attempts whose results are
// committed.
func (c *Core) Forget(ctx context.Context, agent Agent, list []store.Delivery) error {
	req := &agentrpc.ForgetRequest{}
	for i := range list {
		req.Attempts = append(req.Attempts, list[i].Attempt)
	}
	fail.Point(fail.Forgetting)
	_, err := agent.Forget(ctx, req)
	fail.Point(fail.Forgot)
	if refusal(err) && len(list) > 1 { // one that has not ended holds up no other
		var errs []error
		for i := range list {
			errs = append(errs, c.Forget(ctx, agent, list[i:i+1]))
		}
		return errors.Join(errs...)
	}
	if err != nil {
		return fmt.Errorf("forget %d attempts: %w", len(list), err)
	}
	return c.delivered(ctx, list)
}

func (c *Core) delivered(ctx context.Context, list []store.Delivery) error {
	err := c.DB.Write(ctx, func(tx *store.Tx) error {
		for i := range list {
			if err := store.Delivered(tx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop delivered effects: %w", err)
	}
	return nil
}
