package api

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Route is one entry of the routing table: everything that the server, the
// OpenAPI document and the authorisation matrix know of an operation. Make it
// with Get, Post, Put, Delete or Raw, which all demand a permission.
type Route struct {
	Method     string
	Pattern    string // behind /api or /api/{space}: "/projects/{id}/channels"
	Scope      route.Scope
	Permission authz.Permission
	Summary    string
	Query      []string       // names of the query parameters
	In, Out    reflect.Type   // of the JSON bodies; nil for none
	Takes      *resource.Kind // the document that a request holds, instead of In
	Gives      *resource.Kind // the document that an answer holds, instead of Out
	Many       Shape          // how many of Gives
	Success    int            // the status of a success
	Binary     string         // the media type of an answer that is no JSON
	BodyLimit  int64          // bytes of a request's body; 0 means MaxBody
	Optional   bool           // the body may be absent

	handle func(*Call) (any, error)
	raw    func(http.ResponseWriter, *Call) error
}

// Shape says how many documents an answer holds.
type Shape uint8

// The shapes.
const (
	One  Shape = iota
	Some       // a Collection
	Bare       // an array
)

// Area is a part of the API that is added as a whole.
type Area struct {
	Name   string // the tag of its operations
	Routes []Route
}

// Get is a route that reads.
func Get[Out any](pattern string, p authz.Permission, summary string, h func(*Call) (Out, error)) Route {
	return Route{
		Method: http.MethodGet, Pattern: pattern, Permission: p, Summary: summary, Out: reflect.TypeFor[Out](), Success: http.StatusOK,
		handle: func(c *Call) (any, error) { return h(c) },
	}
}

// Post is a route that makes something: 201 unless With says otherwise.
func Post[In, Out any](pattern string, p authz.Permission, summary string, h func(*Call, In) (Out, error)) Route {
	return withBody(http.MethodPost, http.StatusCreated, pattern, p, summary, h)
}

// Put is a route that replaces something.
func Put[In, Out any](pattern string, p authz.Permission, summary string, h func(*Call, In) (Out, error)) Route {
	return withBody(http.MethodPut, http.StatusOK, pattern, p, summary, h)
}

// Delete is a route that removes something. It answers 200 and {}: clients
// take 204 for an error (octopus-api.md 1.7).
func Delete(pattern string, p authz.Permission, summary string, h func(*Call) error) Route {
	return Route{
		Method: http.MethodDelete, Pattern: pattern, Permission: p, Summary: summary, Out: reflect.TypeFor[struct{}](), Success: http.StatusOK,
		handle: func(c *Call) (any, error) { return struct{}{}, h(c) },
	}
}

// Raw is a route that writes its own answer: bytes, a stream. h sets the
// header and writes the body, or returns an error before its first byte. media
// is what it writes.
func Raw(method, pattern string, p authz.Permission, summary, media string, h func(http.ResponseWriter, *Call) error) Route {
	return Route{Method: method, Pattern: pattern, Permission: p, Summary: summary, Success: http.StatusOK, Binary: media, raw: h}
}

func withBody[In, Out any](method string, status int, pattern string, p authz.Permission, summary string, h func(*Call, In) (Out, error)) Route {
	return Route{
		Method: method, Pattern: pattern, Permission: p, Summary: summary,
		In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](), Success: status,
		handle: func(c *Call) (any, error) {
			var in In
			if reflect.TypeFor[In]() != reflect.TypeFor[None]() {
				if err := readJSON(c.Request, &in, c.route.Optional); err != nil {
					return nil, err
				}
			}
			return h(c, in)
		},
	}
}

// ForKind is a route about documents of a kind that is known at run time. With
// body, the request holds a document: blank makes the one to decode into.
func ForKind(method, pattern string, p authz.Permission, summary string, k *resource.Kind, many Shape, blank func() resource.Doc, h func(*Call, resource.Doc) (any, error)) Route {
	r := Route{Method: method, Pattern: pattern, Permission: p, Summary: summary, Gives: k, Many: many, Success: http.StatusOK}
	if method == http.MethodPost {
		r.Success = http.StatusCreated
	}
	if blank == nil {
		r.handle = func(c *Call) (any, error) { return h(c, nil) }
		return r
	}
	r.Takes = k
	r.handle = func(c *Call) (any, error) {
		doc := blank()
		if err := readJSON(c.Request, doc, false); err != nil {
			return nil, err
		}
		return h(c, doc)
	}
	return r
}

// None is the body of a request that has none; what is sent is not read.
type None struct{}

// Showing says which documents an answer holds, where Go's types do not.
func (r Route) Showing(kind *resource.Kind, many Shape) Route {
	r.Gives, r.Many = kind, many
	return r
}

// Taking says which document a request holds.
func (r Route) Taking(kind *resource.Kind) Route {
	r.Takes = kind
	return r
}

// At says under which paths the route is served; routes are route.Spaced
// unless they say otherwise.
func (r Route) At(scope route.Scope) Route {
	r.Scope = scope
	return r
}

// With names the query parameters, for the document and the links.
func (r Route) With(query ...string) Route {
	r.Query = append(append([]string(nil), r.Query...), query...)
	return r
}

// Paged adds skip and take.
func (r Route) Paged() Route { return r.With("skip", "take") }

// Answers sets the status of a success.
func (r Route) Answers(status int) Route {
	r.Success = status
	return r
}

// Bodiless lets the body be absent.
func (r Route) Bodiless() Route {
	r.Optional = true
	return r
}

// Limit sets how many bytes a request's body may have.
func (r Route) Limit(n int64) Route {
	r.BodyLimit = n
	return r
}

func (r *Route) queryNames() []string { return r.Query }

var parameterName = regexp.MustCompile(`\{([^}]+)\}`)

// Params are the names of the pattern's parameters, in order.
func (r Route) Params() []string {
	var names []string
	for _, m := range parameterName.FindAllStringSubmatch(r.Pattern, -1) {
		names = append(names, m[1])
	}
	return names
}

// String is the route as people write it.
func (r Route) String() string {
	prefix := "/api"
	if r.Scope == route.Spaced {
		prefix = "/api/{space}"
	}
	return r.Method + " " + prefix + strings.TrimRight(r.Pattern, "/")
}
