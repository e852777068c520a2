package documents

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func projectRules() rules {
	return rules{
		id: func(tx *store.Tx, doc resource.Doc) (string, error) {
			id, err := tx.NextID(resource.ProjectKind.IDPrefix)
			p := to[resource.Project](doc)
			p.VariableSetID, p.DeploymentProcessID = resource.VariableSetID(id), resource.DeploymentProcessID(id)
			return id, err
		},
		creating: as(func(_ *store.Tx, p *resource.Project) error {
			p.IsVersionControlled = false
			return nil
		}),
		created: as(completeProject),
		updating: asChange(func(_ *store.Tx, old, p *resource.Project) error {
			p.VariableSetID, p.DeploymentProcessID = old.VariableSetID, old.DeploymentProcessID
			p.IsVersionControlled, p.ClonedFromProjectID = old.IsVersionControlled, old.ClonedFromProjectID
			return nil
		}),
	}
}

// completeProject gives a new project what every project has: a default
// channel, an empty process and an empty variable set (octopus-api.md 2.5).
func completeProject(tx *store.Tx, p *resource.Project) error {
	channel := &resource.Channel{Name: "Default", ProjectID: p.ID, IsDefault: true, Description: "The default channel of this project."}
	channel.SpaceID = p.SpaceID
	if err := store.Insert(tx, channel); err != nil {
		return fmt.Errorf("default channel: %w", err)
	}
	process := &resource.DeploymentProcess{ProjectID: p.ID}
	process.SpaceID = p.SpaceID
	if err := store.InsertAs(tx, process, p.DeploymentProcessID); err != nil {
		return fmt.Errorf("deployment process: %w", err)
	}
	set := &resource.VariableSet{OwnerID: p.ID, SpaceID: p.SpaceID}
	if err := store.InsertAs(tx, set, p.VariableSetID); err != nil {
		return fmt.Errorf("variable set: %w", err)
	}
	return nil
}

// CloneProject makes a project with the settings, process, variables and
// channels of another. What in names wins over the original's; secrets are
// sealed anew for the copy and shown to nobody.
func (s *Service) CloneProject(ctx context.Context, by app.Caller, space, original string, in *resource.Project) (out resource.Doc, err error) {
	err = s.write(ctx, by, func(tx *store.Tx) error {
		from, err := s.find(tx, by, resource.ProjectKind, space, original)
		if err != nil {
			return err
		}
		copied := *to[resource.Project](from)
		copied.Name, copied.Slug, copied.Description = in.Name, in.Slug, in.Description
		if in.ProjectGroupID != "" {
			copied.ProjectGroupID = in.ProjectGroupID
		}
		if in.LifecycleID != "" {
			copied.LifecycleID = in.LifecycleID
		}
		copied.ClonedFromProjectID = copied.ID
		if err := store.Unseal(tx, &copied); err != nil {
			return err
		}
		if out, err = s.create(tx, by, space, &copied); err != nil {
			return err
		}
		return s.copyParts(tx, by, to[resource.Project](from), to[resource.Project](out))
	})
	return out, err
}

// copyParts needs the caller to see what he copies.
func (s *Service) copyParts(tx *store.Tx, by app.Caller, from, to *resource.Project) error {
	for _, p := range []authz.Permission{authz.ProcessView, authz.VariableView} {
		if err := app.Allow(by, p, ProjectScope(from)); err != nil {
			return err
		}
	}
	process, err := store.Get[resource.DeploymentProcess](tx, from.DeploymentProcessID)
	if err != nil {
		return err
	}
	if err := store.Unseal(tx, process); err != nil {
		return err
	}
	process.ID, process.ProjectID, process.Version, process.LastSnapshotID = to.DeploymentProcessID, to.ID, 0, ""
	forgetChannels(process)
	if err := store.Update(tx, process); err != nil {
		return fmt.Errorf("copy process: %w", err)
	}
	set, err := store.Get[resource.VariableSet](tx, from.VariableSetID)
	if err != nil {
		return err
	}
	if err := store.Unseal(tx, set); err != nil {
		return err
	}
	set.ID, set.OwnerID, set.Version = to.VariableSetID, to.ID, 0
	for i := range set.Variables {
		set.Variables[i].Scope.Channel = nil
	}
	if err := store.Update(tx, set); err != nil {
		return fmt.Errorf("copy variables: %w", err)
	}
	return nil
}

