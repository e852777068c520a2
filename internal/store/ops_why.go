package store

import (
	"database/sql"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// Slot is a place in a machine's queue. Times are unix milliseconds.
type Slot struct {
	Rollout   string
	Cell      rollout.CellKey
	Since     int64
	GrantedAt int64 // 0: it waits
}

// SlotsOf is a machine's queue: who holds it, and then who waits, in order.
func SlotsOf(tx *Tx, machine string) ([]Slot, error) {
	return readRows(tx, "slots of "+machine, `SELECT rollout_id, step, action, member, since, granted_at FROM slot WHERE machine = $1
		ORDER BY CASE WHEN granted_at > 0 THEN 0 ELSE 1 END, n`,
		func(r *sql.Rows, s *Slot) error {
			return r.Scan(&s.Rollout, &s.Cell.Step, &s.Cell.Action, &s.Cell.Member, &s.Since, &s.GrantedAt)
		}, machine)
}

// Part is a machine's part in a rollout, as its own rows have it.
type Part struct {
	Task   Task
	Member rollout.Member
	Cells  []rollout.Cell // by step and action
}

// PartsOf are the last n rollouts that a machine took part in, newest first,
// and those that have not ended whatever their number.
func PartsOf(tx *Tx, machine string, n int) ([]Part, error) {
	ids, err := readRows(tx, "rollouts of "+machine, `SELECT task.id FROM member JOIN task ON task.id = member.rollout_id
		WHERE member.id = $1 ORDER BY CASE WHEN task.state IN ('Queued', 'Executing', 'Cancelling') THEN 0 ELSE 1 END, task.ord DESC LIMIT $2`, scanText, machine, max(n, 1))
	if err != nil {
		return nil, err
	}
	var parts []Part
	for _, id := range ids {
		part, err := partOf(tx, machine, id)
		if err != nil {
			return nil, err
		}
		parts = append(parts, *part)
	}
	return parts, nil
}

func partOf(tx *Tx, machine, id string) (*Part, error) {
	task, err := GetTask(tx, id)
	if err != nil {
		return nil, err
	}
	members, err := readRows(tx, "member", memberQuery+`WHERE rollout_id = $1 AND id = $2`, scanMember, id, machine)
	if err != nil {
		return nil, err
	}
	part := &Part{Task: *task}
	if len(members) > 0 {
		part.Member = members[0]
	}
	plan, err := LoadPlan(tx, id)
	if err != nil {
		return nil, err
	}
	for step := range plan.Steps { // each a look-up by the whole key
		for action := range plan.Steps[step].Actions {
			cells, err := readRows(tx, "cell", cellQuery+`WHERE rollout_id = $1 AND step = $2 AND action = $3 AND member = $4`, scanCell, id, step, action, machine)
			if err != nil {
				return nil, err
			}
			part.Cells = append(part.Cells, cells...)
		}
	}
	return part, nil
}

// OpenSteps are the steps of a rollout that run now.
func OpenSteps(tx *Tx, id string) ([]rollout.StepRow, error) {
	return readRows(tx, "open steps", stepQuery+`WHERE rollout_id = $1 AND state = 'Open' ORDER BY idx`, scanStep, id)
}

// DeployedIn are the releases that the machines of an environment were proved
// to run.
func DeployedIn(tx *Tx, environment string) ([]Deployed, error) {
	return readRows(tx, "deployed", `SELECT machine_id, project_id, environment_id, tenant_id, release_id, task_id, at FROM deployed
		WHERE environment_id = $1 ORDER BY project_id, machine_id`, scanDeployed, environment)
}

func scanDeployed(r *sql.Rows, d *Deployed) error {
	return r.Scan(&d.MachineID, &d.ProjectID, &d.EnvironmentID, &d.TenantID, &d.ReleaseID, &d.TaskID, &d.At)
}
