package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) releaseRoutes() []api.Route {
	const view, edit = authz.ReleaseView, authz.ReleaseEdit
	kind := resource.ReleaseKind
	return []api.Route{
		api.Post("/releases/create/v1", authz.ReleaseCreate, "Create a release by names", h.createReleaseV1).Answers(201),
		api.Get("/releases", view, "List releases", h.listReleases).With("ids").Paged().Showing(kind, api.Some),
		api.Post("/releases", authz.ReleaseCreate, "Create a release", h.createRelease).With("ignoreChannelRules").Taking(kind).Showing(kind, api.One),
		api.Get("/releases/{id}", view, "Get a release", h.getRelease).Showing(kind, api.One),
		api.Put("/releases/{id}", edit, "Change a release's version or notes", h.updateRelease).Taking(kind).Showing(kind, api.One),
		api.Delete("/releases/{id}", authz.ReleaseDelete, "Delete a release with its deployments", h.deleteRelease),
		api.Get("/projects/{project}/releases", view, "List a project's releases", h.listReleases).With("searchByVersion").Paged().Showing(kind, api.Some),
		api.Get("/projects/{project}/releases/{version}", view, "Get a project's release by version", h.getReleaseByVersion).Showing(kind, api.One),
		api.Get("/channels/{channel}/releases", view, "List a channel's releases", h.listReleases).With("searchByVersion").Paged().Showing(kind, api.Some),
		api.Get("/projects/{project}/channels/{channel}/releases", view, "List a channel's releases", h.listReleases).With("searchByVersion").Paged().Showing(kind, api.Some),
		api.Get("/releases/{id}/deployments", view, "List a release's deployments", h.releaseDeployments).Paged().Showing(resource.DeploymentKind, api.Some),
		api.Get("/releases/{id}/progression", view, "Say where a release may go", h.releaseProgression),
		api.Get("/releases/{id}/deployments/template", view, "Get what a deployment of the release needs", h.deploymentTemplate),
		api.Get("/releases/{id}/deployments/preview/{environment}", view, "Preview a deployment", h.preview).With("includeDisabledSteps"),
		api.Post("/releases/{id}/deployments/previews", view, "Preview deployments", h.previews).Answers(200),
		api.Get("/releases/{id}/missingpackages", view, "List packages that are missing", h.missingPackages),
		api.Post("/releases/{id}/snapshot-variables", edit, "Give the release the current variables", h.snapshotVariables).Bodiless().Answers(200).Showing(kind, api.One),
		api.Get("/releases/{id}/defects", view, "List a release's defects", func(c *api.Call) (api.Collection[struct{}], error) {
			_, err := h.deploy.Release(c.Context(), c.Caller, c.Space, c.Param("id"))
			return api.CollectionOf[struct{}](c, "Defect", nil, 0), err
		}).Paged(),
	}
}

// createReleaseV1Body is the executions API's form (octopus-api.md 1.9).
type createReleaseV1Body struct {
	ProjectName           string
	PackageVersion        string
	GitCommit             string
	GitRef                string
	ReleaseVersion        string
	ChannelName           string
	Packages              []string
	GitResources          []string
	ReleaseNotes          string
	IgnoreIfAlreadyExists bool
	IgnoreChannelRules    bool
	PackagePrerelease     string
	CustomFields          map[string]string
	ProjectID             string `json:"ProjectId"`
	ProjectIDOrName       string `json:"ProjectIdOrName"`
	ChannelIDOrName       string `json:"ChannelIdOrName"`
	SpaceID               string `json:"SpaceId"`
	SpaceIDOrName         string `json:"SpaceIdOrName"`
}

type createReleaseV1Answer struct {
	ReleaseID                         string `json:"ReleaseId"`
	ReleaseVersion                    string
	AutomaticallyDeployedEnvironments string
}