// forgetChannels takes the original's channels out of a copied process: they
// mean nothing in the copy.
func forgetChannels(p *resource.DeploymentProcess) {
	for i := range p.Steps {
		for j := range p.Steps[i].Actions {
			p.Steps[i].Actions[j].Channels = []string{}
		}
	}
}

// ProjectSummary says what a project has (octopus-api.md 2.5).
type ProjectSummary struct{ HasDeploymentProcess, HasRunbooks bool }

// SummarizeProject says what a project has.
func (s *Service) SummarizeProject(ctx context.Context, by app.Caller, space, key string) (out ProjectSummary, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, err := s.project(tx, by, space, key)
		if err != nil {
			return err
		}
		process, err := store.Get[resource.DeploymentProcess](tx, project.DeploymentProcessID)
		if err != nil {
			return err
		}
		out.HasDeploymentProcess = len(process.Steps) > 0
		return nil
	})
	return out, err
}

func (s *Service) project(tx *store.Tx, by app.Caller, space, key string) (*resource.Project, error) {
	doc, err := s.find(tx, by, resource.ProjectKind, space, key)
	if err != nil {
		return nil, err
	}
	return to[resource.Project](doc), nil
}

// DeploymentSettings is a view on a project's own fields: there is nothing
// behind it but the project (octopus-api.md 2.5).
type DeploymentSettings struct {
	ID                              string `json:"Id"`
	SpaceID                         string `json:"SpaceId"`
	ProjectID                       string `json:"ProjectId"`
	ConnectivityPolicy              resource.ConnectivityPolicy
	DefaultGuidedFailureMode        string
	DefaultToSkipIfAlreadyInstalled bool
	VersioningStrategy              *resource.VersioningStrategy
	ReleaseNotesTemplate            string
	DeploymentChangesTemplate       string
	ForcePackageDownload            bool
}

// SettingsOf is the view on a project.
func SettingsOf(p *resource.Project) DeploymentSettings {
	return DeploymentSettings{
		ID: resource.DeploymentSettingsID(p.ID), SpaceID: p.SpaceID, ProjectID: p.ID,
		ConnectivityPolicy: p.ProjectConnectivityPolicy, DefaultGuidedFailureMode: p.DefaultGuidedFailureMode,
		DefaultToSkipIfAlreadyInstalled: p.DefaultToSkipIfAlreadyInstalled, VersioningStrategy: p.VersioningStrategy,
		ReleaseNotesTemplate: p.ReleaseNotesTemplate, DeploymentChangesTemplate: p.DeploymentChangesTemplate,
		ForcePackageDownload: p.ForcePackageDownload,
	}
}

// PutSettings stores the view's fields in the project.
func (s *Service) PutSettings(ctx context.Context, by app.Caller, space, key string, in DeploymentSettings) (out DeploymentSettings, err error) {
	err = s.write(ctx, by, func(tx *store.Tx) error {
		old, err := s.findForEdit(tx, by, resource.ProjectKind, space, key)
		if err != nil {
			return err
		}
		p := *to[resource.Project](old)
		p.ProjectConnectivityPolicy, p.DefaultGuidedFailureMode = in.ConnectivityPolicy, in.DefaultGuidedFailureMode
		p.DefaultToSkipIfAlreadyInstalled, p.VersioningStrategy = in.DefaultToSkipIfAlreadyInstalled, in.VersioningStrategy
		p.ReleaseNotesTemplate, p.DeploymentChangesTemplate = in.ReleaseNotesTemplate, in.DeploymentChangesTemplate
		p.ForcePackageDownload = in.ForcePackageDownload
		doc, err := s.replace(tx, by, old, &p)
		if err != nil {
			return err
		}
		out = SettingsOf(to[resource.Project](doc))
		return nil
	})
	return out, err
}
