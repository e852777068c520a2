package fleet_test

import (
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

func (w *world) rollsBack() {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, w.project.VariableSetID)
		if err != nil {
			return err
		}
		set.Variables = append(set.Variables, resource.Variable{Name: deploy.RollBack, Value: "Automatic"})
		return store.Update(tx, set)
	})
}

// A deployment that fails is followed by one of the release before, once; that
// one is not rolled back when it fails as well.
func TestRollBackToTheReleaseBefore(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(map[bool]string{false: "works", true: "fails as well"}[fails], func(t *testing.T) {
			story(t, func(w *world) {
				w.rollsBack() // also in the release that is rolled back to
				ids, before := w.shipped(1)
				w.agents.tell(ids[0], func(attempt string) rollout.Outcome {
					if len(w.agents.started(ids[0])) == 2 || fails {
						return rollout.OutcomeFailed
					}
					return rollout.OutcomeSucceeded
				})
				_, task := w.ship(w.project)
				w.ends(task, store.TaskFailed)
				want := store.TaskSuccess
				if fails {
					want = store.TaskFailed
				}
				w.within(soon, "the roll back has ended", func(*store.Tx) (bool, error) {
					list := w.tasks(string(rollout.Deploy))
					return len(list) == 3 && list[0].State.Completed() && list[1].State.Completed() && list[2].State.Completed(), nil
				})
				w.quiet()
				w.pass(time.Minute) // nothing follows it
				list := w.tasks(string(rollout.Deploy))
				if len(list) != 3 {
					w.t.Fatalf("%d deployments", len(list))
				}
				back := list[0]
				if back.Ord < list[2].Ord {
					back = list[2]
				}
				if back.State != want {
					w.t.Errorf("the roll back ended %s: %s", back.State, back.Error)
				}
				if got := w.runs(ids[0], w.project); !fails && got != before.ID {
					w.t.Errorf("the machine runs %q, want %q", got, before.ID)
				}
			})
		})
	}
}