func (h *handler) createReleaseV1(c *api.Call, in createReleaseV1Body) (createReleaseV1Answer, error) {
	if in.GitCommit != "" || in.GitRef != "" || len(in.GitResources) > 0 {
		return createReleaseV1Answer{}, resource.Errorf(resource.Invalid, "Projects in Git are not supported yet. Leave gitRef, gitCommit and gitResources out.")
	}
	ask := deploy.NewRelease{
		Project: firstOf(in.ProjectName, in.ProjectIDOrName, in.ProjectID), Channel: firstOf(in.ChannelName, in.ChannelIDOrName), Version: in.ReleaseVersion,
		PackageVersion: in.PackageVersion, PackagePrerelease: in.PackagePrerelease, Notes: in.ReleaseNotes, CustomFields: in.CustomFields,
		IgnoreIfExists: in.IgnoreIfAlreadyExists, IgnoreChannelRules: in.IgnoreChannelRules,
	}
	for _, text := range in.Packages {
		spec, err := deploy.ParsePackageSpec(text)
		if err != nil {
			return createReleaseV1Answer{}, err
		}
		ask.Packages = append(ask.Packages, spec)
	}
	release, made, err := h.deploy.CreateRelease(c.Context(), c.Caller, c.Space, ask)
	if err != nil {
		return createReleaseV1Answer{}, err
	}
	if !made {
		c.Status(200)
	}
	return createReleaseV1Answer{ReleaseID: release.ID, ReleaseVersion: release.Version}, nil
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// releaseBody is a release document as clients post it.
type releaseBody struct {
	ProjectID          string `json:"ProjectId"`
	ChannelID          string `json:"ChannelId"`
	Version            string
	ReleaseNotes       string
	IgnoreChannelRules bool
	SelectedPackages   []resource.SelectedPackage
	CustomFields       map[string]string
}

func (h *handler) createRelease(c *api.Call, in releaseBody) (api.Item, error) {
	release, _, err := h.deploy.CreateRelease(c.Context(), c.Caller, c.Space, deploy.NewRelease{
		Project: in.ProjectID, Channel: in.ChannelID, Version: in.Version, Notes: in.ReleaseNotes, Selected: in.SelectedPackages,
		CustomFields: in.CustomFields, IgnoreChannelRules: in.IgnoreChannelRules || c.Flag("ignoreChannelRules"),
	})
	return itemOf(release, err)
}

func itemOf[T any, P interface {
	*T
	resource.Doc
}](doc P, err error) (api.Item, error) {
	if err != nil {
		return api.Item{}, err
	}
	return api.ItemOf(doc), nil
}

func itemsOf[T any, P interface {
	*T
	resource.Doc
}](docs []T) []api.Item {
	items := make([]api.Item, 0, len(docs))
	for i := range docs {
		items = append(items, api.ItemOf(P(&docs[i])))
	}
	return items
}

func (h *handler) listReleases(c *api.Call) (api.Collection[api.Item], error) {
	list, total, err := h.deploy.Releases(c.Context(), c.Caller, c.Space, deploy.ReleaseQuery{
		Project: c.Param("project"), Channel: c.Param("channel"), IDs: c.List("ids"), Version: c.Text("searchByVersion"),
		Skip: c.Page().Skip, Take: c.Page().Take,
	})
	return api.CollectionOf(c, "Release", itemsOf(list), total), err
}

func (h *handler) getRelease(c *api.Call) (api.Item, error) {
	return itemOf(h.deploy.Release(c.Context(), c.Caller, c.Space, c.Param("id")))
}

func (h *handler) getReleaseByVersion(c *api.Call) (api.Item, error) {
	return itemOf(h.deploy.ReleaseByVersion(c.Context(), c.Caller, c.Space, c.Param("project"), c.Param("version")))
}

func (h *handler) updateRelease(c *api.Call, in releaseBody) (api.Item, error) {
	return itemOf(h.deploy.UpdateRelease(c.Context(), c.Caller, c.Space, c.Param("id"), in.Version, in.ReleaseNotes))
}

func (h *handler) deleteRelease(c *api.Call) error {
	return h.deploy.DeleteRelease(c.Context(), c.Caller, c.Space, c.Param("id"))
}

func (h *handler) snapshotVariables(c *api.Call, _ api.None) (api.Item, error) {
	return itemOf(h.deploy.SnapshotVariables(c.Context(), c.Caller, c.Space, c.Param("id")))
}

func (h *handler) releaseDeployments(c *api.Call) (api.Collection[api.Item], error) {
	list, total, err := h.deploy.Deployments(c.Context(), c.Caller, c.Space, deploy.DeploymentQuery{
		Releases: []string{c.Param("id")}, Skip: c.Page().Skip, Take: c.Page().Take,
	})
	return api.CollectionOf(c, "Deployment", itemsOf(list), total), err
}

// phaseAnswer is one phase of a release's way (octopus-api.md 2.12).
type phaseAnswer struct {
	ID                                 string `json:"Id"`
	Name                               string
	Blocked                            bool
	Progress                           string
	Deployments                        []phaseDeployment
	AutomaticDeploymentTargets         []string
	OptionalDeploymentTargets          []string
	MinimumEnvironmentsBeforePromotion int
	IsOptionalPhase                    bool
	IsPriorityPhase                    bool
	ReleaseRetentionPolicy             *resource.RetentionPeriod
	TentacleRetentionPolicy            *resource.RetentionPeriod
}

type phaseDeployment struct {
	Task       taskAnswer
	Deployment api.Item
}

type releaseProgressionAnswer struct {
	Phases                         []phaseAnswer
	NextDeployments                []string
	NextDeploymentsMinimumRequired int
	Links                          api.Links
}

func (h *handler) releaseProgression(c *api.Call) (*releaseProgressionAnswer, error) {
	view, err := h.deploy.ReleaseProgression(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return nil, err
	}
	answer := &releaseProgressionAnswer{Phases: []phaseAnswer{}, NextDeployments: list(view.Next), Links: api.Links{"Self": c.Path()}}
	current := true
	for i := range view.Phases {
		p := &view.Phases[i]
		phase := phaseAnswer{
			ID: p.Phase.ID, Name: p.Phase.Name, Blocked: p.Blocked, Progress: "Pending",
			AutomaticDeploymentTargets: list(p.Phase.AutomaticDeploymentTargets), OptionalDeploymentTargets: list(p.Phase.OptionalDeploymentTargets),
			MinimumEnvironmentsBeforePromotion: p.Phase.MinimumEnvironmentsBeforePromotion, IsOptionalPhase: p.Phase.IsOptionalPhase,
			IsPriorityPhase: p.Phase.IsPriorityPhase, ReleaseRetentionPolicy: p.Phase.ReleaseRetentionPolicy, TentacleRetentionPolicy: p.Phase.TentacleRetentionPolicy,
			Deployments: []phaseDeployment{},
		}
		switch {
		case p.Done:
			phase.Progress = "Complete"
		case current:
			phase.Progress, current = "Current", false
		}
		for j := range view.Deployments {
			d := &view.Deployments[j]
			for _, env := range p.Environments() {
				if d.Deployment.EnvironmentID == env {
					phase.Deployments = append(phase.Deployments, phaseDeployment{taskOf(&d.Task), api.ItemOf(&d.Deployment)})
				}
			}
		}
		answer.Phases = append(answer.Phases, phase)
	}
	return answer, nil
}

func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

type named struct {
	ID    string `json:"Id"`
	Name  string
	Links api.Links
}

type deploymentTemplateAnswer struct {
	PromoteTo                    []named
	TenantPromotions             []named
	IsDeploymentProcessModified  bool
	IsVariableSetModified        bool
	IsLibraryVariableSetModified bool
	DeploymentNotes              string
	Links                        api.Links
}

func (h *handler) deploymentTemplate(c *api.Call) (*deploymentTemplateAnswer, error) {
	view, err := h.deploy.ReleaseProgression(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return nil, err
	}
	board, err := h.deploy.Dashboard(c.Context(), c.Caller, c.Space, deploy.DashboardQuery{Projects: []string{view.Project.ID}})
	if err != nil {
		return nil, err
	}
	answer := &deploymentTemplateAnswer{PromoteTo: []named{}, TenantPromotions: []named{}, Links: api.Links{"Self": c.Path()}}
	for _, id := range view.Next {
		for i := range board.Environments {
			if env := &board.Environments[i]; env.ID == id {
				answer.PromoteTo = append(answer.PromoteTo, named{id, env.Name, api.Links{
					"Preview": api.PathOf(view.Release) + "/deployments/preview/" + id + "{?includeDisabledSteps}",
				}})
			}
		}
	}
	return answer, nil
}

type missingPackagesAnswer struct {
	Packages []struct{ ID, Version string }
}

// missingPackages is empty: a release pins bytes that cannot be removed while
// it names them.
func (h *handler) missingPackages(c *api.Call) (*missingPackagesAnswer, error) {
	_, err := h.deploy.Release(c.Context(), c.Caller, c.Space, c.Param("id"))
	return &missingPackagesAnswer{Packages: []struct{ ID, Version string }{}}, err
}

type previewAnswer struct {
	StepsToExecute                []previewStepAnswer
	Form                          formAnswer
	UseGuidedFailureModeByDefault bool
	Links                         api.Links
}

type previewStepAnswer struct {
	ActionID                string `json:"ActionId"`
	ActionName              string
	ActionNumber            string
	Roles                   []string
	MachineNames            []string
	Machines                []previewMachine
	CanBeSkipped            bool
	IsDisabled              bool
	HasNoApplicableMachines bool
	UnavailableMachines     []previewMachine
	ExcludedMachines        []previewMachine
}

type previewMachine struct {
	ID                string `json:"Id"`
	Name              string
	HasLatestCalamari bool
	HealthStatus      string
	Links             api.Links
}

type formAnswer struct {
	Values   map[string]string
	Elements []formElement
}

type formElement struct {
	Name            string
	IsValueRequired bool
	Control         formControl
}

type formControl struct {
	Type, Name, Label, Description string
	Required                       bool
	DisplaySettings                map[string]string
}

func (h *handler) preview(c *api.Call) (*previewAnswer, error) {
	return h.previewOf(c, c.Param("environment"), c.Flag("includeDisabledSteps"))
}

func (h *handler) previewOf(c *api.Call, environment string, disabled bool) (*previewAnswer, error) {
	view, err := h.deploy.PreviewDeployment(c.Context(), c.Caller, c.Space, c.Param("id"), environment, disabled)
	if err != nil {
		return nil, err
	}
	answer := &previewAnswer{
		StepsToExecute: []previewStepAnswer{}, Form: formAnswer{Values: map[string]string{}, Elements: []formElement{}},
		UseGuidedFailureModeByDefault: view.Guided, Links: api.Links{"Self": c.Path()},
	}
	for i := range view.Steps {
		s := &view.Steps[i]
		step := previewStepAnswer{
			ActionID: s.ActionID, ActionName: s.ActionName, ActionNumber: s.ActionNumber, Roles: list(s.Roles), MachineNames: []string{},
			Machines: machinesOf(s.Machines), UnavailableMachines: machinesOf(s.Unavailable), ExcludedMachines: []previewMachine{},
			CanBeSkipped: s.CanBeSkipped, IsDisabled: s.IsDisabled, HasNoApplicableMachines: s.NoMachines,
		}
		for _, m := range step.Machines {
			step.MachineNames = append(step.MachineNames, m.Name)
		}
		answer.StepsToExecute = append(answer.StepsToExecute, step)
	}
	for i := range view.Prompts {
		answer.Form.Values[view.Prompts[i].ID] = view.Prompts[i].Value
	}
	answer.Form.Elements = formElements(view.Prompts)
	return answer, nil
}

func machinesOf(machines []resource.Machine) []previewMachine {
	answer := make([]previewMachine, 0, len(machines))
	for i := range machines {
		m := &machines[i]
		answer = append(answer, previewMachine{m.ID, m.Name, m.HasLatestCalamari, m.HealthStatus, api.LinksOf(m)})
	}
	return answer
}

type previewsBody struct {
	DeploymentPreviews []struct {
		EnvironmentID string `json:"EnvironmentId"`
		TenantID      string `json:"TenantId"`
	}
	IncludeDisabledSteps bool
}

func (h *handler) previews(c *api.Call, in previewsBody) ([]*previewAnswer, error) {
	answers := []*previewAnswer{}
	for _, p := range in.DeploymentPreviews {
		answer, err := h.previewOf(c, p.EnvironmentID, in.IncludeDisabledSteps)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}
