package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// fault 15: server and agent are parted while a script runs. For 10 s, nobody
// notices more than a link that was lost. For 10 min, within the patience of
// the machine's policy, the machine is unreachable, the script goes on, and its
// result is taken when it comes. For ever, the end of the patience, or of the
// step's time, makes the end unknown: the deployment is not green, nothing is
// started again, and a result that comes after all changes nothing.
func TestPartedFromTheServer(t *testing.T) {
	const forEver = 3 * time.Hour // nothing is different after more
	for name, tc := range map[string]struct {
		apart    time.Duration
		patience time.Duration
		limit    string // of the step
		state    store.TaskState
		outcome  rollout.Outcome
		says     string
	}{
		"10 s":                         {10 * time.Second, 15 * time.Minute, "", store.TaskSuccess, rollout.OutcomeSucceeded, ""},
		"10 min":                       {10 * time.Minute, 15 * time.Minute, "", store.TaskSuccess, rollout.OutcomeSucceeded, ""},
		"10 min, less patience":        {10 * time.Minute, 2 * time.Minute, "", store.TaskFailed, rollout.OutcomeUnknown, "did not answer for 120 s"},
		"for ever":                     {forEver, 15 * time.Minute, "", store.TaskFailed, rollout.OutcomeUnknown, "did not answer for 900 s"},
		"for ever, the step has limit": {forEver, 2 * time.Hour, "5", store.TaskFailed, rollout.OutcomeUnknown, "90 s after its time limit"},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(w *world) {
				w.patience(tc.patience)
				s := step("Install", "web")
				if tc.limit != "" {
					s.Properties[steps.StepTimeLimit] = resource.Text(tc.limit)
				}
				w.process(w.project, s)
				id := w.machines(1)[0]
				finish := w.hold(id)
				release, task := w.ship(w.project)
				w.within(soon, "the script runs", func(*store.Tx) (bool, error) { return len(w.agents.started(id)) == 1, nil })
				w.disconnect(id)
				w.pass(tc.apart)
				if health := w.get(id).HealthStatus; tc.apart > time.Minute && health != resource.HealthUnavailable {
					t.Errorf("after %s it is %s", tc.apart, health)
				}
				if tc.state == store.TaskSuccess {
					if state := w.task(task).State; state != store.TaskExecuting {
						t.Fatalf("after %s the task is %s", tc.apart, state)
					}
				} else {
					w.ends(task, tc.state)
				}
				ended := w.details(task)
				finish() // the result comes when the link is there again
				w.connect(id)
				w.ends(task, tc.state)
				w.quiet()
				now := w.details(task)
				if a := now.Attempts; len(a) != 1 || a[0].Outcome != tc.outcome || !strings.Contains(now.Cells[0].Reason, tc.says) {
					t.Errorf("attempts %+v, cell %+v", a, now.Cells[0])
				}
				if tc.state == store.TaskFailed && (ended.Cells[0] != now.Cells[0] || w.wants(w.project) == release.ID) {
					t.Errorf("a late result changed %+v into %+v", ended.Cells[0], now.Cells[0])
				}
				if n := len(w.agents.started(id)); n != 1 {
					t.Errorf("%d starts", n)
				}
			})
		})
	}
}

// patience is how long a silent machine is waited for.
func (w *world) patience(d time.Duration) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
		if err != nil {
			return err
		}
		policy.PollingRequestQueueTimeout = resource.TimeSpan(d)
		return store.Update(tx, policy)
	})
}

func (w *world) details(task string) (view *store.RolloutView) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		view, err = store.ViewRollout(tx, task)
		return err
	})
	return view
}
