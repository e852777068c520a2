package documents

import (
	"net/http"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) processes() []api.Route {
	k := resource.DeploymentProcessKind
	return []api.Route{
		api.ForKind(http.MethodGet, "/deploymentprocesses", authz.ProcessView, "List deployment processes", k, api.Some, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			docs, total, err := a.docs.Processes(c.Context(), c.Caller, c.Space, queryOf(c, k))
			return api.CollectionOf(c, k.Name, api.ItemsOf(docs), total), err
		}).Paged().With("ids"),
		api.ForKind(http.MethodGet, "/deploymentprocesses/{id}", authz.ProcessView, "Get a deployment process or a snapshot of one", k, api.One, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			return item(a.docs.Get(c.Context(), c.Caller, k, c.Space, c.Param("id")))
		}),
		api.ForKind(http.MethodPut, "/deploymentprocesses/{id}", authz.ProcessEdit, "Change a deployment process", k, api.One, k.New, func(c *api.Call, doc resource.Doc) (any, error) {
			return item(a.docs.Update(c.Context(), c.Caller, c.Space, c.Param("id"), doc))
		}),
		api.ForKind(http.MethodGet, "/projects/{id}/deploymentprocesses", authz.ProcessView, "Get the deployment process of a project", k, api.One, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			return item(a.docs.ProcessOf(c.Context(), c.Caller, c.Space, c.Param("id")))
		}),
		api.ForKind(http.MethodPut, "/projects/{id}/deploymentprocesses", authz.ProcessEdit, "Change the deployment process of a project", k, api.One, k.New, func(c *api.Call, doc resource.Doc) (any, error) {
			return item(a.docs.PutProcessOf(c.Context(), c.Caller, c.Space, c.Param("id"), to[resource.DeploymentProcess](doc)))
		}),
		api.Get("/projects/{id}/deploymentprocesses/template", authz.ProcessView, "What a new release has to choose", a.template).With("channel", "releaseId"),
		api.Get("/deploymentprocesses/{process}/template", authz.ProcessView, "What a new release has to choose", a.templateOfProcess).With("channel", "releaseId"),
	}
}

// ProcessTemplate is documents.ProcessTemplate with links.
type ProcessTemplate struct {
	documents.ProcessTemplate
	Links api.Links
}

func (a *area) template(c *api.Call) (ProcessTemplate, error) { return a.templateOf(c, c.Param("id")) }

func (a *area) templateOfProcess(c *api.Call) (ProcessTemplate, error) {
	return a.templateOf(c, resource.OwnerOf(c.Param("process")))
}

func (a *area) templateOf(c *api.Call, project string) (ProcessTemplate, error) {
	out, err := a.docs.Template(c.Context(), c.Caller, c.Space, project, c.Text("channel"))
	return ProcessTemplate{out, api.Links{"Self": c.Path()}}, err
}
