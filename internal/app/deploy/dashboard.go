package deploy

import (
	"context"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Dashboard is what runs where: the newest deployment of every project in
// every environment.
type Dashboard struct {
	Projects     []resource.Project
	Groups       []resource.ProjectGroup
	Environments []resource.Environment
	Items        []DashboardItem
}

// DashboardItem is one deployment on the board. Current is the newest one of
// its project and environment, Previous the newest successful one before it.
type DashboardItem struct {
	DeploymentTask
	Version           string
	Current, Previous bool
}

// DashboardQuery narrows the board to ids; nil means all.
type DashboardQuery struct {
	Projects, Environments []string
	IncludePrevious        bool
}

// Dashboard reads the board.
func (s *Service) Dashboard(ctx context.Context, who app.Caller, space string, q DashboardQuery) (board *Dashboard, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		board = &Dashboard{}
		projects, _, err := store.List[resource.Project](tx, store.Query{Space: space, IDs: q.Projects})
		if err != nil {
			return err
		}
		for i := range projects {
			if authz.Can(who.Subject, authz.DeploymentView, scopeOf(space, &projects[i])) {
				board.Projects = append(board.Projects, projects[i])
			}
		}
		if board.Groups, _, err = store.List[resource.ProjectGroup](tx, store.Query{Space: space}); err != nil {
			return err
		}
		if board.Environments, _, err = store.List[resource.Environment](tx, store.Query{Space: space, IDs: q.Environments}); err != nil {
			return err
		}
		for i := range board.Projects {
			for j := range board.Environments {
				if err := board.add(tx, &board.Projects[i], &board.Environments[j], q.IncludePrevious); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return board, err
}

// recent is how far back the previous success is looked for.
const recent = 20

func (b *Dashboard) add(tx *store.Tx, p *resource.Project, e *resource.Environment, previous bool) error {
	query := store.Query{Space: p.SpaceID, Take: 1, Where: map[string][]string{"ProjectId": {p.ID}, "EnvironmentId": {e.ID}}}
	if previous {
		query.Take = recent
	}
	list, _, err := store.List[resource.Deployment](tx, query)
	if err != nil {
		return err
	}
	joined, err := withTasks(tx, list)
	if err != nil {
		return err
	}
	for i := range joined {
		item := DashboardItem{DeploymentTask: joined[i], Current: i == 0, Previous: i > 0}
		if err := store.FillAsking(tx, &item.Task); err != nil {
			return err
		}
		if i > 0 && !joined[i].Succeeded() {
			continue
		}
		release, err := store.Get[resource.Release](tx, joined[i].Deployment.ReleaseID)
		if err != nil {
			return err
		}
		item.Version = release.Version
		b.Items = append(b.Items, item)
		if item.Previous {
			break
		}
	}
	return nil
}

// PhaseEnvironments are the environments of a lifecycle, in order of phases.
func PhaseEnvironments(l *resource.Lifecycle, environments []resource.Environment) []string {
	var list []string
	for _, phase := range Phases(l, environments) {
		for _, id := range slices.Concat(phase.AutomaticDeploymentTargets, phase.OptionalDeploymentTargets) {
			if !slices.Contains(list, id) {
				list = append(list, id)
			}
		}
	}
	return list
}
