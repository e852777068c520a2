package gateway

import (
	"context"
	"errors"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/store"
)

// tidyAtOnce bounds the records that one ping looks at.
const tidyAtOnce = 64

// Tidy forgets those of the attempts, which the machine's agent keeps, that
// have ended there and are closed here. One that still runs there is left
// alone, whatever is known of it here.
func (c *Core) Tidy(ctx context.Context, agent Agent, machine string, kept []string) error {
	for _, attempt := range kept[:min(len(kept), tidyAtOnce)] {
		var closed *store.ClosedAttempt
		err := c.DB.Read(ctx, func(tx *store.Tx) (err error) {
			closed, err = store.FindClosedAttempt(tx, machine, attempt)
			return err
		})
		if err != nil {
			return err
		}
		if closed == nil {
			continue
		}
		answer, err := c.ask(ctx, agent, Work{Attempt: attempt, Rollout: closed.Rollout, Epoch: closed.Epoch}, false)
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return err
		}
		if answer.State == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
			continue
		}
		if _, err := agent.Forget(ctx, &agentrpc.ForgetRequest{Attempts: []string{attempt}}); err != nil {
			return err
		}
	}
	return nil
}
