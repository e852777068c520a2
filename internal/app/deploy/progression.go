package deploy

import (
	"context"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// DeploymentTask is a deployment with the task that carries it out.
type DeploymentTask struct {
	Deployment resource.Deployment
	Task       store.Task
}

// Succeeded says that every live machine has the release.
func (d *DeploymentTask) Succeeded() bool { return d.Task.State == store.TaskSuccess }

// deploymentsOf are the release's deployments, newest first.
func deploymentsOf(tx *store.Tx, release *resource.Release) ([]DeploymentTask, error) {
	list, _, err := store.List[resource.Deployment](tx, store.Query{Space: release.SpaceID, Where: map[string][]string{"ReleaseId": {release.ID}}})
	if err != nil {
		return nil, err
	}
	return withTasks(tx, list)
}

func withTasks(tx *store.Tx, list []resource.Deployment) ([]DeploymentTask, error) {
	joined := make([]DeploymentTask, 0, len(list))
	for i := range list {
		task, err := store.GetTask(tx, list[i].TaskID)
		if err != nil {
			return nil, err
		}
		joined = append(joined, DeploymentTask{list[i], *task})
	}
	return joined, nil
}

// progressOf walks the release's lifecycle.
func progressOf(tx *store.Tx, project *resource.Project, release *resource.Release) ([]PhaseProgress, error) {
	channel, err := store.Get[resource.Channel](tx, release.ChannelID)
	if err != nil {
		return nil, err
	}
	lifecycle, err := lifecycleOf(tx, project, channel)
	if err != nil {
		return nil, err
	}
	environments, err := environmentsOf(tx, project.SpaceID)
	if err != nil {
		return nil, err
	}
	deployments, err := deploymentsOf(tx, release)
	if err != nil {
		return nil, err
	}
	succeeded := map[string]bool{}
	for i := range deployments {
		if deployments[i].Succeeded() {
			succeeded[deployments[i].Deployment.EnvironmentID] = true
		}
	}
	return Progress(Phases(lifecycle, environments), succeeded), nil
}

// ReleaseProgress is where a release is and where it may go next.
type ReleaseProgress struct {
	Project     *resource.Project
	Release     *resource.Release
	Phases      []PhaseProgress
	Next        []string // environments
	Deployments []DeploymentTask
}

// ReleaseProgression reads it.
func (s *Service) ReleaseProgression(ctx context.Context, who app.Caller, space, id string) (view *ReleaseProgress, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, release, err := releaseFor(tx, who, space, id, authz.ReleaseView)
		if err != nil {
			return err
		}
		view, err = releaseProgress(tx, project, release)
		return err
	})
	return view, err
}

func releaseProgress(tx *store.Tx, project *resource.Project, release *resource.Release) (*ReleaseProgress, error) {
	phases, err := progressOf(tx, project, release)
	if err != nil {
		return nil, err
	}
	deployments, err := deploymentsOf(tx, release)
	return &ReleaseProgress{Project: project, Release: release, Phases: phases, Next: NextEnvironments(phases), Deployments: deployments}, err
}

// releaseFor reads a release that the caller may see and use so.
func releaseFor(tx *store.Tx, who app.Caller, space, id string, p authz.Permission) (*resource.Project, *resource.Release, error) {
	release, err := store.GetIn[resource.Release](tx, space, id)
	if err != nil {
		return nil, nil, err
	}
	project, err := store.Get[resource.Project](tx, release.ProjectID)
	if err != nil {
		return nil, nil, err
	}
	if !authz.Can(who.Subject, authz.ReleaseView, scopeOf(space, project)) {
		return nil, nil, resource.Missing(id)
	}
	return project, release, app.Allow(who, p, scopeOf(space, project))
}

// ProjectProgress is a project's releases across its environments.
type ProjectProgress struct {
	Project      *resource.Project
	Environments []resource.Environment
	Channels     []resource.Channel
	Lifecycles   map[string]*resource.Lifecycle // by channel
	Releases     []*ReleaseProgress             // newest first
}

// Progression reads a project's newest releases.
func (s *Service) Progression(ctx context.Context, who app.Caller, space, key string, releases int) (view *ProjectProgress, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, err := findProject(tx, who, space, key, authz.ReleaseView)
		if err != nil {
			return err
		}
		view = &ProjectProgress{Project: project, Lifecycles: map[string]*resource.Lifecycle{}}
		if view.Environments, err = environmentsOf(tx, space); err != nil {
			return err
		}
		if view.Channels, err = channelsOf(tx, project); err != nil {
			return err
		}
		for i := range view.Channels {
			if view.Lifecycles[view.Channels[i].ID], err = lifecycleOf(tx, project, &view.Channels[i]); err != nil {
				return err
			}
		}
		list, _, err := store.List[resource.Release](tx, store.Query{Space: space, Where: map[string][]string{"ProjectId": {project.ID}}, Take: releases})
		if err != nil {
			return err
		}
		for i := range list {
			progress, err := releaseProgress(tx, project, &list[i])
			if err != nil {
				return err
			}
			view.Releases = append(view.Releases, progress)
		}
		return nil
	})
	return view, err
}
