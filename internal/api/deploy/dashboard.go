package deploy

import (
	"strconv"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) dashboardRoutes() []api.Route {
	return []api.Route{
		api.Get("/projects/{project}/progression", authz.ReleaseView, "Show a project's releases across its environments", h.progression).With("aggregate", "releaseHistoryCount"),
		api.Get("/progression/{project}", authz.ReleaseView, "Show a project's releases across its environments", h.progression).With("aggregate", "releaseHistoryCount"),
		api.Get("/dashboard", authz.DeploymentView, "Show what runs where", h.dashboard).With("projectId", "releaseId", "selectedTenants", "selectedTags", "showAll", "highestLatestVersionPerProjectAndEnvironment"),
		api.Get("/dashboard/machines", authz.DeploymentView, "Show which release runs per project, environment and machine", h.releaseBoard).With("projects", "environments"),
		api.Get("/machines/{id}/why", authz.MachineView, "Say what a machine runs and why, and what it waits for", h.why),
		api.Get("/dashboard/dynamic", authz.DeploymentView, "Show what runs in chosen environments", h.dynamic).With("projects", "environments", "includePrevious"),
	}
}

type progressionAnswer struct {
	Environments          []progressionEnvironment
	LifecycleEnvironments map[string][]progressionEnvironment
	ChannelEnvironments   map[string][]progressionEnvironment
	Releases              []progressionRelease
	Links                 api.Links
}

type progressionEnvironment struct {
	ID   string `json:"Id"`
	Name string
}

type progressionRelease struct {
	Release                 api.Item
	Channel                 api.Item
	Deployments             map[string][]dashboardItem
	NextDeployments         []string
	HasUnresolvedDefect     bool
	ReleaseRetentionPeriod  *resource.RetentionPeriod
	TentacleRetentionPeriod *resource.RetentionPeriod
}

func (h *handler) progression(c *api.Call) (*progressionAnswer, error) {
	releases := 10
	if n, err := strconv.Atoi(c.Text("releaseHistoryCount")); err == nil && n > 0 {
		releases = min(n, 100)
	}
	view, err := h.deploy.Progression(c.Context(), c.Caller, c.Space, c.Param("project"), releases)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for i := range view.Environments {
		names[view.Environments[i].ID] = view.Environments[i].Name
	}
	answer := &progressionAnswer{
		Environments: []progressionEnvironment{}, LifecycleEnvironments: map[string][]progressionEnvironment{},
		ChannelEnvironments: map[string][]progressionEnvironment{}, Releases: []progressionRelease{}, Links: api.Links{"Self": c.Path()},
	}
	seen := map[string]bool{}
	for channel, lifecycle := range view.Lifecycles {
		list := []progressionEnvironment{}
		for _, id := range deploy.PhaseEnvironments(lifecycle, view.Environments) {
			list = append(list, progressionEnvironment{id, names[id]})
			seen[id] = true
		}
		answer.ChannelEnvironments[channel], answer.LifecycleEnvironments[lifecycle.ID] = list, list
	}
	for i := range view.Environments {
		if e := &view.Environments[i]; seen[e.ID] {
			answer.Environments = append(answer.Environments, progressionEnvironment{e.ID, e.Name})
		}
	}
	for _, r := range view.Releases {
		answer.Releases = append(answer.Releases, progressionReleaseOf(view, r))
	}
	return answer, nil
}

func progressionReleaseOf(view *deploy.ProjectProgress, r *deploy.ReleaseProgress) progressionRelease {
	row := progressionRelease{Release: api.ItemOf(r.Release), Deployments: map[string][]dashboardItem{}, NextDeployments: list(r.Next)}
	for i := range view.Channels {
		if view.Channels[i].ID == r.Release.ChannelID {
			row.Channel = api.ItemOf(&view.Channels[i])
			row.ReleaseRetentionPeriod = view.Lifecycles[r.Release.ChannelID].ReleaseRetentionPolicy
			row.TentacleRetentionPeriod = view.Lifecycles[r.Release.ChannelID].TentacleRetentionPolicy
		}
	}
	for i := range r.Deployments {
		d := &r.Deployments[i]
		env := d.Deployment.EnvironmentID
		item := deploy.DashboardItem{DeploymentTask: *d, Version: r.Release.Version, Current: len(row.Deployments[env]) == 0}
		row.Deployments[env] = append(row.Deployments[env], itemOnBoard(&item))
	}
	return row
}

type dashboardAnswer struct {
	Projects      []dashboardProject
	ProjectGroups []dashboardGroup
	Environments  []named
	Tenants       []named
	Items         []dashboardItem
	ProjectLimit  *int
	IsFiltered    bool
	Links         api.Links
}

type dashboardProject struct {
	ID                             string `json:"Id"`
	Name                           string
	Slug                           string
	ProjectGroupID                 string   `json:"ProjectGroupId"`
	EnvironmentIDs                 []string `json:"EnvironmentIds"`
	TenantedDeploymentMode         string
	CanPerformUntenantedDeployment bool
	IsDisabled                     bool
	Links                          api.Links
}

