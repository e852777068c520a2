package identity

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) teamRoutes() []api.Route {
	team, role, scoped := resource.TeamKind, resource.UserRoleKind, resource.ScopedUserRoleKind
	both := []api.Route{
		api.Get("/teams", authz.SignedIn, "List teams", a.listTeams).Paged().With("ids", "partialName", "spaces", "includeSystem").Showing(team, api.Some),
		api.Get("/teams/all", authz.SignedIn, "All teams", a.allTeams).With("ids", "partialName", "spaces", "includeSystem").Showing(team, api.Bare),
		api.Get("/teams/{id}", authz.SignedIn, "Get a team", a.team).Showing(team, api.One),
		api.Get("/teams/{id}/scopeduserroles", authz.TeamView, "The roles of a team", a.scopedRoles).
			Paged().With("ids", "partialName", "spaces", "includeSystem").Showing(scoped, api.Some),
		api.Get("/scopeduserroles", authz.TeamView, "List which roles teams have", a.scopedRoles).
			Paged().With("ids", "partialName", "spaces", "includeSystem").Showing(scoped, api.Some),
		api.Get("/scopeduserroles/{scoped}", authz.TeamView, "Get a role of a team", a.scopedRole).Showing(scoped, api.One),
	}
	global := []api.Route{
		api.Get("/userroles", authz.SignedIn, "List user roles", a.listRoles).Paged().With("ids", "partialName").Showing(role, api.Some),
		api.Get("/userroles/all", authz.SignedIn, "All user roles", a.allRoles).Showing(role, api.Bare),
		api.Get("/userroles/{id}", authz.SignedIn, "Get a user role", a.role).Showing(role, api.One),
		api.Get("/teammembership", authz.SignedIn, "The teams of a user, by its id", a.membership).With("userId", "spaces", "includeSystem"),
		api.Get("/externalsecuritygroupproviders", authz.SignedIn, "Where groups of users come from", func(*api.Call) ([]struct{}, error) {
			return []struct{}{}, nil
		}),
	}
	for i := range both {
		both[i] = both[i].At(route.Both)
	}
	for i := range global {
		global[i] = global[i].At(route.Global)
	}
	return append(both, global...)
}

func teamItems(teams []resource.Team) []api.Item {
	items := make([]api.Item, 0, len(teams))
	for i := range teams {
		items = append(items, api.ItemOf(&teams[i]))
	}
	return items
}

func (a *area) listTeams(c *api.Call) (api.Collection[api.Item], error) {
	teams, total, err := a.users.Teams(c.Context(), c.Caller, placed(c))
	return api.CollectionOf(c, "Team", teamItems(teams), total), err
}

func (a *area) allTeams(c *api.Call) ([]api.Item, error) {
	q := placed(c)
	q.Skip, q.Take = 0, 0
	teams, _, err := a.users.Teams(c.Context(), c.Caller, q)
	return teamItems(teams), err
}

func (a *area) team(c *api.Call) (api.Item, error) {
	team, err := a.users.Team(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return api.Item{}, err
	}
	return api.ItemOf(team), nil
}

// userTeams are the teams of a user as they are, not paged (octopus-api.md 1.6).
func (a *area) userTeams(c *api.Call) ([]TeamReference, error) {
	return a.teamsOf(c, c.Param("id"))
}

func (a *area) membership(c *api.Call) ([]TeamReference, error) {
	user := c.Text("userId")
	if user == "" {
		user = "me"
	}
	return a.teamsOf(c, user)
}

func (a *area) teamsOf(c *api.Call, user string) ([]TeamReference, error) {
	teams, err := a.users.TeamsOf(c.Context(), c.Caller, user)
	list := []TeamReference{}
	for _, t := range teams {
		list = append(list, TeamReference{ID: t.ID, Name: t.Name, SpaceID: t.SpaceID, IsDirectlyAssigned: true, ExternalSecurityGroups: []struct{}{}})
	}
	return list, err
}

func (a *area) scopedRoles(c *api.Call) (api.Collection[api.Item], error) {
	list, total, err := a.users.ScopedRoles(c.Context(), c.Caller, c.Param("id"), placed(c))
	items := make([]api.Item, 0, len(list))
	for i := range list {
		items = append(items, api.ItemOf(&list[i]))
	}
	return api.CollectionOf(c, "ScopedUserRole", items, total), err
}

func (a *area) scopedRole(c *api.Call) (api.Item, error) {
	id := c.Param("scoped")
	list, _, err := a.users.ScopedRoles(c.Context(), c.Caller, "", identity.Query{IDs: []string{id}, System: true})
	if err != nil {
		return api.Item{}, err
	}
	if len(list) != 1 {
		return api.Item{}, resource.Missing(id)
	}
	return api.ItemOf(&list[0]), nil
}

func roleItems(roles []resource.UserRole) []api.Item {
	items := make([]api.Item, 0, len(roles))
	for i := range roles {
		items = append(items, api.ItemOf(&roles[i]))
	}
	return items
}

func (a *area) listRoles(c *api.Call) (api.Collection[api.Item], error) {
	roles, total, err := a.users.Roles(c.Context(), c.Caller, queryOf(c))
	return api.CollectionOf(c, "UserRole", roleItems(roles), total), err
}

func (a *area) allRoles(c *api.Call) ([]api.Item, error) {
	roles, _, err := a.users.Roles(c.Context(), c.Caller, identity.Query{})
	return roleItems(roles), err
}

func (a *area) role(c *api.Call) (api.Item, error) {
	role, err := a.users.Role(c.Context(), c.Caller, c.Param("id"))
	if err != nil {
		return api.Item{}, err
	}
	return api.ItemOf(role), nil
}
