package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// tidyAtOnce bounds the records that one ping looks at.
const tidyAtOnce = 64

// Tidy forgets those of the attempts, which the machine's agent keeps, that
// have ended there and are closed here. One that still runs there is left
// alone, whatever is known of it here. One that these data do not know is from
// after the backup that they were restored from: it is listed, and stays on the
// machine until a person has confirmed the restore (fault 33).
func (c *Core) Tidy(ctx context.Context, agent Agent, machine string, kept []string) error {
	r, err := c.restoredFor(ctx, machine)
	if err != nil {
		return err
	}
	for looked := 0; len(kept) > 0 && looked < tidyAtOnce; kept = kept[1:] {
		if r.held && r.ended[kept[0]] {
			continue
		}
		looked++
		if err := c.tidyOne(ctx, agent, machine, kept[0], r); err != nil && !errors.Is(err, ErrStale) {
			return err
		}
	}
	return nil
}

// restored is what Tidy needs to know of the last restore from a backup.
type restored struct {
	epoch int64 // to ask under about what these data do not know; 0: never restored
	held  bool
	ended map[string]bool // attempts listed with their ends
}

func (c *Core) restoredFor(ctx context.Context, machine string) (r restored, err error) {
	err = c.DB.Read(ctx, func(tx *store.Tx) error {
		var errs [3]error
		var list []store.UnmatchedAttempt
		r.epoch, errs[0] = store.AskingEpoch(tx)
		//guard:restore-hold fault 33: what happened after the backup is not forgotten before a person has seen it; less `store.Held(tx)`, with `false, error(nil)`; seen by ./internal/gateway TestAgentKnowsMoreThanTheBackup
		r.held, errs[1] = store.Held(tx)
		list, errs[2] = store.Unmatched(tx, machine)
		r.ended = map[string]bool{}
		for _, u := range list {
			r.ended[u.Attempt] = u.State == attemptEnded
		}
		return errors.Join(errs[:]...)
	})
	return r, err
}

func (c *Core) tidyOne(ctx context.Context, agent Agent, machine, attempt string, r restored) error {
	var closed *store.ClosedAttempt
	var known bool
	err := c.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if closed, err = store.FindClosedAttempt(tx, machine, attempt); err == nil && closed == nil {
			known, err = store.AttemptKnown(tx, machine, attempt)
		}
		return err
	})
	switch {
	case err != nil || known:
		return err
	case closed != nil:
		return c.tidyClosed(ctx, agent, machine, attempt, closed)
	default:
		return c.tidyUnmatched(ctx, agent, machine, attempt, r)
	}
}

func (c *Core) tidyClosed(ctx context.Context, agent Agent, machine, attempt string, closed *store.ClosedAttempt) error {
	answer, err := c.ask(ctx, agent, Work{Attempt: attempt, Rollout: closed.Rollout, Epoch: closed.Epoch}, false)
	if err != nil {
		return err
	}
	if closed.Outcome == rollout.OutcomeUnknown {
		if err := c.note(ctx, machine, attempt, answer); err != nil {
			return err
		}
	}
	if answer.State == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		return nil
	}
	_, err = agent.Forget(ctx, &agentrpc.ForgetRequest{Attempts: []string{attempt}})
	return err
}

// tidyUnmatched lists the attempt with what its agent says. It asks under an
// epoch from after the restore: no node of before it starts anything there any
// more.
func (c *Core) tidyUnmatched(ctx context.Context, agent Agent, machine, attempt string, r restored) error {
	id, _, _ := strings.Cut(attempt, ".")
	if r.epoch == 0 || id == "" {
		return nil
	}
	answer, err := c.ask(ctx, agent, Work{Attempt: attempt, Rollout: id, Epoch: r.epoch}, false)
	if err != nil {
		return err
	}
	if err := c.note(ctx, machine, attempt, answer); err != nil || r.held || answer.State == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		return err
	}
	_, err = agent.Forget(ctx, &agentrpc.ForgetRequest{Attempts: []string{attempt}})
	return err
}

// What an agent says of an attempt that the data do not know.
const (
	attemptRuns  = "Running"
	attemptEnded = "Ended"
)

// note lists what the agent says of the attempt, where that is new.
func (c *Core) note(ctx context.Context, machine, attempt string, answer *agentrpc.QueryResponse) error {
	now := store.UnmatchedAttempt{Machine: machine, Attempt: attempt, State: attemptEnded}
	if answer.State == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		now.State = attemptRuns
	} else if r := answer.GetResult(); r != nil {
		now.Outcome, now.Reason = string(outcomes[r.Outcome]), clip(r.GetReason(), maxReason)
	}
	var same bool
	err := c.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := store.Unmatched(tx, machine)
		for _, u := range list {
			same = same || u.Attempt == attempt && u.State == now.State && u.Outcome == now.Outcome
		}
		return err
	})
	if err != nil || same {
		return err
	}
	if err := c.DB.Write(ctx, func(tx *store.Tx) error { return store.SaveUnmatched(tx, &now) }); err != nil {
		return fmt.Errorf("list attempt %s: %w", attempt, err)
	}
	return nil
}
