// Package api is the HTTP surface of Slipway: the wire contract that existing
// Octopus clients speak (octopus-api.md), and what Slipway has beyond it.
//
// # How a request is answered
//
// Server.ServeHTTP canonicalises the path once and finds its Route (package
// route), finds out who asks (key, bearer token or session cookie), resolves
// the space, asks authz whether any grant could let the caller in, and only
// then reads the body and calls the route's handler. The handler calls a use
// case of internal/app, which authorises for the document itself, and puts its
// answer into the wire form: Item for a document, Collection for a page.
// Errors are *resource.Error; StatusOf maps their codes, nothing else does.
//
// # How to add a route
//
// An area is one package below internal/api with a function that returns an
// api.Area; the server puts it into Config.Areas, contract_test.go into its
// list, and nothing else has to know. A route is one entry:
//
//	api.Get("/releases/{id}/progression", authz.ReleaseView,
//		"What can be deployed next", a.progression)
//
//	func (a *area) progression(c *api.Call) (Progression, error) {
//		p, err := a.deploy.Progression(c.Context(), c.Caller, c.Space, c.Param("id"))
//		…
//	}
//
// The pattern is what stands behind /api/{space}; At(route.Global) serves it
// behind /api alone, At(route.Both) behind either. Post and Put decode their
// second argument from the body, api.None meaning none. With names the query
// parameters, Paged adds skip and take (Call.Page). Documents answer with
// ItemOf, ItemsOf and CollectionOf, and Showing and Taking name their kind for
// the OpenAPI document. Raw is for bytes and streams. The request types, the
// answer types and the permission of the entry are what docs/openapi.yaml and
// the authorisation matrix are made of: `go test ./internal/api -update`
// writes the document anew.
package api
