package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// TaskState is a server task's state on the wire (octopus-api.md 2.14).
type TaskState string

// The states of a task; the last four are terminal.
const (
	TaskQueued     TaskState = "Queued"
	TaskExecuting  TaskState = "Executing"
	TaskCancelling TaskState = "Cancelling"
	TaskSuccess    TaskState = "Success"
	TaskFailed     TaskState = "Failed"
	TaskCanceled   TaskState = "Canceled"
	TaskTimedOut   TaskState = "TimedOut"
)

// Completed says that the state never changes again.
func (s TaskState) Completed() bool {
	return s == TaskSuccess || s == TaskFailed || s == TaskCanceled || s == TaskTimedOut
}

// Task is a server task. Times are unix milliseconds, 0 for "not yet".
type Task struct {
	ID            string
	Ord           int64
	SpaceID       string
	Name          string // Deploy, AutoDeploy, AdHocScript, Health …
	Description   string
	State         TaskState
	Arguments     map[string]any
	ProjectID     string
	EnvironmentID string
	TenantID      string
	DeploymentID  string
	Priority      int
	QueueTime     int64 // not before
	ExpiryTime    int64 // not after; 0 means no limit
	StartTime     int64
	CompletedTime int64
	UpdatedTime   int64
	HasWarnings   bool
	Error         string
	WaitsFor      string // what a queued task waits for, who holds it, since when
	CreatedBy     string
	Node          string
	// Asking are the kinds of question that the task waits on; FillAsking reads
	// them.
	Asking []rollout.InterruptionKind
}

const taskColumns = `id, ord, space_id, name, description, state, arguments, project_id, environment_id, tenant_id, deployment_id, priority,
	queue_time, expiry_time, start_time, completed_time, updated_time, has_warnings, error, waits_for, created_by, node`

// InsertTask stores a task; its id must have been claimed with NextID.
func InsertTask(tx *Tx, t *Task) error {
	t.Ord = resource.Ordinal(t.ID)
	t.UpdatedTime = tx.Now().UnixMilli()
	if t.QueueTime == 0 {
		t.QueueTime = t.UpdatedTime
	}
	_, err := tx.exec(`INSERT INTO task (`+taskColumns+`) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22)`,
		t.ID, t.Ord, t.SpaceID, t.Name, t.Description, t.State, jsonOrEmpty(t.Arguments), t.ProjectID, t.EnvironmentID, t.TenantID, t.DeploymentID,
		t.Priority, t.QueueTime, t.ExpiryTime, t.StartTime, t.CompletedTime, t.UpdatedTime, flag(t.HasWarnings), t.Error, t.WaitsFor, t.CreatedBy, t.Node)
	if err != nil {
		return fmt.Errorf("insert task %s: %w", t.ID, err)
	}
	notifyTask(tx, t.ID)
	tx.Notify(TopicWork)
	return nil
}

func notifyTask(tx *Tx, id string) {
	tx.Notify(TopicTasks)
	tx.Notify(TopicTasks + "/" + id)
}

// UpdateTask writes what changes as a task runs.
func UpdateTask(tx *Tx, t *Task) error {
	t.UpdatedTime = tx.Now().UnixMilli()
	_, err := tx.exec(`UPDATE task SET state = $2, start_time = $3, completed_time = $4, updated_time = $5, has_warnings = $6, error = $7, waits_for = $8, node = $9 WHERE id = $1`,
		t.ID, t.State, t.StartTime, t.CompletedTime, t.UpdatedTime, flag(t.HasWarnings), t.Error, t.WaitsFor, t.Node)
	if err != nil {
		return fmt.Errorf("update task %s: %w", t.ID, err)
	}
	notifyTask(tx, t.ID)
	return nil
}

// GetTask reads one task; NotFound when there is none.
func GetTask(tx *Tx, id string) (*Task, error) {
	list, err := readRows(tx, "task "+id, `SELECT `+taskColumns+` FROM task WHERE id = $1`, scanTask, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, resource.Missing(id)
	}
	return &list[0], nil
}

