package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// Begin marks the rollout's task as executing on this node.
func (t *Turn) Begin(node string) {
	t.task("begin", func(task *Task) {
		task.State, task.StartTime, task.WaitsFor, task.Node = TaskExecuting, t.Now(), "", node
		t.audit(task, resource.EventDeploymentStarted, "")
	})
}

// Finish ends the task with the rollout and records what its machines run now,
// all in the turn's transaction: there is no gap between the last step and the
// end (fault 6).
func (t *Turn) Finish(p *rollout.Plan, row *rollout.Row) {
	t.task("finish", func(task *Task) {
		task.State = map[rollout.State]TaskState{
			rollout.Succeeded: TaskSuccess, rollout.Failed: TaskFailed, rollout.Canceled: TaskCanceled,
		}[row.State]
		task.CompletedTime, task.HasWarnings, task.Error, task.WaitsFor = t.Now(), row.Warnings > 0, row.Error, ""
		//guard:audit-end I11: the end of a task and its record in the audit are one transaction; seen by ./internal/store TestTheEndOfATaskIsAudited
		t.audit(task, resource.EventTaskStateChanged, row.Error)
	})
	t.fail("free lock", FreeLock(t.tx, t.id))
	if p.Kind == rollout.Script || t.err != nil {
		return
	}
	t.fail("finish", t.ship(p, row))
	if p.RollBack && row.State == rollout.Failed && row.Failures > 0 && !p.Limited() {
		t.exec("ask for roll back", `INSERT INTO roll_back (task_id, at) VALUES ($1,$2) ON CONFLICT (task_id) DO NOTHING`, t.id, t.Now())
	}
}

// RollBacks are the failed tasks whose environment is to get the release before
// back, oldest first.
func RollBacks(tx *Tx) ([]string, error) {
	return readRows(tx, "roll backs", `SELECT task_id FROM roll_back ORDER BY at, task_id`, scanText)
}

// RolledBack notes that what was to be done about a failed task is done.
func RolledBack(tx *Tx, task string) error {
	if _, err := tx.exec(`DELETE FROM roll_back WHERE task_id = $1`, task); err != nil {
		return fmt.Errorf("note roll back of %s: %w", task, err)
	}
	return nil
}

// ship records what the environment and its machines run from now on.
func (t *Turn) ship(p *rollout.Plan, row *rollout.Row) error {
	whole := p.Kind == rollout.Deploy && !p.Limited()
	done, err := shipped(t.tx, p, row)
	if err != nil {
		return err
	}
	if whole && done {
		err = SetDesired(t.tx, &Desired{
			SpaceID: p.Space.ID, ProjectID: p.Project.ID, EnvironmentID: p.Environment.ID, TenantID: p.Tenant.ID,
			ReleaseID: p.Release.ID, DeploymentID: p.Deployment.ID, TaskID: p.Task,
		})
	}
	err = errors.Join(err, SetDeployed(t.tx, p, row), noteDeployed(t.tx, p))
	if whole && done {
		err = errors.Join(err, oweMissed(t.tx, p))
	}
	return err
}

// noteDeployed lists in the deployment the machines that were proved to run its
// release: one that was skipped, silent or deleted is not among them (P1).
func noteDeployed(tx *Tx, p *rollout.Plan) error {
	machines, err := readRows(tx, "deployed machines", `SELECT machine_id FROM deployed WHERE task_id = $1 ORDER BY machine_id`, scanText, p.Task)
	if err != nil || len(machines) == 0 {
		return err
	}
	return rewrite(tx, p.Deployment.ID, func(d *resource.Deployment) { d.DeployedToMachineIDs = machines })
}

// audit records a change of the task's state in the turn's own transaction.
func (t *Turn) audit(task *Task, category, details string) {
	t.fail("audit", auditTask(t.tx, task, category, details))
}

func auditTask(tx *Tx, task *Task, category, details string) error {
	switch {
	case task.DeploymentID == "" && category == resource.EventDeploymentStarted:
		return nil
	case task.State == TaskSuccess && task.DeploymentID != "":
		category = resource.EventDeploymentSucceeded
	case task.State == TaskFailed && task.DeploymentID != "":
		category = resource.EventDeploymentFailed
	case task.State == TaskSuccess:
		category = resource.EventTaskSucceeded
	case task.State == TaskFailed:
		category = resource.EventTaskFailed
	case task.State == TaskCanceled:
		category = resource.EventTaskCanceled
	}
	return Audit(tx, AuditRecord{
		Category: category, SpaceID: task.SpaceID, Details: details,
		Message: fmt.Sprintf("%s: %s", task.Description, strings.ToLower(string(task.State))),
		Related: []string{task.ID, task.DeploymentID, task.ProjectID, task.EnvironmentID},
	})
}

// Canceling marks the task as being canceled.
func (t *Turn) Canceling() {
	t.task("cancel", func(task *Task) { task.State = TaskCancelling })
}

func (t *Turn) task(what string, change func(*Task)) {
	if t.err != nil {
		return
	}
	task, err := GetTask(t.tx, t.id)
	if err == nil {
		change(task)
		err = UpdateTask(t.tx, task)
	}
	t.fail(what, err)
}

// CancelTask asks for the end of a task: at once while it is queued, through
// its rollout's owner once it runs. A completed task is refused.
func CancelTask(tx *Tx, id, by string) error {
	task, err := GetTask(tx, id)
	if err != nil {
		return err
	}
	switch {
	//guard:end-is-end I7: what has ended is not canceled; seen by ./internal/store TestAnEndIsAnEnd
	case task.State.Completed():
		return resource.Errorf(resource.PreconditionFailed, "The task '%s' has already ended (%s); there is nothing to cancel.", id, task.State)
	case task.State == TaskQueued:
		return cancelQueued(tx, task, by)
	}
	task.State = TaskCancelling
	if err := UpdateTask(tx, task); err != nil {
		return err
	}
	if _, _, err := loadRow(tx, id); errors.Is(err, sql.ErrNoRows) {
		return nil // a health task: the fleet sees its state
	}
	return Post(tx, id, "cancel", rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Cancel, By: by}, nil)
}

func cancelQueued(tx *Tx, task *Task, by string) error {
	task.State, task.CompletedTime, task.WaitsFor = TaskCanceled, tx.Now().UnixMilli(), ""
	task.Error = "Canceled by " + by + " before it started."
	if _, err := tx.exec(`UPDATE rollout SET state = $2, canceled_by = $3, error = $4 WHERE id = $1`, task.ID, rollout.Canceled, by, task.Error); err != nil {
		return fmt.Errorf("cancel rollout %s: %w", task.ID, err)
	}
	return UpdateTask(tx, task)
}

// ExpireTask ends a task that did not start before its "no run after".
func ExpireTask(tx *Tx, task *Task) error {
	task.State, task.CompletedTime, task.WaitsFor = TaskTimedOut, tx.Now().UnixMilli(), ""
	task.Error = "The task did not start before its latest start time."
	if _, err := tx.exec(`UPDATE rollout SET state = $2, error = $3 WHERE id = $1`, task.ID, rollout.Canceled, task.Error); err != nil {
		return fmt.Errorf("expire rollout %s: %w", task.ID, err)
	}
	return errors.Join(UpdateTask(tx, task), auditTask(tx, task, resource.EventTaskStateChanged, task.Error))
}
