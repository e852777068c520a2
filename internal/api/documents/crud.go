package documents

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// options are where a kind differs from all others.
type options struct {
	scope  route.Scope
	create func(c *api.Call, doc resource.Doc) (resource.Doc, error)
	blank  func() resource.Doc // what a new document has unless the request says otherwise
	query  []string            // further query parameters of POST
	// public says that the list needs no permission of its own: everybody sees
	// what he may enter.
	public bool
}

// crud is list, all, get, post, put and delete of a kind. All of them follow
// from its declaration (design 4).
func (a *area) crud(k *resource.Kind, o options) []api.Route {
	view, create, edit, remove := must(k, authz.View), must(k, authz.Create), must(k, authz.Edit), must(k, authz.Delete)
	if o.public {
		view = authz.SignedIn
	}
	if o.create == nil {
		o.create = func(c *api.Call, doc resource.Doc) (resource.Doc, error) {
			return a.docs.Create(c.Context(), c.Caller, c.Space, doc)
		}
	}
	blank := o.blank
	if blank == nil {
		blank = k.New
	}
	base, one := "/"+k.Route, "/"+k.Route+"/{id}"
	routes := []api.Route{
		api.ForKind(http.MethodGet, base, view, "List "+plural(k), k, api.Some, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			docs, total, err := a.docs.List(c.Context(), c.Caller, k, c.Space, queryOf(c, k))
			return api.CollectionOf(c, k.Name, api.ItemsOf(docs), total), err
		}).Paged().With(filters(k)...),
		api.ForKind(http.MethodGet, base+"/all", view, "All "+plural(k), k, api.Bare, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			q := queryOf(c, k)
			q.Skip, q.Take = 0, 0
			docs, _, err := a.docs.List(c.Context(), c.Caller, k, c.Space, q)
			return api.ItemsOf(docs), err
		}).With(filters(k)...),
		api.ForKind(http.MethodPost, base, create, "Add a "+k.Noun, k, api.One, blank, func(c *api.Call, doc resource.Doc) (any, error) {
			return item(o.create(c, doc))
		}).With(o.query...),
		api.ForKind(http.MethodGet, one, view, "Get a "+k.Noun+" by id, slug or name", k, api.One, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			return item(a.docs.Get(c.Context(), c.Caller, k, c.Space, c.Param("id")))
		}),
		api.ForKind(http.MethodPut, one, edit, "Change a "+k.Noun, k, api.One, blank, func(c *api.Call, doc resource.Doc) (any, error) {
			return item(a.docs.Update(c.Context(), c.Caller, c.Space, c.Param("id"), doc))
		}),
		api.Delete(one, remove, "Delete a "+k.Noun, func(c *api.Call) error {
			return a.docs.Delete(c.Context(), c.Caller, k, c.Space, c.Param("id"))
		}),
	}
	for i := range routes {
		routes[i] = routes[i].At(o.scope)
	}
	return routes
}

// below is the paged list of documents whose field points at another document.
func (a *area) below(owner *resource.Kind, pattern string, k *resource.Kind, field, summary string) []api.Route {
	return []api.Route{
		api.ForKind(http.MethodGet, pattern, must(k, authz.View), summary, k, api.Some, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			docs, total, err := a.docs.Of(c.Context(), c.Caller, c.Space, owner, c.Param("id"), k, field, queryOf(c, k))
			return api.CollectionOf(c, k.Name, api.ItemsOf(docs), total), err
		}).Paged().With(filters(k)...),
	}
}

// allBelow is below as a bare array.
func (a *area) allBelow(owner *resource.Kind, pattern string, k *resource.Kind, field, summary string) []api.Route {
	return []api.Route{
		api.ForKind(http.MethodGet, pattern, must(k, authz.View), summary, k, api.Bare, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			q := queryOf(c, k)
			q.Skip, q.Take = 0, 0
			docs, _, err := a.docs.Of(c.Context(), c.Caller, c.Space, owner, c.Param("id"), k, field, q)
			return api.ItemsOf(docs), err
		}).With(filters(k)...),
	}
}

func item(doc resource.Doc, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return api.ItemOf(doc), nil
}

// to is a document as its Go type. Kinds and types belong together, so another
// type is a defect of this program.
func to[T any](doc resource.Doc) *T {
	d, ok := any(doc).(*T)
	if !ok {
		panic(fmt.Sprintf("api: a %s is no %T", doc.Kind().Name, d))
	}
	return d
}

// must is the permission for a verb on a kind; "" makes api.New refuse the
// route.
func must(k *resource.Kind, verb authz.Verb) authz.Permission {
	p, err := authz.For(k.Permission, verb)
	if err != nil {
		return ""
	}
	return p
}

func plural(k *resource.Kind) string {
	if k.Noun[len(k.Noun)-1] == 'y' {
		return k.Noun[:len(k.Noun)-1] + "ies"
	}
	return k.Noun + "s"
}

// filters are the query parameters of a kind's lists.
func filters(k *resource.Kind) []string {
	names := []string{"ids", "partialName"}
	if k.NameField == "Name" {
		names = append(names, "name")
	}
	for _, name := range slices.Sorted(maps.Keys(k.Filters)) {
		if name != "name" {
			names = append(names, name)
		}
	}
	return names
}

// queryOf reads the filters of a list. Unknown parameters are ignored, a filter
// without a value does not restrict.
func queryOf(c *api.Call, k *resource.Kind) documents.Query {
	page := c.Page()
	q := documents.Query{IDs: c.List("ids"), Name: c.Text("name"), PartialName: c.Text("partialName"), Skip: page.Skip, Take: page.Take}
	if k == resource.EnvironmentKind && q.Name != "" { // clients search with it (octopus-api.md 1.6)
		q.PartialName, q.Name = q.Name, ""
	}
	if q.Take == 0 {
		q.IDs = []string{} // take=0 asks for the count alone
	}
	for name, path := range k.Filters {
		if values := c.List(name); values != nil && name != "name" {
			if q.Where == nil {
				q.Where = map[string][]string{}
			}
			q.Where[path] = values
		}
	}
	return q
}
