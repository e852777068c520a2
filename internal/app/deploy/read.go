package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// ReleaseQuery narrows a list of releases; empty fields match all.
type ReleaseQuery struct {
	Project, Channel string // ids, slugs or names
	IDs              []string
	Version          string // part of it
	Skip, Take       int
}

// Releases lists releases, newest first.
func (s *Service) Releases(ctx context.Context, who app.Caller, space string, q ReleaseQuery) (list []resource.Release, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		query := store.Query{Space: space, IDs: q.IDs, PartialName: q.Version, Skip: q.Skip, Take: q.Take, Where: map[string][]string{}}
		scope := authz.Scope{Space: space}
		if q.Project != "" {
			project, err := store.Find[resource.Project](tx, space, q.Project)
			if err != nil {
				return err
			}
			scope = scopeOf(space, project)
			query.Where["ProjectId"] = []string{project.ID}
		}
		if q.Channel != "" {
			channel, err := store.GetIn[resource.Channel](tx, space, q.Channel)
			if err != nil {
				return err
			}
			query.Where["ChannelId"] = []string{channel.ID}
		}
		if err := app.Allow(who, authz.ReleaseView, scope); err != nil {
			return err
		}
		list, total, err = store.List[resource.Release](tx, query)
		return err
	})
	return list, total, err
}

// Release reads a release by its id.
func (s *Service) Release(ctx context.Context, who app.Caller, space, id string) (release *resource.Release, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		_, release, err = releaseFor(tx, who, space, id, authz.ReleaseView)
		return err
	})
	return release, err
}

// ReleaseByVersion reads a project's release by its version or id.
func (s *Service) ReleaseByVersion(ctx context.Context, who app.Caller, space, project, version string) (release *resource.Release, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err := store.Find[resource.Project](tx, space, project)
		if err != nil {
			return err
		}
		if err := app.Allow(who, authz.ReleaseView, scopeOf(space, p)); err != nil {
			return err
		}
		if release, err = findRelease(tx, p, version); resource.CodeOf(err) == resource.Invalid {
			return resource.Missing(version)
		}
		return err
	})
	return release, err
}

// UpdateRelease changes what is not frozen: version and notes.
func (s *Service) UpdateRelease(ctx context.Context, who app.Caller, space, id, version, notes string) (release *resource.Release, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		project, old, err := releaseFor(tx, who, space, id, authz.ReleaseEdit)
		if err != nil {
			return err
		}
		release = old
		if version != "" {
			release.Version = version
		}
		release.ReleaseNotes = notes
		if err := store.Update(tx, release); err != nil {
			return err
		}
		return audit(tx, resource.EventModified, fmt.Sprintf("Release %s of %s was changed", release.Version, project.Name), space, id, project.ID)
	})
	return release, err
}

// DeleteRelease removes a release with its deployments, unless one of them
// runs or an environment's machines are to have it.
func (s *Service) DeleteRelease(ctx context.Context, who app.Caller, space, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		project, release, err := releaseFor(tx, who, space, id, authz.ReleaseDelete)
		if err != nil {
			return err
		}
		deployments, err := deploymentsOf(tx, release)
		if err != nil {
			return err
		}
		for i := range deployments {
			d := &deployments[i]
			if !d.Task.State.Completed() {
				return resource.Errorf(resource.Invalid, "Release %s cannot be deleted: %s has not ended. Cancel it first.", release.Version, d.Task.ID)
			}
			desired, err := store.DesiredIn(tx, d.Deployment.EnvironmentID)
			if err != nil {
				return err
			}
			for j := range desired {
				if desired[j].ReleaseID == id {
					return resource.Errorf(resource.Invalid, "Release %s cannot be deleted: it is what the machines of an environment run. Deploy another release there first.", release.Version)
				}
			}
		}
		if err := store.Delete[resource.Release](tx, id); err != nil {
			return err
		}
		return audit(tx, resource.EventDeleted, fmt.Sprintf("Release %s of %s was deleted", release.Version, project.Name), space, id, project.ID)
	})
}

// SnapshotVariables gives a release the variables as they are now.
func (s *Service) SnapshotVariables(ctx context.Context, who app.Caller, space, id string) (release *resource.Release, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		project, found, err := releaseFor(tx, who, space, id, authz.ReleaseEdit)
		if err != nil {
			return err
		}
		release = found
		return updateSnapshot(tx, project, release)
	})
	return release, err
}

func updateSnapshot(tx *store.Tx, project *resource.Project, release *resource.Release) (err error) {
	if release.ProjectVariableSetSnapshotID, err = snapshotVariables(tx, project.ID); err != nil {
		return err
	}
	release.LibraryVariableSetSnapshotIDs = []string{}
	for _, library := range project.IncludedLibraryVariableSetIDs {
		copied, err := snapshotVariables(tx, library)
		if err != nil {
			return err
		}
		release.LibraryVariableSetSnapshotIDs = append(release.LibraryVariableSetSnapshotIDs, copied)
	}
	if err := store.Update(tx, release); err != nil {
		return err
	}
	return audit(tx, resource.EventModified, fmt.Sprintf("The variables of release %s of %s were updated", release.Version, project.Name), project.SpaceID,
		release.ID, project.ID)
}

// DeploymentQuery narrows a list of deployments by ids.
type DeploymentQuery struct {
	Projects, Environments, Channels, Releases, IDs []string
	PartialName                                     string
	Skip, Take                                      int
}

