package engine_test

import (
	"errors"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// question waits for the only open question of a task.
func (n *node) question(task string) (q *store.Interruption) {
	n.t.Helper()
	n.eventually(task+" to ask", func(tx *store.Tx) (bool, error) {
		list, _, err := store.ListInterruptions(tx, store.InterruptionQuery{Regarding: task, PendingOnly: true})
		if len(list) == 1 {
			q = &list[0]
		}
		return len(list) == 1, err
	})
	return q
}

func (n *node) answer(q *store.Interruption, guidance rollout.Guidance) {
	n.t.Helper()
	n.write(func(tx *store.Tx) error {
		q.Responsible, q.ResponsibleName = "Users-1", "admin"
		return errors.Join(store.TakeResponsibility(tx, q.ID, "Users-1", "admin"), store.AnswerInterruption(tx, q, guidance, "looked at it"))
	})
}

func approveFirst(within int64) func(p *rollout.Plan) {
	return func(p *rollout.Plan) {
		approve := rollout.Step{ID: "q", Name: "approve", Number: 1, Condition: rollout.ConditionSuccess, Actions: []rollout.Action{{
			ID: "q", Name: "approve", Type: "Octopus.Manual", Condition: rollout.ConditionSuccess,
			Manual: &rollout.Manual{Instructions: "Look.", Teams: []string{"Teams-1"}, Within: within},
		}}}
		p.Steps = append([]rollout.Step{approve}, p.Steps...)
	}
}

// fault 49: a manual intervention still waits after restarts and seven days,
// and goes on with the answer; without one it ends at its deadline, by the
// database's time.
func TestAQuestionWaitsOverRestarts(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{true, false} {
		n := newNode(t)
		web := n.machine("web1", "web")
		n.start()
		id := n.deployWith("Projects-1", approveFirst(8*24*3_600_000))
		q := n.question(id)
		if q.Kind != rollout.ManualIntervention || q.Text != "Look." || len(q.Teams) != 1 || q.Activity() == "" {
			t.Errorf("question %+v", q)
		}
		n.stop()
		n.later(7 * 24 * 3_600_000)
		n.start()
		n.settled(id)
		if again := n.question(id); again.ID != q.ID {
			t.Errorf("asked again as %s, was %s", again.ID, q.ID)
		}
		if !answered {
			n.later(25 * 3_600_000)
			n.awaitState(id, store.TaskFailed)
			n.write(func(tx *store.Tx) error {
				if err := store.TakeResponsibility(tx, q.ID, "Users-1", "admin"); resource.CodeOf(err) != resource.Conflict {
					t.Errorf("answered after the deadline: %v", err)
				}
				return nil
			})
			continue
		}
		n.answer(q, rollout.Proceed)
		n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
		n.awaitState(id, store.TaskSuccess)
	}
}

// A failure asks; the answer given while no server ran is carried out by the
// next one, and the machine is free for others meanwhile.
func TestAFailureAsksAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deployWith("Projects-1", func(p *rollout.Plan) { p.Guided = true })
	n.end(n.awaitStart(web), rollout.OutcomeFailed)
	q := n.question(id)
	other := n.deploy(rollout.Deploy, "Projects-2", "Releases-2", "web")
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	n.awaitState(other, store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, id)
		if err == nil {
			err = store.FillAsking(tx, task)
		}
		if err == nil && (len(task.Asking) != 1 || task.State != store.TaskExecuting) {
			t.Errorf("task %s asks %v", task.State, task.Asking)
		}
		return err
	})
	n.stop()
	n.answer(q, rollout.Retry)
	n.write(func(tx *store.Tx) error { // abuse 95: the second answer
		if err := store.AnswerInterruption(tx, q, rollout.Fail, ""); resource.CodeOf(err) != resource.Conflict {
			t.Errorf("the second answer: %v", err)
		}
		return nil
	})
	n.start()
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
}

// The time limit of a step wakes its rollout by itself, also after a restart.
func TestAStepsTimeLimitSurvivesARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deployWith("Projects-1", func(p *rollout.Plan) { p.Steps[0].Limit = 60_000 })
	attempt := n.awaitStart(web)
	n.settled(id)
	n.stop()
	n.later(60_001)
	n.start()
	n.eventually("the attempt to be ended", func(tx *store.Tx) (bool, error) {
		list, err := store.Deliveries(tx, web, 10)
		return len(list) == 1 && list[0].Kind == rollout.CancelAttempt && list[0].Attempt == attempt, err
	})
	n.end(attempt, rollout.OutcomeCanceled)
	n.awaitState(id, store.TaskFailed)
}
