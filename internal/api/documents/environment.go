package documents

import (
	"net/http"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) environments() []api.Route {
	k := resource.EnvironmentKind
	routes := append(a.crud(k, options{}),
		api.Put("/environments/sortorder", authz.EnvironmentEdit, "Put the environments into an order", a.sortEnvironments).Showing(k, api.Bare),
		api.Get("/environments/summary", authz.EnvironmentView, "Count the machines by environment", a.summarizeEnvironments).
			With("ids", "partialName", "machinePartialName", "roles", "isDisabled", "healthStatuses", "commStyles", "tenantIds", "tenantTags", "hideEmptyEnvironments", "shellNames"),
		api.ForKind(http.MethodGet, "/environments/v2", authz.EnvironmentView, "List environments with their type", k, api.Some, nil, a.environmentsV2).
			Paged().With(append(filters(k), "type")...),
		api.Get("/environments/{id}/metadata", authz.EnvironmentView, "What the extensions of an environment can hold", a.environmentMetadata),
		api.Get("/environments/{id}/singlyScopedVariableDetails", authz.EnvironmentView, "Whether variables are scoped to this environment alone", a.singlyScoped),
	)
	return append(routes, a.below(k, "/environments/{id}/machines", resource.MachineKind, "EnvironmentIds", "The machines of an environment")...)
}

func (a *area) sortEnvironments(c *api.Call, ids []string) ([]api.Item, error) {
	docs, err := a.docs.SortEnvironments(c.Context(), c.Caller, c.Space, ids)
	return api.ItemsOf(docs), err
}

// environmentsV2 adds the type. All of Slipway's environments are static.
func (a *area) environmentsV2(c *api.Call, _ resource.Doc) (any, error) {
	k := resource.EnvironmentKind
	q := queryOf(c, k)
	if types := c.List("type"); types != nil && !containsFold(types, "Static") {
		q.IDs = []string{}
	}
	docs, total, err := a.docs.List(c.Context(), c.Caller, k, c.Space, q)
	items := make([]api.Item, 0, len(docs))
	for _, doc := range docs {
		items = append(items, api.ItemOf(doc, api.Member{Name: "Type", Value: "Static"}))
	}
	return api.CollectionOf(c, k.Name, items, total), err
}

func containsFold(list []string, text string) bool {
	for _, s := range list {
		if strings.EqualFold(s, text) {
			return true
		}
	}
	return false
}

// EnvironmentsSummary is documents.EnvironmentsSummary with links.
type EnvironmentsSummary struct {
	documents.MachineCounts
	EnvironmentSummaries []EnvironmentSummary
	Links                api.Links
}

// EnvironmentSummary counts the machines of one environment.
type EnvironmentSummary struct {
	documents.MachineCounts
	Environment api.Item
}

func (a *area) summarizeEnvironments(c *api.Call) (EnvironmentsSummary, error) {
	environments := documents.Query{IDs: c.List("ids"), PartialName: c.Text("partialName")}
	machines := queryOf(c, resource.MachineKind)
	machines.IDs, machines.PartialName, machines.Name, machines.Skip, machines.Take = nil, c.Text("machinePartialName"), "", 0, 0
	found, err := a.docs.SummarizeEnvironments(c.Context(), c.Caller, c.Space, environments, machines, c.Flag("hideEmptyEnvironments"))
	out := EnvironmentsSummary{MachineCounts: found.MachineCounts, EnvironmentSummaries: []EnvironmentSummary{}, Links: api.Links{"Self": c.Path()}}
	for _, e := range found.EnvironmentSummaries {
		out.EnvironmentSummaries = append(out.EnvironmentSummaries, EnvironmentSummary{MachineCounts: e.MachineCounts, Environment: api.ItemOf(e.Environment)})
	}
	return out, err
}

// Metadata describes the settings that extensions add; Slipway has none.
type Metadata struct {
	Types []struct{}
	Links api.Links
}

func (a *area) environmentMetadata(c *api.Call) (Metadata, error) {
	_, err := a.docs.Get(c.Context(), c.Caller, resource.EnvironmentKind, c.Space, c.Param("id"))
	return Metadata{Types: []struct{}{}, Links: api.Links{"Self": c.Path()}}, err
}

// SinglyScoped says whether deleting an environment would widen a variable.
type SinglyScoped struct {
	HasUnauthorizedLibraryVariableSetVariables bool
	HasUnauthorizedProjectVariables            bool
	VariableMap                                map[string][]string
}

func (a *area) singlyScoped(c *api.Call) (SinglyScoped, error) {
	environment, err := a.docs.Get(c.Context(), c.Caller, resource.EnvironmentKind, c.Space, c.Param("id"))
	if err != nil {
		return SinglyScoped{}, err
	}
	sets, err := a.docs.AllVariables(c.Context(), c.Caller, c.Space, nil)
	out := SinglyScoped{VariableMap: map[string][]string{}}
	for _, set := range sets {
		for _, v := range set.Set.Variables {
			if len(v.Scope.Environment) == 1 && v.Scope.Environment[0] == *environment.Head().ID {
				out.VariableMap[set.Set.ID] = append(out.VariableMap[set.Set.ID], v.Name)
			}
		}
	}
	return out, err
}
