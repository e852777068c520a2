package documents

import (
	"encoding/json"
	"net/http"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) projects() []api.Route {
	k := resource.ProjectKind
	routes := append(a.crud(k, options{
		create: a.createProject, query: []string{"clone"},
		blank: func() resource.Doc { return &resource.Project{AllowIgnoreChannelRules: true} },
	}),
		api.Get("/projects/{id}/summary", authz.ProjectView, "What a project has", a.projectSummary),
		api.Get("/projects/{id}/deploymentsettings", authz.ProjectView, "The settings of a project's deployments", a.settings),
		api.Put("/projects/{id}/deploymentsettings", authz.ProjectEdit, "Change the settings of a project's deployments", a.putSettings),
		api.Get("/projects/{id}/metadata", authz.ProjectView, "What the extensions of a project can hold", a.projectMetadata),
		api.Raw(http.MethodGet, "/projects/{id}/logo", authz.ProjectView, "The logo of a project", "image/svg+xml", a.projectLogo),
	)
	return append(routes, a.projectChannels()...)
}

func (a *area) createProject(c *api.Call, doc resource.Doc) (resource.Doc, error) {
	if original := c.Text("clone"); original != "" {
		return a.docs.CloneProject(c.Context(), c.Caller, c.Space, original, to[resource.Project](doc))
	}
	return a.docs.Create(c.Context(), c.Caller, c.Space, doc)
}

// projectChannels are the channels of one project under its own address.
func (a *area) projectChannels() []api.Route {
	k := resource.ChannelKind
	one := func(c *api.Call) (resource.Doc, error) {
		return a.docs.GetOf(c.Context(), c.Caller, c.Space, resource.ProjectKind, c.Param("id"), k, "ProjectId", c.Param("channel"))
	}
	owned := func(c *api.Call, doc resource.Doc) (resource.Doc, error) {
		project, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id"))
		if err == nil {
			to[resource.Channel](doc).ProjectID = *project.Head().ID
		}
		return doc, err
	}
	return append(a.below(resource.ProjectKind, "/projects/{id}/channels", k, "ProjectId", "The channels of a project"),
		api.ForKind(http.MethodPost, "/projects/{id}/channels", authz.ProcessEdit, "Add a channel to a project", k, api.One, k.New, func(c *api.Call, doc resource.Doc) (any, error) {
			doc, err := owned(c, doc)
			if err != nil {
				return nil, err
			}
			return item(a.docs.Create(c.Context(), c.Caller, c.Space, doc))
		}),
		api.ForKind(http.MethodGet, "/projects/{id}/channels/{channel}", authz.ProcessView, "Get a channel of a project", k, api.One, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			return item(one(c))
		}),
		api.ForKind(http.MethodPut, "/projects/{id}/channels/{channel}", authz.ProcessEdit, "Change a channel of a project", k, api.One, k.New, func(c *api.Call, doc resource.Doc) (any, error) {
			old, err := one(c)
			if err != nil {
				return nil, err
			}
			return item(a.docs.Update(c.Context(), c.Caller, c.Space, *old.Head().ID, doc))
		}),
		api.Delete("/projects/{id}/channels/{channel}", authz.ProcessEdit, "Delete a channel of a project", func(c *api.Call) error {
			old, err := one(c)
			if err != nil {
				return err
			}
			return a.docs.Delete(c.Context(), c.Caller, k, c.Space, *old.Head().ID)
		}),
	)
}

func (a *area) projectSummary(c *api.Call) (documents.ProjectSummary, error) {
	return a.docs.SummarizeProject(c.Context(), c.Caller, c.Space, c.Param("id"))
}

// DeploymentSettings is documents.DeploymentSettings with links.
type DeploymentSettings struct {
	documents.DeploymentSettings
	Links api.Links
}

func settingsOf(s documents.DeploymentSettings) DeploymentSettings {
	project := "/api/" + s.SpaceID + "/projects/" + s.ProjectID
	return DeploymentSettings{s, api.Links{"Self": project + "/deploymentsettings", "Project": project}}
}

func (a *area) settings(c *api.Call) (DeploymentSettings, error) {
	doc, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id"))
	if err != nil {
		return DeploymentSettings{}, err
	}
	return settingsOf(documents.SettingsOf(to[resource.Project](doc))), nil
}

func (a *area) putSettings(c *api.Call, in documents.DeploymentSettings) (DeploymentSettings, error) {
	out, err := a.docs.PutSettings(c.Context(), c.Caller, c.Space, c.Param("id"), in)
	return settingsOf(out), err
}

func (a *area) projectMetadata(c *api.Call) ([]json.RawMessage, error) {
	_, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id"))
	return []json.RawMessage{}, err
}

func (a *area) projectLogo(w http.ResponseWriter, c *api.Call) error {
	if _, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id")); err != nil {
		return err
	}
	return writeLogo(w)
}
