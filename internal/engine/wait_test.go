package engine_test

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// fault 40: what waits for a machine says which task holds it, and since when.
func TestAWaitSaysWhoHoldsTheMachine(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	first := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	attempt := n.awaitStart(web)
	second := n.deploy(rollout.Deploy, "Projects-2", "Releases-2", "web")
	n.awaitState(second, store.TaskExecuting)
	n.settled(second)
	n.read(func(tx *store.Tx) error {
		view, err := store.ViewRollout(tx, second)
		if err != nil {
			return err
		}
		wait := view.Waits[rollout.CellKey{Member: web}]
		if wait.Holder != first || wait.HeldSince == 0 || wait.Since < wait.HeldSince {
			t.Errorf("it waits for %+v, want %s", wait, first)
		}
		holder, err := store.ViewRollout(tx, first)
		if err == nil && len(holder.Waits) != 0 {
			t.Errorf("the holder waits for %+v", holder.Waits)
		}
		return err
	})
	n.end(attempt, rollout.OutcomeSucceeded)
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	n.awaitState(second, store.TaskSuccess)
}
