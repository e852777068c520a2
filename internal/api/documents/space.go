package documents

import (
	"net/http"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) spaces() []api.Route {
	k := resource.SpaceKind
	return append(a.crud(k, options{
		scope: route.Global, public: true,
		create: func(c *api.Call, doc resource.Doc) (resource.Doc, error) {
			return a.docs.CreateSpace(c.Context(), c.Caller, to[resource.Space](doc))
		},
	}),
		api.Get("/spaces/{id}/search", authz.SignedIn, "Find documents of a space by name", a.search).At(route.Global).With("keyword"),
		api.Raw(http.MethodGet, "/spaces/{id}/logo", authz.SignedIn, "The logo of a space", "image/svg+xml", a.spaceLogo).At(route.Global),
	)
}

// SearchResult is a document that a search found.
type SearchResult struct {
	ID    string `json:"Id"`
	Name  string
	Type  string
	Links api.Links
}

// searched are the kinds that a search looks into.
func searched() []*resource.Kind {
	return []*resource.Kind{resource.ProjectKind, resource.EnvironmentKind, resource.MachineKind, resource.LibraryVariableSetKind, resource.LifecycleKind}
}

func (a *area) search(c *api.Call) ([]SearchResult, error) {
	space, err := a.docs.Get(c.Context(), c.Caller, resource.SpaceKind, "", c.Param("id"))
	if err != nil {
		return nil, err
	}
	results := []SearchResult{}
	for _, k := range searched() {
		if c.Text("keyword") == "" || !authz.CanSomewhere(c.Caller.Subject, must(k, authz.View), *space.Head().ID) {
			continue
		}
		q := queryOf(c, k)
		q.PartialName, q.Skip, q.Take = c.Text("keyword"), 0, 20
		docs, _, err := a.docs.List(c.Context(), c.Caller, k, *space.Head().ID, q)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			results = append(results, SearchResult{ID: *doc.Head().ID, Name: api.NameOf(doc), Type: k.Name, Links: api.Links{"Self": api.PathOf(doc)}})
		}
	}
	return results, nil
}

func (a *area) spaceLogo(w http.ResponseWriter, c *api.Call) error {
	if _, err := a.docs.Get(c.Context(), c.Caller, resource.SpaceKind, "", c.Param("id")); err != nil {
		return err
	}
	return writeLogo(w)
}

const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0d6b78"/></svg>`

// writeLogo writes the one logo that everything has. Uploaded pictures are not
// kept.
func writeLogo(w http.ResponseWriter) error {
	_, err := w.Write([]byte(logo))
	return err
}