func scanTask(r *sql.Rows, t *Task) error {
	var args string
	if err := r.Scan(&t.ID, &t.Ord, &t.SpaceID, &t.Name, &t.Description, &t.State, &args, &t.ProjectID, &t.EnvironmentID, &t.TenantID, &t.DeploymentID,
		&t.Priority, &t.QueueTime, &t.ExpiryTime, &t.StartTime, &t.CompletedTime, &t.UpdatedTime, &t.HasWarnings, &t.Error, &t.WaitsFor, &t.CreatedBy, &t.Node); err != nil {
		return err
	}
	return fromJSON(args, &t.Arguments)
}

// LockKey is the key under which deployments exclude each other: one at a time
// per project, environment and tenant (fault 39).
func LockKey(p *rollout.Plan) string {
	if p.Kind == rollout.Script {
		return ""
	}
	return strings.Join([]string{p.Project.ID, p.Environment.ID, p.Tenant.ID}, "/")
}

// TakeLock takes a task's lock, or says who holds it and since when.
func TakeLock(tx *Tx, key, task string) (holder string, since int64, err error) {
	//guard:task-lock-taken I8: a lock that is held is not taken over; less `DO NOTHING`, with `DO UPDATE SET task_id = excluded.task_id`; seen by ./internal/store TestALockHasOneHolder
	if _, err := tx.exec(`INSERT INTO task_lock (lock_key, task_id, since) VALUES ($1,$2,$3) ON CONFLICT (lock_key) DO NOTHING`,
		key, task, tx.Now().UnixMilli()); err != nil {
		return "", 0, fmt.Errorf("lock %s: %w", key, err)
	}
	if err := tx.queryRow(`SELECT task_id, since FROM task_lock WHERE lock_key = $1`, key).Scan(&holder, &since); err != nil {
		return "", 0, fmt.Errorf("lock %s: %w", key, err)
	}
	return holder, since, nil
}

// FreeLock gives up the task's lock.
func FreeLock(tx *Tx, task string) error {
	if _, err := tx.exec(`DELETE FROM task_lock WHERE task_id = $1`, task); err != nil {
		return fmt.Errorf("unlock %s: %w", task, err)
	}
	tx.Notify(TopicWork)
	return nil
}

// QueuedRollouts are the tasks with a rollout that may start now, or have
// something new to say about why not; the most urgent first. Those whose time
// has not come, and those that have said for whose lock they wait, are left
// out: however many there are, they hold up no other.
func QueuedRollouts(tx *Tx, n int) ([]Task, error) {
	return readRows(tx, "queue", `SELECT `+taskColumns+` FROM task WHERE state = 'Queued' AND queue_time <= $1
		AND EXISTS (SELECT 1 FROM rollout WHERE rollout.id = task.id AND `+known()+`)
		AND (waits_for = '' OR expiry_time > 0 AND expiry_time < $1 OR NOT EXISTS (SELECT 1 FROM task_lock
			WHERE lock_key = task.project_id || '/' || task.environment_id || '/' || task.tenant_id
			AND substr(task.waits_for, 1, length(task_lock.task_id) + 1) = task_lock.task_id || ' '))
		ORDER BY priority DESC, ord LIMIT $2`, scanTask, tx.Now().UnixMilli(), n)
}

// ErrNoRollout says that a task has no rollout.
var ErrNoRollout = errors.New("the task has no rollout")

// Claim gives a queued rollout to its first owner under a new epoch.
func Claim(tx *Tx, id, owner string) (epoch int64, err error) {
	err = tx.returning(`UPDATE rollout SET owner = $2, epoch = epoch + 1 WHERE id = $1 RETURNING epoch`, []any{id, owner}, &epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNoRollout
	}
	if err != nil {
		return 0, fmt.Errorf("claim rollout %s: %w", id, err)
	}
	return epoch, nil
}

// Reschedule changes when a queued task may start.
func Reschedule(tx *Tx, t *Task) error {
	_, err := tx.exec(`UPDATE task SET queue_time = $2, expiry_time = $3 WHERE id = $1 AND state = 'Queued'`, t.ID, t.QueueTime, t.ExpiryTime)
	if err != nil {
		return fmt.Errorf("reschedule task %s: %w", t.ID, err)
	}
	tx.Notify(TopicWork)
	return nil
}
