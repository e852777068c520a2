package documents

import (
	"context"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Processes are the deployment processes of a space's projects, or those of
// ids; snapshots only where they are named.
func (s *Service) Processes(ctx context.Context, by app.Caller, space string, q Query) (docs []resource.Doc, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if q.IDs == nil {
			projects, _, err := s.list(tx, by, resource.ProjectKind, space, Query{})
			if err != nil {
				return err
			}
			q.IDs = []string{}
			for _, doc := range projects {
				q.IDs = append(q.IDs, to[resource.Project](doc).DeploymentProcessID)
			}
		}
		docs, total, err = s.list(tx, by, resource.DeploymentProcessKind, space, q)
		return err
	})
	return docs, total, err
}

// ProcessOf reads the deployment process of a project.
func (s *Service) ProcessOf(ctx context.Context, by app.Caller, space, project string) (doc resource.Doc, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err := s.project(tx, by, space, project)
		if err != nil {
			return err
		}
		doc, err = s.find(tx, by, resource.DeploymentProcessKind, space, p.DeploymentProcessID)
		return err
	})
	return doc, err
}

// PutProcessOf stores the deployment process of a project.
func (s *Service) PutProcessOf(ctx context.Context, by app.Caller, space, project string, process *resource.DeploymentProcess) (doc resource.Doc, err error) {
	p, err := s.Get(ctx, by, resource.ProjectKind, space, project)
	if err != nil {
		return nil, err
	}
	return s.Update(ctx, by, space, to[resource.Project](p).DeploymentProcessID, process)
}

// ProcessTemplate is what a form for a new release needs (octopus-api.md 2.6).
type ProcessTemplate struct {
	DeploymentProcessID            string `json:"DeploymentProcessId"`
	LastReleaseVersion             *string
	NextVersionIncrement           string
	VersioningPackageStepName      *string
	VersioningPackageReferenceName *string
	Packages                       []TemplatePackage
	GitResources                   []TemplateGitResource
}

// TemplatePackage is a package reference that a release chooses a version of.
type TemplatePackage struct {
	StepName                   string
	ActionName                 string
	PackageReferenceName       string
	PackageID                  string `json:"PackageId"`
	NuGetPackageID             string `json:"NuGetPackageId"`
	FeedID                     string `json:"FeedId"`
	FeedName                   string
	ProjectName                *string
	VersionSelectedLastRelease *string
	FixedVersion               *string
	IsResolvable               bool
}

// TemplateGitResource is a repository that a release chooses a commit of.
type TemplateGitResource struct {
	ActionName      string
	Name            string
	RepositoryURI   string `json:"RepositoryUri"`
	DefaultBranch   string
	IsResolvable    bool
	FilePathFilters []string
}

// Template says what a new release of a project's process has to choose, and
// what the last one chose.
func (s *Service) Template(ctx context.Context, by app.Caller, space, project, channel string) (out ProcessTemplate, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err := s.project(tx, by, space, project)
		if err != nil {
			return err
		}
		doc, err := s.find(tx, by, resource.DeploymentProcessKind, space, p.DeploymentProcessID)
		if err != nil {
			return err
		}
		last, err := lastRelease(tx, p, channel)
		if err != nil {
			return err
		}
		out, err = s.template(tx, p, to[resource.DeploymentProcess](doc), last)
		return err
	})
	return out, err
}

// lastRelease is the newest release of the project, of the channel where one is
// named; nil when there is none.
func lastRelease(tx *store.Tx, p *resource.Project, channel string) (*resource.Release, error) {
	where := map[string][]string{"ProjectId": {p.ID}}
	if channel != "" {
		where["ChannelId"] = []string{channel}
	}
	release, err := store.First[resource.Release](tx, store.Query{Space: p.SpaceID, Where: where})
	if resource.CodeOf(err) == resource.NotFound {
		return nil, nil
	}
	return release, err
}

func (s *Service) template(tx *store.Tx, p *resource.Project, process *resource.DeploymentProcess, last *resource.Release) (ProcessTemplate, error) {
	out := ProcessTemplate{DeploymentProcessID: process.ID, Packages: []TemplatePackage{}, GitResources: []TemplateGitResource{}}
	version := ""
	if last != nil {
		version = last.Version
		out.LastReleaseVersion = &version
	}
	if err := versioning(&out, p, version); err != nil {
		return out, err
	}
	for i := range process.Steps {
		step := &process.Steps[i]
		for j := range step.Actions {
			if step.Actions[j].IsDisabled {
				continue
			}
			packages, err := templatePackages(tx, p.SpaceID, step, &step.Actions[j], last)
			if err != nil {
				return out, err
			}
			out.Packages = append(out.Packages, packages...)
			for _, g := range step.Actions[j].GitDependencies {
				out.GitResources = append(out.GitResources, TemplateGitResource{
					ActionName: step.Actions[j].Name, Name: g.Name, RepositoryURI: g.RepositoryURI, DefaultBranch: g.DefaultBranch,
					IsResolvable: true, FilePathFilters: append([]string{}, g.FilePathFilters...),
				})
			}
		}
	}
	return out, nil
}

// versioning says where the version of the next release comes from.
func versioning(out *ProcessTemplate, p *resource.Project, last string) error {
	strategy := p.VersioningStrategy
	if strategy != nil && strategy.DonorPackage != nil {
		name := strategy.DonorPackage.DeploymentAction
		reference := strategy.DonorPackage.PackageReference
		out.VersioningPackageStepName, out.VersioningPackageReferenceName = &name, &reference
		return nil
	}
	template := resource.DefaultVersionTemplate
	if strategy != nil && strategy.Template != "" {
		template = strategy.Template
	}
	next, err := deploy.NextVersion(template, last)
	if err != nil {
		return resource.Errorf(resource.Invalid, "The next version of '%s' cannot be made: %v. Please correct the project's versioning template.", p.Name, err)
	}
	out.NextVersionIncrement = next
	return nil
}

func templatePackages(tx *store.Tx, space string, step *resource.Step, a *resource.Action, last *resource.Release) ([]TemplatePackage, error) {
	var list []TemplatePackage
	for _, ref := range a.Packages {
		one := TemplatePackage{
			StepName: step.Name, ActionName: a.Name, PackageReferenceName: ref.Name, PackageID: ref.PackageID, NuGetPackageID: ref.PackageID,
			FeedID: ref.FeedID, IsResolvable: resolvable(ref.PackageID) && resolvable(ref.FeedID),
		}
		if ref.Version != "" {
			version := ref.Version
			one.FixedVersion = &version
		}
		feed, err := store.GetIn[resource.Feed](tx, space, ref.FeedID)
		if err != nil && resource.CodeOf(err) != resource.NotFound {
			return nil, fmt.Errorf("feed of %s: %w", a.Name, err)
		}
		if err == nil {
			one.FeedName = feed.Name
		}
		if last != nil {
			one.VersionSelectedLastRelease = selectedVersion(last, a.Name, ref.Name)
		}
		list = append(list, one)
	}
	return list, nil
}

func resolvable(text string) bool { return text != "" && !strings.Contains(text, "#{") }

func selectedVersion(r *resource.Release, action, reference string) *string {
	for _, selected := range r.SelectedPackages {
		if resource.Fold(selected.ActionName) == resource.Fold(action) && resource.Fold(selected.PackageReferenceName) == resource.Fold(reference) {
			return &selected.Version
		}
	}
	return nil
}
