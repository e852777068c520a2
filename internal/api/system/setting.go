package system

import (
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) settings() []api.Route {
	return []api.Route{
		api.Get("/configuration/feature-toggles", authz.SignedIn, "Which new ways of the wire contract are on: none", featureToggles).With("Name").At(route.Global),
		api.Get("/configuration", authz.ConfigureServer, "The settings there are", configurations).Paged().At(route.Global),
		api.Get("/configuration/{id}", authz.ConfigureServer, "Get a set of settings", configuration).At(route.Global),
		api.Get("/configuration/{id}/values", authz.ConfigureServer, "Get the values of settings", configurationValues).At(route.Global),
		api.Get("/dashboardconfiguration", authz.SignedIn, "What the dashboard shows: everything", dashboardConfiguration),
		api.Get("/retentionpolicies", authz.LifecycleView, "How long things are kept unless a lifecycle says otherwise", retention).With("RetentionType"),
	}
}

// FeatureToggles lists what is switched on; what is not listed is off
// (octopus-api.md 1.3).
type FeatureToggles struct {
	FeatureToggles []FeatureToggle
}

// FeatureToggle is one switch.
type FeatureToggle struct {
	Name      string
	IsEnabled bool
}

func featureToggles(*api.Call) (FeatureToggles, error) {
	return FeatureToggles{FeatureToggles: []FeatureToggle{}}, nil
}

// Configuration is a set of settings.
type Configuration struct {
	ID          string `json:"Id"`
	Name        string
	Description string
	Links       api.Links
}

func authenticationSettings() Configuration {
	return Configuration{
		ID: "authentication", Name: "Authentication", Description: "How users log in.",
		Links: api.Links{"Self": "/api/configuration/authentication", "Values": "/api/configuration/authentication/values", "Metadata": "/api/configuration/authentication/metadata"},
	}
}

func configurations(c *api.Call) (api.Collection[Configuration], error) {
	return api.SliceOf(c, "Configuration", []Configuration{authenticationSettings()}), nil
}

func configuration(c *api.Call) (Configuration, error) {
	if !strings.EqualFold(c.Param("id"), "authentication") {
		return Configuration{}, resource.Missing(c.Param("id"))
	}
	return authenticationSettings(), nil
}

// AuthenticationValues are the settings of logging in.
type AuthenticationValues struct {
	ID                 string `json:"Id"`
	IsAutoLoginEnabled bool
	IsSelfServiceLogin bool `json:"IsSelfServiceLoginEditingEnabled"`
	Links              api.Links
}

func configurationValues(c *api.Call) (AuthenticationValues, error) {
	_, err := configuration(c)
	return AuthenticationValues{ID: "authentication", Links: api.Links{"Self": "/api/configuration/authentication/values"}}, err
}

// DashboardConfiguration says what the dashboard shows; empty lists show all.
type DashboardConfiguration struct {
	ID                      string   `json:"Id"`
	IncludedProjectGroupIDs []string `json:"IncludedProjectGroupIds"`
	IncludedProjectIDs      []string `json:"IncludedProjectIds"`
	IncludedEnvironmentIDs  []string `json:"IncludedEnvironmentIds"`
	IncludedTenantIDs       []string `json:"IncludedTenantIds"`
	IncludedTenantTags      []string
	ProjectLimit            *int
	Links                   api.Links
}

func dashboardConfiguration(c *api.Call) (DashboardConfiguration, error) {
	return DashboardConfiguration{
		ID: "dashboardconfigurations-" + c.Caller.UserID, IncludedProjectGroupIDs: []string{}, IncludedProjectIDs: []string{},
		IncludedEnvironmentIDs: []string{}, IncludedTenantIDs: []string{}, IncludedTenantTags: []string{}, Links: api.Links{"Self": c.Path()},
	}, nil
}

// RetentionPolicy says how long one sort of thing is kept in a space.
type RetentionPolicy struct {
	ID             string `json:"Id"`
	SpaceID        string `json:"SpaceId"`
	Name           string
	RetentionType  string
	Strategy       string
	QuantityToKeep int
	Unit           string
	Links          api.Links
}

// retention is the default of a space. Slipway keeps everything unless a
// lifecycle says otherwise.
func retention(c *api.Call) (RetentionPolicy, error) {
	kinds := []string{"LifecycleRelease", "LifecycleTentacle", "RunbookRetention"}
	asked := c.Text("RetentionType")
	at := slices.IndexFunc(kinds, func(k string) bool { return strings.EqualFold(k, asked) })
	if at < 0 {
		return RetentionPolicy{}, resource.Errorf(resource.Invalid, "RetentionType has to be one of: %s.", strings.Join(kinds, ", "))
	}
	id := kinds[at] + "-" + c.Space
	return RetentionPolicy{
		ID: id, SpaceID: c.Space, Name: kinds[at], RetentionType: kinds[at], Strategy: resource.RetainForever, Unit: "Days",
		Links: api.Links{"Self": "/api/" + c.Space + "/retentionpolicies/" + id},
	}, nil
}
