package store

import (
	"database/sql"
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// Desired says what the machines of an environment should run (design 8).
type Desired struct {
	SpaceID           string
	ProjectID         string
	EnvironmentID     string
	TenantID          string
	ReleaseID         string
	DeploymentID      string
	PreviousReleaseID string
	TaskID            string
	UpdatedAt         int64
}

// SetDesired records the release that succeeded last for its key; the one
// before becomes the previous.
func SetDesired(tx *Tx, d *Desired) error {
	_, err := tx.exec(`INSERT INTO desired (space_id, project_id, environment_id, tenant_id, release_id, deployment_id, previous_release_id, task_id, updated_at)
		VALUES ($1,$2,$3,$4,$5,$6,'',$7,$8)
		ON CONFLICT (project_id, environment_id, tenant_id) DO UPDATE SET previous_release_id =
		CASE WHEN desired.release_id = excluded.release_id THEN desired.previous_release_id ELSE desired.release_id END,
		release_id = excluded.release_id, deployment_id = excluded.deployment_id, task_id = excluded.task_id, updated_at = excluded.updated_at`,
		d.SpaceID, d.ProjectID, d.EnvironmentID, d.TenantID, d.ReleaseID, d.DeploymentID, d.TaskID, tx.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("set desired release of %s in %s: %w", d.ProjectID, d.EnvironmentID, err)
	}
	return nil
}

// DesiredIn are the desired releases of an environment, by project.
func DesiredIn(tx *Tx, environment string) ([]Desired, error) {
	return readRows(tx, "desired", `SELECT space_id, project_id, environment_id, tenant_id, release_id, deployment_id, previous_release_id, task_id, updated_at
		FROM desired WHERE environment_id = $1 ORDER BY project_id, tenant_id`,
		func(r *sql.Rows, d *Desired) error {
			return r.Scan(&d.SpaceID, &d.ProjectID, &d.EnvironmentID, &d.TenantID, &d.ReleaseID, &d.DeploymentID, &d.PreviousReleaseID, &d.TaskID, &d.UpdatedAt)
		}, environment)
}

// Deployed says which release of a project a machine was proved to run.
type Deployed struct {
	MachineID     string
	ProjectID     string
	EnvironmentID string
	TenantID      string
	ReleaseID     string
	TaskID        string
	At            int64
}

// DeployedOn are the releases that a machine was proved to run.
func DeployedOn(tx *Tx, machine string) ([]Deployed, error) {
	return readRows(tx, "deployed", `SELECT machine_id, project_id, environment_id, tenant_id, release_id, task_id, at FROM deployed WHERE machine_id = $1 ORDER BY project_id`, scanDeployed, machine)
}

// SetDeployed records what the members of an ended rollout run: the release on
// every machine that went through all steps which apply to it, and nothing on
// those that a failed or canceled rollout may have touched. A machine that was
// replaced meanwhile is another one, and proved nothing. Debts of the desired
// release are settled with the proof.
func SetDeployed(tx *Tx, p *rollout.Plan, row *rollout.Row) error {
	if _, err := tx.exec(`DELETE FROM deployed WHERE project_id = $2 AND environment_id = $3 AND tenant_id = $4
		AND machine_id IN (SELECT member FROM attempt WHERE rollout_id = $1 AND sent_at > 0)`, p.Task, p.Project.ID, p.Environment.ID, p.Tenant.ID); err != nil {
		return fmt.Errorf("clear deployed machines of %s: %w", p.Task, err)
	}
	machines, err := provedOn(tx, p, row)
	if err != nil {
		return err
	}
	for _, machine := range machines {
		if _, err := tx.exec(`INSERT INTO deployed (machine_id, project_id, environment_id, tenant_id, release_id, task_id, at)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM owed WHERE machine_id = $1 AND project_id = $2 AND environment_id = $3
			AND tenant_id = $4 AND task_id = $8)
			ON CONFLICT (machine_id, project_id, environment_id, tenant_id) DO UPDATE SET release_id = excluded.release_id, task_id = excluded.task_id, at = excluded.at`,
			machine, p.Project.ID, p.Environment.ID, p.Tenant.ID, p.Release.ID, p.Task, tx.Now().UnixMilli(), after+p.Task); err != nil {
			return fmt.Errorf("record deployed machines of %s: %w", p.Task, err)
		}
	}
	return settle(tx, p)
}

// provedOn are the machines that have the release, each for itself: where a
// rollout failed, those whose own steps all succeeded (design 8).
func provedOn(tx *Tx, p *rollout.Plan, row *rollout.Row) ([]string, error) {
	if row.State == rollout.Canceled {
		return nil, nil
	}
	live, err := readRows(tx, "members", memberQuery+`WHERE rollout_id = $1 AND state = 'Live' AND worker = 0 AND failed = 0 ORDER BY ord`, scanMember, p.Task)
	if err != nil {
		return nil, err
	}
	gaps, err := gapsOf(tx, p, row)
	if err != nil {
		return nil, err
	}
	var machines []string
	for i := range live {
		if !gaps.concern(p, &live[i]) {
			machines = append(machines, live[i].ID)
		}
	}
	return machines, nil
}

// gaps are the steps of a rollout that not all of their machines went through:
// by index, the machines that did all the same.
type gaps map[int]map[string]bool

func (g gaps) concern(p *rollout.Plan, m *rollout.Member) bool {
	for index, through := range g {
		if p.Steps[index].Covers(m) && !through[m.ID] {
			return true
		}
	}
	return false
}

// gapsOf finds the steps that failed, and those that did not run because of it.
func gapsOf(tx *Tx, p *rollout.Plan, row *rollout.Row) (gaps, error) {
	if row.Failures == 0 {
		return nil, nil
	}
	list, err := readRows(tx, "steps", stepQuery+`WHERE rollout_id = $1 ORDER BY idx`, scanStep, p.Task)
	if err != nil {
		return nil, err
	}
	found, failed := gaps{}, false
	for _, step := range list {
		spec := &p.Steps[step.Index]
		switch {
		case step.State == rollout.StepFailed:
			failed = true
			if found[step.Index], err = through(tx, p, step.Index); err != nil {
				return nil, err
			}
		case failed && step.State == rollout.StepSkipped && spec.Condition == rollout.ConditionSuccess && works(spec.Actions):
			found[step.Index] = map[string]bool{}
		}
	}
	return found, nil
}

func works(actions []rollout.Action) bool {
	return slices.ContainsFunc(actions, func(a rollout.Action) bool { return a.Skip == "" })
}

// through are the machines on which every action of a step succeeded or had
// nothing to do.
func through(tx *Tx, p *rollout.Plan, step int) (map[string]bool, error) {
	list, err := readRows(tx, "cells", `SELECT member FROM cell WHERE rollout_id = $1 AND step = $2 AND state IN ('Succeeded', 'Skipped')
		GROUP BY member HAVING COUNT(*) = $3`, scanText, p.Task, step, len(p.Steps[step].Actions))
	machines := map[string]bool{}
	for _, id := range list {
		machines[id] = true
	}
	return machines, err
}

// shipped says whether a rollout has made its release the one that the
// environment runs: it succeeded, or all that is wrong is that machines did
// not answer. At least one of its machines has to have the release.
func shipped(tx *Tx, p *rollout.Plan, row *rollout.Row) (bool, error) {
	if row.State != rollout.Succeeded && (row.State != rollout.Failed || row.Failures > 0) {
		return false, nil
	}
	var machines, live int
	err := tx.queryRow(`SELECT COUNT(*), COALESCE(SUM(CASE WHEN state = 'Live' THEN 1 ELSE 0 END), 0) FROM member WHERE rollout_id = $1 AND worker = 0`, p.Task).Scan(&machines, &live)
	if err != nil {
		return false, fmt.Errorf("count members of %s: %w", p.Task, err)
	}
	return live > 0 || machines == 0 && row.State == rollout.Succeeded, nil
}

// Succeeded says whether the rollout has ended with its release on the
// machines that answered: what makes its release the desired one.
func Succeeded(tx *Tx, id string) (bool, error) {
	plan, err := LoadPlan(tx, id)
	if err != nil {
		return false, err
	}
	row, _, err := loadRow(tx, id)
	if err != nil {
		return false, err
	}
	return shipped(tx, plan, &row)
}
