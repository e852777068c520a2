package store

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// Owed is a release that a machine still has to get before it counts as
// healthy: the one desired for the key at the time its catch-up starts.
//
//	"" ──catch-up queued──► task ──proved──► Settled ──seen by the fleet──► gone
//	▲                         │
//	└──a person, a newer──────┴──ended without proof──► task and Error
//	   release, a new link
type Owed struct {
	MachineID     string
	ProjectID     string
	EnvironmentID string
	TenantID      string
	Since         int64
	Reason        string
	TaskID        string // the catch-up under way or ended; "" when there is none
	Error         string // why the last one failed
}

const (
	// Settled is the TaskID of a debt that a rollout has settled; the fleet
	// checks the machine's health again and drops it.
	Settled = "settled"
	// after, before a task's id, is the TaskID of a debt that opens when that
	// task has ended: what it proves it proves of the machine as it was before.
	after = "after/"
)

// waits is the summary of a machine that is owed a release.
const waits = "It waits for the current release of its projects."

// Owe notes that the machine has to get the desired release of every key in
// the environments before it counts as healthy, unless it was proved to run it.
func Owe(tx *Tx, machine string, environments []string, reason string) error {
	for _, environment := range environments {
		if _, err := tx.exec(`INSERT INTO owed (machine_id, project_id, environment_id, tenant_id, since, reason, task_id, error)
			SELECT $1, project_id, environment_id, tenant_id, $3, $4, '', '' FROM desired WHERE environment_id = $2 AND NOT EXISTS (SELECT 1 FROM deployed WHERE deployed.machine_id = $1
			AND deployed.project_id = desired.project_id AND deployed.environment_id = desired.environment_id
			AND deployed.tenant_id = desired.tenant_id AND deployed.release_id = desired.release_id)
			ON CONFLICT (machine_id, project_id, environment_id, tenant_id) DO UPDATE SET error = '',
			task_id = CASE WHEN substr(owed.task_id, 1, 6) = '`+after+`' THEN owed.task_id ELSE '' END`, machine, environment, tx.Now().UnixMilli(), reason); err != nil {
			return fmt.Errorf("note what %s is owed in %s: %w", machine, environment, err)
		}
	}
	owed, err := OwedTo(tx, machine)
	if err == nil && len(owed) > 0 {
		err = notHealthy(tx, machine, waits)
	}
	return errors.Join(err, lookAgain(tx, machine))
}

// MachineReplaced forgets what a machine ran and how it was: it is another one
// now, and owed every desired release of its environments. A rollout that is
// under way has begun with the machine as it was, so its release is owed once
// it has ended (fault 36).
func MachineReplaced(tx *Tx, machine string, environments []string, why string) error {
	if _, err := tx.exec(`DELETE FROM deployed WHERE machine_id = $1`, machine); err != nil {
		return fmt.Errorf("forget what %s ran: %w", machine, err)
	}
	if err := Owe(tx, machine, environments, why); err != nil {
		return err
	}
	if _, err := tx.exec(`INSERT INTO owed (machine_id, project_id, environment_id, tenant_id, since, reason, task_id, error)
		SELECT $1, task.project_id, task.environment_id, task.tenant_id, $2, $3, '`+after+`' || task.id, '' FROM member JOIN task ON task.id = member.rollout_id
		WHERE member.id = $1 AND task.state IN ('Executing', 'Cancelling') AND task.project_id <> ''
		ON CONFLICT (machine_id, project_id, environment_id, tenant_id) DO UPDATE SET task_id = excluded.task_id, error = ''`,
		machine, tx.Now().UnixMilli(), why); err != nil {
		return fmt.Errorf("note what %s is owed: %w", machine, err)
	}
	return unknownHealth(tx, machine, "It has not been checked since "+why+".")
}

// oweMissed notes that the members of a rollout that did not answer still have
// to get the release before they count as healthy.
func oweMissed(tx *Tx, p *rollout.Plan) error {
	missed, err := readRows(tx, "members", `SELECT id FROM member WHERE rollout_id = $1 AND state = 'NotDeployed' AND worker = 0`, scanText, p.Task)
	for _, machine := range missed {
		err = errors.Join(err, oweFor(tx, p, machine, "it did not answer during "+p.Task))
	}
	return err
}

// OweNewcomers notes that machines which are in a finished rollout's scope but
// were not its members have to get its release: they came while it ran.
func OweNewcomers(tx *Tx, p *rollout.Plan, inScope []rollout.Member) error {
	members, err := readRows(tx, "members", `SELECT id FROM member WHERE rollout_id = $1`, scanText, p.Task)
	known := map[string]bool{}
	for _, id := range members {
		known[id] = true
	}
	for i := range inScope {
		if m := &inScope[i]; !m.Worker && !known[m.ID] {
			err = errors.Join(err, oweFor(tx, p, m.ID, "it came while "+p.Task+" ran"))
		}
	}
	return err
}

func oweFor(tx *Tx, p *rollout.Plan, machine, reason string) error {
	if _, err := tx.exec(`INSERT INTO owed (machine_id, project_id, environment_id, tenant_id, since, reason, task_id, error) VALUES ($1,$2,$3,$4,$5,$6,'','')
		ON CONFLICT (machine_id, project_id, environment_id, tenant_id) DO UPDATE SET task_id = '', error = ''`,
		machine, p.Project.ID, p.Environment.ID, p.Tenant.ID, tx.Now().UnixMilli(), reason); err != nil {
		return fmt.Errorf("note what %s is owed: %w", machine, err)
	}
	return errors.Join(notHealthy(tx, machine, waits), lookAgain(tx, machine))
}

