package identity

import (
	"slices"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
)

func (a *area) permissionRoutes() []api.Route {
	routes := []api.Route{
		api.Get("/users/{id}/permissions", authz.SignedIn, "What a user may do", a.permissions).With("spaces", "includeSystem"),
		api.Get("/users/{id}/permissions/configuration", authz.SignedIn, "What a user may do, by where it is configured", a.permissions).With("spaces", "includeSystem"),
		api.Get("/permissions/all", authz.SignedIn, "The permissions there are", a.allPermissions),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Global)
	}
	return routes
}

// PermissionSet is what a user may do (octopus-api.md 2.17).
type PermissionSet struct {
	ID                    string `json:"Id"`
	IsPermissionsComplete bool
	IsTeamsComplete       bool
	SpacePermissions      map[authz.Permission][]Restriction
	SystemPermissions     []authz.Permission
	Teams                 []TeamReference
	Links                 api.Links
}

// Restriction says where a permission holds; an empty list does not restrict.
type Restriction struct {
	SpaceID                   string   `json:"SpaceId"`
	RestrictedToEnvironmentID []string `json:"RestrictedToEnvironmentIds"`
	RestrictedToProjectID     []string `json:"RestrictedToProjectIds"`
	RestrictedToProjectGroup  []string `json:"RestrictedToProjectGroupIds"`
	RestrictedToTenantID      []string `json:"RestrictedToTenantIds"`
}

// TeamReference names a team of a user.
type TeamReference struct {
	ID                     string `json:"Id"`
	Name                   string
	SpaceID                string `json:"SpaceId"`
	IsDirectlyAssigned     bool
	ExternalSecurityGroups []struct{}
}

func (a *area) permissions(c *api.Call) (PermissionSet, error) {
	found, err := a.users.PermissionsOf(c.Context(), c.Caller, c.Param("id"))
	if err != nil {
		return PermissionSet{}, err
	}
	out := PermissionSet{
		ID: found.User.ID, IsPermissionsComplete: true, IsTeamsComplete: true, SpacePermissions: map[authz.Permission][]Restriction{},
		SystemPermissions: []authz.Permission{}, Teams: []TeamReference{}, Links: api.Links{"Self": c.Path(), "User": api.PathOf(found.User)},
	}
	wanted := c.List("spaces")
	for _, grant := range found.Subject.Grants {
		if grant.Space != "" && wanted != nil && !slices.Contains(wanted, "all") && !slices.Contains(wanted, grant.Space) {
			continue
		}
		out.add(grant)
	}
	slices.Sort(out.SystemPermissions)
	out.SystemPermissions = slices.Compact(out.SystemPermissions)
	for _, t := range found.Teams {
		out.Teams = append(out.Teams, TeamReference{ID: t.ID, Name: t.Name, SpaceID: t.SpaceID, IsDirectlyAssigned: true, ExternalSecurityGroups: []struct{}{}})
	}
	return out, nil
}

func (p *PermissionSet) add(g authz.Grant) {
	for name := range g.Permissions {
		if g.Space == "" {
			p.SystemPermissions = append(p.SystemPermissions, name)
			continue
		}
		p.SpacePermissions[name] = append(p.SpacePermissions[name], Restriction{
			SpaceID: g.Space, RestrictedToEnvironmentID: ids(g.Environments), RestrictedToProjectID: ids(g.Projects),
			RestrictedToProjectGroup: ids(g.ProjectGroups), RestrictedToTenantID: ids(g.Tenants),
		})
	}
}

func ids(l authz.Limit) []string {
	list, _ := l.IDs()
	return append([]string{}, list...)
}

// PermissionDescription says what a permission is for.
type PermissionDescription struct {
	ID                    authz.Permission `json:"Id"`
	Description           string
	CanApplyAtSpaceLevel  bool
	CanApplyAtSystemLevel bool
	SupportedRestrictions []string
}

func (a *area) allPermissions(*api.Call) ([]PermissionDescription, error) {
	list := []PermissionDescription{}
	for _, about := range authz.All() {
		list = append(list, PermissionDescription{
			ID: about.Permission, Description: about.Description, CanApplyAtSpaceLevel: about.Space, CanApplyAtSystemLevel: about.System,
			SupportedRestrictions: []string{},
		})
	}
	return list, nil
}
