package system

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
)

// absent are the lists of what this version of Slipway does not have. Clients
// look into them on their way to something else (octopus-api.md 3), and go on
// when they are empty.
func absent() []api.Route {
	var routes []api.Route
	for _, kind := range []struct {
		route, item string
		permission  authz.Permission
		query       []string
	}{
		{"tenants", "Tenant", "TenantView", []string{"projectId", "name", "tags", "ids", "partialName", "clonedFromTenantId", "isDisabled"}},
		{"tagsets", "TagSet", authz.SignedIn, []string{"ids", "partialName", "scopes"}},
		{"proxies", "Proxy", "ProxyView", []string{"ids", "partialName"}},
		{"accounts", "Account", "AccountView", []string{"ids", "partialName", "accountType"}},
		{"certificates", "Certificate", "CertificateView", []string{"ids", "partialName", "search", "archived", "tenant"}},
		{"git-credentials", "GitCredential", "GitCredentialView", []string{"name"}},
		{"runbooks", "Runbook", "RunbookView", []string{"ids", "partialName", "projectIds"}},
		{"projecttriggers", "ProjectTrigger", "TriggerView", []string{"ids"}},
		{"projects/{project}/runbooks", "Runbook", "RunbookView", []string{"partialName"}},
		{"projects/{project}/triggers", "ProjectTrigger", "TriggerView", []string{"partialName"}},
	} {
		routes = append(routes,
			api.Get("/"+kind.route, kind.permission, "List none: this version has no "+kind.item, func(c *api.Call) (api.Collection[struct{}], error) {
				return api.CollectionOf[struct{}](c, kind.item, nil, 0), nil
			}).Paged().With(kind.query...),
		)
		if !strings.Contains(kind.route, "/") {
			routes = append(routes, api.Get("/"+kind.route+"/all", kind.permission, "List none: this version has no "+kind.item, none).With(kind.query...))
		}
	}
	return append(routes,
		api.Get("/tenantvariables/all", "TenantView", "List none: this version has no tenants", none).With("projectId"),
		api.Get("/subscriptions", authz.Permission("SubscriptionView"), "List none: this version has no subscriptions", func(c *api.Call) (api.Collection[struct{}], error) {
			return api.CollectionOf[struct{}](c, "Subscription", nil, 0), nil
		}).Paged().With("ids", "partialName", "spaces").At(route.Both),
	)
}

func none(*api.Call) ([]struct{}, error) { return []struct{}{}, nil }