// settle marks the debts that the rollout's proofs have paid. A deployment to
// chosen machines pays only where it brought the desired release.
func settle(tx *Tx, p *rollout.Plan) error {
	where := []any{p.Project.ID, p.Environment.ID, p.Tenant.ID, p.Task, p.Release.ID}
	if _, err := tx.exec(`UPDATE owed SET task_id = '`+Settled+`', error = '' WHERE project_id = $1 AND environment_id = $2 AND tenant_id = $3
		AND machine_id IN (SELECT machine_id FROM deployed WHERE project_id = $1 AND environment_id = $2 AND tenant_id = $3 AND task_id = $4)
		AND EXISTS (SELECT 1 FROM desired WHERE project_id = $1 AND environment_id = $2 AND tenant_id = $3 AND release_id = $5)`, where...); err != nil {
		return fmt.Errorf("settle what the machines of %s were owed: %w", p.Task, err)
	}
	if _, err := tx.exec(`UPDATE owed SET task_id = '' WHERE task_id = $1`, after+p.Task); err != nil {
		return fmt.Errorf("open the debts that waited for %s: %w", p.Task, err)
	}
	return nil
}

// Obsolete ends a queued catch-up whose release is no longer the desired one;
// its machines are caught up with the one that is.
func Obsolete(tx *Tx, task *Task) error {
	if _, err := tx.exec(`UPDATE owed SET task_id = '' WHERE task_id = $1`, task.ID); err != nil {
		return fmt.Errorf("release machines of %s: %w", task.ID, err)
	}
	if err := cancelQueued(tx, task, "Slipway"); err != nil {
		return err
	}
	task.Error = "A newer release was deployed before this one started; the machines get that one instead."
	return errors.Join(UpdateTask(tx, task), auditTask(tx, task, resource.EventTaskStateChanged, task.Error))
}

const owedQuery = `SELECT machine_id, project_id, environment_id, tenant_id, since, reason, task_id, error FROM owed `

func scanOwed(r *sql.Rows, o *Owed) error {
	return r.Scan(&o.MachineID, &o.ProjectID, &o.EnvironmentID, &o.TenantID, &o.Since, &o.Reason, &o.TaskID, &o.Error)
}

// OwedTo reads what a machine is still owed; OwedAll also what was settled.
func OwedTo(tx *Tx, machine string) ([]Owed, error) {
	return readRows(tx, "owed", owedQuery+`WHERE machine_id = $1 AND task_id <> '`+Settled+`' ORDER BY project_id`, scanOwed, machine)
}

// OwedAll reads every release that a machine still has to get, those of one
// project, environment and tenant together.
func OwedAll(tx *Tx) ([]Owed, error) {
	return readRows(tx, "owed", owedQuery+`ORDER BY environment_id, project_id, tenant_id, machine_id`, scanOwed)
}

// OwedIn reads what the machines of one project, environment and tenant are
// owed, also what was settled.
func OwedIn(tx *Tx, project, environment, tenant string) ([]Owed, error) {
	return readRows(tx, "owed", owedQuery+`WHERE project_id = $1 AND environment_id = $2 AND tenant_id = $3 ORDER BY machine_id`, scanOwed, project, environment, tenant)
}

// SetOwed writes the catch-up task and its error; an Owed with neither waits
// for the next one. The row was read in the same transaction.
func SetOwed(tx *Tx, o *Owed) error {
	_, err := tx.exec(`UPDATE owed SET task_id = $5, error = $6 WHERE machine_id = $1 AND project_id = $2 AND environment_id = $3 AND tenant_id = $4`,
		o.MachineID, o.ProjectID, o.EnvironmentID, o.TenantID, o.TaskID, o.Error)
	if err != nil {
		return fmt.Errorf("note catch-up of %s: %w", o.MachineID, err)
	}
	return nil
}

// NotOwed forgets one debt: it is settled, the machine has none of the
// project's roles, or its environment wants no release any more.
func NotOwed(tx *Tx, o *Owed) error {
	_, err := tx.exec(`DELETE FROM owed WHERE machine_id = $1 AND project_id = $2 AND environment_id = $3 AND tenant_id = $4`,
		o.MachineID, o.ProjectID, o.EnvironmentID, o.TenantID)
	if err != nil {
		return fmt.Errorf("drop what %s is owed: %w", o.MachineID, err)
	}
	return nil
}

// MembersOf are the machines that took part in a rollout, in their order.
func MembersOf(tx *Tx, id string) ([]rollout.Member, error) {
	return readRows(tx, "members", memberQuery+`WHERE rollout_id = $1 AND worker = 0 ORDER BY ord`, scanMember, id)
}

// lookAgain lets the fleet check the machine's health at once.
func lookAgain(tx *Tx, machine string) error {
	if _, err := tx.exec(`UPDATE machine_fact SET checked_at = 0 WHERE machine_id = $1`, machine); err != nil {
		return fmt.Errorf("look at %s again: %w", machine, err)
	}
	tx.Notify(TopicSessions)
	return nil
}

// notHealthy takes good health back from a machine that has something to get
// first; unknownHealth takes back any.
func notHealthy(tx *Tx, machine, why string) error {
	m, err := Get[resource.Machine](tx, machine)
	if resource.CodeOf(err) == resource.NotFound || err == nil && m.HealthStatus != resource.Healthy && m.HealthStatus != resource.HealthWarnings {
		return nil
	}
	if err != nil {
		return err
	}
	return unknownHealth(tx, machine, why)
}

func unknownHealth(tx *Tx, machine, why string) error {
	return rewrite(tx, machine, func(m *resource.Machine) {
		m.HealthStatus, m.StatusSummary = resource.HealthUnknown, why
		if !m.IsDisabled {
			m.Status = resource.StatusUnknown
		}
	})
}
