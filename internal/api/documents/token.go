package documents

import (
	"net/http"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// tokens are how a machine that nobody knows yet gets in: by a one-time token
// that names what it may become (abuse 5, 6).
func (a *area) tokens() []api.Route {
	k := resource.AgentTokenKind
	return []api.Route{
		api.Post("/machines/registration-tokens", authz.MachineCreate, "Make a one-time token for `slipway agent register`", func(c *api.Call, in documents.NewToken) (documents.IssuedToken, error) {
			return a.docs.IssueToken(c.Context(), c.Caller, c.Space, in)
		}),
		api.ForKind(http.MethodGet, "/machines/registration-tokens", must(k, authz.Create), "List registration tokens", k, api.Some, nil, func(c *api.Call, _ resource.Doc) (any, error) {
			docs, total, err := a.docs.List(c.Context(), c.Caller, k, c.Space, queryOf(c, k))
			return api.CollectionOf(c, k.Name, api.ItemsOf(docs), total), err
		}).Paged().With("ids", "partialName"),
		api.Delete("/machines/registration-tokens/{id}", must(k, authz.Create), "Revoke a registration token", func(c *api.Call) error {
			return a.docs.Delete(c.Context(), c.Caller, k, c.Space, c.Param("id"))
		}),
		api.Post("/machines/register", api.Token, "Register a machine with a one-time token, sent as bearer token", a.register).At(route.Global).Limit(64<<10).Showing(resource.MachineKind, api.One),
	}
}

func (a *area) register(c *api.Call, in documents.Registration) (api.Item, error) {
	scheme, token, _ := strings.Cut(c.Request.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return api.Item{}, resource.Errorf(resource.Unauthenticated, "Please send the registration token in the Authorization header: Bearer REG-….")
	}
	m, err := a.docs.Register(c.Context(), token, c.Caller, in)
	if err != nil {
		return api.Item{}, err
	}
	return api.ItemOf(m), nil
}
