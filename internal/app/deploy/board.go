package deploy

import (
	"context"
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Board is which release runs where: per project, environment and machine, as
// the machines have proved it.
type Board struct{ Cells []BoardCell }

// BoardCell is a project in an environment. Times are unix milliseconds.
type BoardCell struct {
	Project, Environment rollout.Ref
	// Wanted is the release that the machines are to run; empty before the first
	// one that succeeded.
	Wanted rollout.Ref
	Since  int64
	TaskID string
	// Latest is the newest deployment, which may be under way or have failed.
	Latest        DeploymentTask
	LatestVersion string
	Machines      []BoardMachine
}

// BoardMachine is what one machine runs of the project.
type BoardMachine struct {
	ID, Name, Health string
	Release          rollout.Ref // empty: it was proved to run none
	Since            int64
	TaskID           string
	Owed             string // why it has still to get the wanted release; "" when it has it
}

// Board reads the board. projects and environments are ids, slugs or names;
// none means all. What the caller may not see is left out.
func (s *Service) Board(ctx context.Context, who app.Caller, space string, projects, environments []string) (board *Board, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		board = &Board{}
		picked, err := pick[resource.Project](tx, space, projects)
		if err != nil {
			return err
		}
		places, err := pick[resource.Environment](tx, space, environments)
		if err != nil {
			return err
		}
		for i := range places {
			env, err := readBoardEnvironment(tx, &places[i])
			if err != nil {
				return err
			}
			for j := range picked {
				scope := scopeOf(space, &picked[j])
				scope.Environment = places[i].ID
				if !authz.Can(who.Subject, authz.DeploymentView, scope) {
					continue
				}
				if err := board.add(tx, &picked[j], env); err != nil {
					return fmt.Errorf("read board of %s in %s: %w", picked[j].ID, places[i].ID, err)
				}
			}
		}
		slices.SortStableFunc(board.Cells, func(a, b BoardCell) int {
			return slices.IndexFunc(picked, func(p resource.Project) bool { return p.ID == a.Project.ID }) -
				slices.IndexFunc(picked, func(p resource.Project) bool { return p.ID == b.Project.ID })
		})
		return nil
	})
	return board, err
}

// document is a pointer to T that is a document.
type document[T any] interface {
	*T
	resource.Doc
}

// pick finds documents by id, slug or name; without keys it lists all.
func pick[T any, P document[T]](tx *store.Tx, space string, keys []string) ([]T, error) {
	if len(keys) == 0 {
		list, _, err := store.List[T, P](tx, store.Query{Space: space})
		return list, err
	}
	var list []T
	for _, key := range keys {
		doc, err := store.Find[T, P](tx, space, key)
		if err != nil {
			return nil, err
		}
		list = append(list, *doc)
	}
	return list, nil
}

// boardEnvironment is what all projects of an environment have in common.
type boardEnvironment struct {
	env      *resource.Environment
	machines []resource.Machine
	desired  []store.Desired
	deployed map[string]store.Deployed // by project and machine
}

func readBoardEnvironment(tx *store.Tx, env *resource.Environment) (*boardEnvironment, error) {
	e := &boardEnvironment{env: env, deployed: map[string]store.Deployed{}}
	var err error
	if e.machines, _, err = store.List[resource.Machine](tx, store.Query{Space: env.SpaceID, Where: map[string][]string{"EnvironmentIds": {env.ID}}}); err != nil {
		return nil, err
	}
	if e.desired, err = store.DesiredIn(tx, env.ID); err != nil {
		return nil, err
	}
	deployed, err := store.DeployedIn(tx, env.ID)
	for _, d := range deployed {
		e.deployed[d.ProjectID+" "+d.MachineID] = d
	}
	return e, err
}

func (b *Board) add(tx *store.Tx, p *resource.Project, e *boardEnvironment) error {
	list, _, err := store.List[resource.Deployment](tx, store.Query{Space: p.SpaceID, Take: 1, Where: map[string][]string{"ProjectId": {p.ID}, "EnvironmentId": {e.env.ID}}})
	if err != nil || len(list) == 0 {
		return err
	}
	joined, err := withTasks(tx, list)
	if err != nil {
		return err
	}
	cell := BoardCell{Project: rollout.Ref{ID: p.ID, Name: p.Name}, Environment: rollout.Ref{ID: e.env.ID, Name: e.env.Name}, Latest: joined[0]}
	release, err := store.Get[resource.Release](tx, list[0].ReleaseID)
	if err != nil {
		return err
	}
	cell.LatestVersion = release.Version
	if at := slices.IndexFunc(e.desired, func(d store.Desired) bool { return d.ProjectID == p.ID }); at >= 0 {
		d := &e.desired[at]
		cell.Since, cell.TaskID = d.UpdatedAt, d.TaskID
		if release, err = store.Get[resource.Release](tx, d.ReleaseID); err != nil {
			return err
		}
		cell.Wanted = rollout.Ref{ID: release.ID, Name: release.Version}
	}
	if cell.Machines, err = e.machinesOf(tx, p, release); err != nil {
		return err
	}
	b.Cells = append(b.Cells, cell)
	return nil
}

// machinesOf are the machines that a step of the release is for, and those that
// run another one of the project.
func (e *boardEnvironment) machinesOf(tx *store.Tx, p *resource.Project, release *resource.Release) ([]BoardMachine, error) {
	process, err := store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
	if err != nil {
		return nil, err
	}
	var roles []string
	for i := range process.Steps {
		roles = append(roles, process.Steps[i].Roles()...)
	}
	owed, err := store.OwedIn(tx, p.ID, e.env.ID, "")
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	var list []BoardMachine
	for i := range e.machines {
		m := &e.machines[i]
		has, runs := e.deployed[p.ID+" "+m.ID]
		if !runs && !sharesRole(roles, m.Roles) {
			continue
		}
		machine := BoardMachine{ID: m.ID, Name: m.Name, Health: m.HealthStatus, Since: has.At, TaskID: has.TaskID}
		if runs {
			version, known := versions[has.ReleaseID]
			if !known {
				version = has.ReleaseID
				if r, err := store.Get[resource.Release](tx, has.ReleaseID); err == nil {
					version = r.Version
				}
				versions[has.ReleaseID] = version
			}
			machine.Release = rollout.Ref{ID: has.ReleaseID, Name: version}
		}
		for _, o := range owed {
			if o.MachineID == m.ID && o.TaskID != store.Settled {
				machine.Owed = o.Reason
			}
		}
		list = append(list, machine)
	}
	return list, nil
}