// Deployments lists deployments, newest first.
func (s *Service) Deployments(ctx context.Context, who app.Caller, space string, q DeploymentQuery) (list []resource.Deployment, total int, err error) {
	query := store.Query{Space: space, IDs: q.IDs, PartialName: q.PartialName, Skip: q.Skip, Take: q.Take, Where: map[string][]string{}}
	for path, ids := range map[string][]string{"ProjectId": q.Projects, "EnvironmentId": q.Environments, "ChannelId": q.Channels, "ReleaseId": q.Releases} {
		if ids != nil {
			query.Where[path] = ids
		}
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, total, err = store.List[resource.Deployment](tx, query)
		return err
	})
	visible := list[:0]
	for i := range list {
		d := &list[i]
		if authz.Can(who.Subject, authz.DeploymentView, authz.Scope{Space: space, Project: d.ProjectID, Environment: d.EnvironmentID, Tenant: d.TenantID}) {
			visible = append(visible, *d)
		} else {
			total--
		}
	}
	return visible, total, err
}

// Deployment reads one deployment.
func (s *Service) Deployment(ctx context.Context, who app.Caller, space, id string) (d *resource.Deployment, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if d, err = store.GetIn[resource.Deployment](tx, space, id); err != nil {
			return err
		}
		if !authz.Can(who.Subject, authz.DeploymentView, authz.Scope{Space: space, Project: d.ProjectID, Environment: d.EnvironmentID, Tenant: d.TenantID}) {
			return resource.Missing(id)
		}
		return nil
	})
	return d, err
}

// DeleteDeployment removes a deployment that has ended from the lists.
func (s *Service) DeleteDeployment(ctx context.Context, who app.Caller, space, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		d, err := store.GetIn[resource.Deployment](tx, space, id)
		if err != nil {
			return err
		}
		if err := app.Allow(who, authz.DeploymentDelete, authz.Scope{Space: space, Project: d.ProjectID, Environment: d.EnvironmentID, Tenant: d.TenantID}); err != nil {
			return err
		}
		task, err := store.GetTask(tx, d.TaskID)
		if err != nil {
			return err
		}
		if !task.State.Completed() {
			return resource.Errorf(resource.Invalid, "%s has not ended. Cancel it first.", task.ID)
		}
		if err := store.Delete[resource.Deployment](tx, id); err != nil {
			return err
		}
		return audit(tx, resource.EventDeleted, fmt.Sprintf("%s was deleted", d.Name), space, id, d.ProjectID)
	})
}

// Preview is what a deployment would do, before it is made (P7).
type Preview struct {
	Environment *resource.Environment
	Guided      bool // it asks people about failures unless told otherwise
	Steps       []PreviewStep
	Prompts     []resource.Variable
}

// PreviewStep is one action with the machines it would run on now.
type PreviewStep struct {
	ActionID, ActionName, ActionNumber string
	Roles                              []string
	Machines, Unavailable              []resource.Machine
	CanBeSkipped, IsDisabled           bool
	NoMachines                         bool
	Skip                               string
}

// PreviewDeployment plans a deployment of the release and throws it away.
func (s *Service) PreviewDeployment(ctx context.Context, who app.Caller, space, release, environment string, disabled bool) (view *Preview, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, rel, err := releaseFor(tx, who, space, release, authz.ReleaseView)
		if err != nil {
			return err
		}
		env, err := store.Find[resource.Environment](tx, space, environment)
		if err != nil {
			return err
		}
		view, err = preview(tx, project, rel, env, disabled)
		return err
	})
	return view, err
}

func preview(tx *store.Tx, project *resource.Project, release *resource.Release, env *resource.Environment, disabled bool) (*Preview, error) {
	d := &resource.Deployment{ReleaseID: release.ID, EnvironmentID: env.ID, Name: "Deploy to " + env.Name}
	in, err := planInput(tx, rollout.Deploy, project, release, env, d)
	if err != nil {
		return nil, err
	}
	plan, err := BuildPlan(in)
	if err != nil {
		return nil, err
	}
	machines, _, err := store.List[resource.Machine](tx, store.Query{Space: project.SpaceID, Where: map[string][]string{"EnvironmentIds": {env.ID}}})
	if err != nil {
		return nil, err
	}
	view := &Preview{Environment: env, Guided: guided(project, env)}
	for _, set := range in.Variables {
		for i := range set.Variables {
			if set.Variables[i].Prompt != nil {
				view.Prompts = append(view.Prompts, set.Variables[i])
			}
		}
	}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		for j := range step.Actions {
			action := &step.Actions[j]
			source := &in.Process.Steps[i].Actions[j]
			if action.Skip != "" && (!source.IsDisabled || !disabled) {
				continue
			}
			p := PreviewStep{
				ActionID: action.ID, ActionName: action.Name, ActionNumber: action.Number, Roles: step.Roles,
				CanBeSkipped: !source.IsRequired, IsDisabled: source.IsDisabled, Skip: action.Skip,
			}
			p.place(machines)
			view.Steps = append(view.Steps, p)
		}
	}
	return view, nil
}

func (p *PreviewStep) place(machines []resource.Machine) {
	for i := range machines {
		m := &machines[i]
		if m.IsDisabled || !sharesRole(p.Roles, m.Roles) {
			continue
		}
		p.Machines = append(p.Machines, *m)
		if m.HealthStatus == resource.HealthUnavailable {
			p.Unavailable = append(p.Unavailable, *m)
		}
	}
	p.NoMachines = len(p.Roles) > 0 && len(p.Machines) == 0
}

func sharesRole(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if strings.EqualFold(x, y) {
				return true
			}
		}
	}
	return false
}