type dashboardGroup struct {
	ID             string `json:"Id"`
	Name           string
	EnvironmentIDs []string `json:"EnvironmentIds"`
	Links          api.Links
}

type dashboardItem struct {
	ID                       string `json:"Id"`
	ProjectID                string `json:"ProjectId"`
	EnvironmentID            string `json:"EnvironmentId"`
	ReleaseID                string `json:"ReleaseId"`
	DeploymentID             string `json:"DeploymentId"`
	TaskID                   string `json:"TaskId"`
	TenantID                 string `json:"TenantId"`
	ChannelID                string `json:"ChannelId"`
	ReleaseVersion           string
	Created                  resource.Time
	QueueTime                resource.Time
	StartTime                resource.Time
	CompletedTime            resource.Time
	State                    deploy.TaskState
	HasPendingInterruptions  bool
	HasPendingPreconditions  bool
	HasWarningsOrErrors      bool
	ErrorMessage             string
	Duration                 string
	IsCurrent                bool
	IsPrevious               bool
	IsCompleted              bool
	PendingInterruptionTypes []string
	PendingPreconditionTypes []string
	Links                    api.Links
}

func itemOnBoard(i *deploy.DashboardItem) dashboardItem {
	d, t := &i.Deployment, &i.Task
	item := dashboardItem{
		ID: d.ID, ProjectID: d.ProjectID, EnvironmentID: d.EnvironmentID, ReleaseID: d.ReleaseID, DeploymentID: d.ID, TaskID: d.TaskID, TenantID: d.TenantID,
		ChannelID: d.ChannelID, ReleaseVersion: i.Version, Created: d.Created, QueueTime: resource.Time(t.QueueTime), StartTime: resource.Time(t.StartTime),
		CompletedTime: resource.Time(t.CompletedTime), State: t.State, HasWarningsOrErrors: t.HasWarnings || t.Error != "", ErrorMessage: t.Error,
		IsCurrent: i.Current, IsPrevious: i.Previous, IsCompleted: t.State.Completed(), HasPendingInterruptions: len(t.Asking) > 0, PendingInterruptionTypes: textsOf(t.Asking), PendingPreconditionTypes: []string{},
		Links: api.Links{
			"Self": api.PathOf(d), "Task": "/api/tasks/" + t.ID, "Release": "/api/" + d.SpaceID + "/releases/" + d.ReleaseID,
			"Environment": "/api/" + d.SpaceID + "/environments/" + d.EnvironmentID,
		},
	}
	if t.StartTime > 0 && t.CompletedTime > 0 {
		item.Duration = inWords(time.Duration(t.CompletedTime-t.StartTime) * time.Millisecond)
	}
	return item
}

func (h *handler) dashboard(c *api.Call) (*dashboardAnswer, error) {
	q := deploy.DashboardQuery{}
	if c.Has("projectId") {
		q.Projects = c.List("projectId")
	}
	return h.board(c, q, c.Has("projectId") || c.Has("selectedTenants") || c.Has("selectedTags"))
}

func (h *handler) dynamic(c *api.Call) (*dashboardAnswer, error) {
	q := deploy.DashboardQuery{Projects: c.List("projects"), Environments: c.List("environments"), IncludePrevious: c.Flag("includePrevious")}
	return h.board(c, q, q.Projects != nil || q.Environments != nil)
}

func (h *handler) board(c *api.Call, q deploy.DashboardQuery, filtered bool) (*dashboardAnswer, error) {
	board, err := h.deploy.Dashboard(c.Context(), c.Caller, c.Space, q)
	if err != nil {
		return nil, err
	}
	answer := &dashboardAnswer{
		Projects: []dashboardProject{}, ProjectGroups: []dashboardGroup{}, Environments: []named{}, Tenants: []named{}, Items: []dashboardItem{},
		IsFiltered: filtered, Links: api.Links{"Self": c.Path()},
	}
	var environments []string
	for i := range board.Environments {
		e := &board.Environments[i]
		environments = append(environments, e.ID)
		answer.Environments = append(answer.Environments, named{e.ID, e.Name, api.LinksOf(e)})
	}
	for i := range board.Projects {
		p := &board.Projects[i]
		answer.Projects = append(answer.Projects, dashboardProject{
			ID: p.ID, Name: p.Name, Slug: p.Slug, ProjectGroupID: p.ProjectGroupID, EnvironmentIDs: list(environments), TenantedDeploymentMode: p.TenantedDeploymentMode,
			CanPerformUntenantedDeployment: p.TenantedDeploymentMode != resource.Tenanted, IsDisabled: p.IsDisabled, Links: api.LinksOf(p),
		})
	}
	for i := range board.Groups {
		g := &board.Groups[i]
		answer.ProjectGroups = append(answer.ProjectGroups, dashboardGroup{g.ID, g.Name, list(environments), api.LinksOf(g)})
	}
	for i := range board.Items {
		answer.Items = append(answer.Items, itemOnBoard(&board.Items[i]))
	}
	return answer, nil
}
