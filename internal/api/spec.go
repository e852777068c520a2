package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipwayhq/slipway/internal/api/route"
)

// Spec is the OpenAPI 3.1 document of the API with these areas, as YAML. It is
// made from the routing table and the Go types alone; no server runs.
func Spec(areas ...Area) ([]byte, error) {
	server := new(Server)
	areas = append([]Area{server.own()}, areas...)
	if _, err := tableOf(areas); err != nil {
		return nil, err
	}
	schemas := newSchemas()
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:       "Slipway",
			Version:     "1",
			Description: "The REST API of Slipway. Names are PascalCase; requests are read in any case, and members that are not known are ignored.",
		},
		Paths:    map[string]*huma.PathItem{},
		Security: []map[string][]string{{"apiKey": {}}, {"bearer": {}}, {"session": {}}},
	}
	for _, area := range areas {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: area.Name})
		for _, r := range area.Routes {
			if r.Scope != route.Spaced {
				addOperation(doc, schemas, area.Name, "/api", r)
			}
			if r.Scope != route.Global {
				addOperation(doc, schemas, area.Name, "/api/{space}", r)
			}
		}
	}
	doc.Components = &huma.Components{
		Schemas: schemas.finish(),
		SecuritySchemes: map[string]*huma.SecurityScheme{
			"apiKey":  {Type: "apiKey", In: "header", Name: keyHeaders[0]},
			"bearer":  {Type: "http", Scheme: "bearer"},
			"session": {Type: "apiKey", In: "cookie", Name: strings.TrimSuffix(sessionCookie, "_")},
		},
	}
	out, err := doc.YAML()
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return out, nil
}

func addOperation(doc *huma.OpenAPI, schemas *schemas, tag, prefix string, r Route) {
	path := prefix + r.Pattern
	item := doc.Paths[path]
	if item == nil {
		item = &huma.PathItem{}
		doc.Paths[path] = item
	}
	op := &huma.Operation{
		OperationID: operationID(r.Method, path),
		Summary:     r.Summary,
		Tags:        []string{tag},
		Parameters:  parameters(prefix, r),
		Responses: map[string]*huma.Response{
			strconv.Itoa(r.Success): {Description: http.StatusText(r.Success), Content: schemas.answer(r)},
			"default":               {Description: "Error", Content: jsonContent(schemas.errorBody())},
		},
		Extensions: map[string]any{"x-slipway-permission": string(r.Permission)},
	}
	if open(r.Permission) {
		op.Security = []map[string][]string{}
	}
	if body := schemas.request(r); body != nil {
		op.RequestBody = &huma.RequestBody{Required: !r.Optional, Content: jsonContent(body)}
	}
	place(item, r.Method, op)
}

func place(item *huma.PathItem, method string, op *huma.Operation) {
	switch method {
	case http.MethodGet:
		item.Get = op
	case http.MethodPost:
		item.Post = op
	case http.MethodPut:
		item.Put = op
	case http.MethodDelete:
		item.Delete = op
	}
}

func parameters(prefix string, r Route) []*huma.Param {
	var list []*huma.Param
	add := func(name, in, description string) {
		list = append(list, &huma.Param{Name: name, In: in, Required: in == "path", Description: description, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	if strings.HasSuffix(prefix, "{space}") {
		add("space", "path", "The id, slug or name of a space")
	}
	for _, name := range r.Params() {
		add(name, "path", "")
	}
	for _, name := range r.Query {
		add(name, "query", "")
		if name == "skip" || name == "take" {
			list[len(list)-1].Schema.Type = huma.TypeInteger
		}
	}
	return list
}

// operationID is a name that stays: the method and the path in camel case.
func operationID(method, path string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/api"), func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	if len(words) == 0 {
		words = []string{"root"}
	}
	for i, w := range words {
		words[i] = upperFirst(w)
	}
	return strings.ToLower(method) + strings.Join(words, "")
}

func jsonContent(s *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: s}}
}

// PermissionsOf lists every route with its permission, sorted: what the
// authorisation matrix walks.
func PermissionsOf(areas ...Area) []Route {
	server := new(Server)
	var routes []Route
	for _, area := range append([]Area{server.own()}, areas...) {
		routes = append(routes, area.Routes...)
	}
	slices.SortFunc(routes, func(a, b Route) int { return strings.Compare(a.String(), b.String()) })
	return routes
}
