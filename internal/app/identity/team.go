package identity

import (
	"context"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Teams lists the teams that the caller may see.
func (s *Service) Teams(ctx context.Context, by app.Caller, q Query) (list []resource.Team, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		all, _, err := store.List[resource.Team](tx, store.Query{AllSpaces: true, IDs: q.IDs, PartialName: q.PartialName})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(t resource.Team) bool { return !q.place(t.SpaceID) || !seesTeam(by, &t) })
		total, list = len(all), page(all, q.Skip, q.Take)
		return nil
	})
	return list, total, err
}

// place says whether the query asks for documents of a space; "" is none.
func (q Query) place(space string) bool {
	if space == "" {
		return q.System
	}
	return q.Spaces == nil || slices.Contains(q.Spaces, space)
}

func page[T any](all []T, skip, take int) []T {
	from := min(skip, len(all))
	to := len(all)
	if take > 0 {
		to = min(from+take, to)
	}
	return all[from:to]
}

// seesTeam says whether the caller may see a team: by permission, or as a
// member.
func seesTeam(by app.Caller, t *resource.Team) bool {
	return authz.Can(by.Subject, authz.TeamView, authz.Scope{Space: t.SpaceID}) || slices.Contains(by.Teams, t.ID)
}

// Team reads a team by id, slug or name.
func (s *Service) Team(ctx context.Context, by app.Caller, space, key string) (team *resource.Team, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		team, err = visibleTeam(tx, by, space, key)
		return err
	})
	return team, err
}

func visibleTeam(tx *store.Tx, by app.Caller, space, key string) (*resource.Team, error) {
	team, err := store.Get[resource.Team](tx, key)
	if resource.CodeOf(err) == resource.NotFound {
		team, err = store.Find[resource.Team](tx, space, key)
	}
	if err != nil {
		return nil, err
	}
	if !seesTeam(by, team) || space != "" && team.SpaceID != "" && team.SpaceID != space {
		return nil, resource.Missing(key)
	}
	return team, nil
}

// TeamsOf are the teams of a user.
func (s *Service) TeamsOf(ctx context.Context, by app.Caller, user string) (list []resource.Team, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		u, err := visibleUser(tx, by, user)
		if err != nil {
			return err
		}
		list, err = teamsOf(tx, u.ID)
		return err
	})
	return list, err
}

// Permissions is a user with what his teams grant him.
type Permissions struct {
	User    *resource.User
	Subject authz.Subject
	Teams   []resource.Team
}

// PermissionsOf gathers what a user may do. Everybody sees his own.
func (s *Service) PermissionsOf(ctx context.Context, by app.Caller, user string) (out Permissions, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if out.User, err = visibleUser(tx, by, user); err != nil {
			return err
		}
		if out.Subject, err = subjectOf(tx, out.User); err != nil {
			return err
		}
		out.Teams, err = teamsOf(tx, out.User.ID)
		return err
	})
	return out, err
}

// SpacesOf are the spaces that a user may enter.
func (s *Service) SpacesOf(ctx context.Context, by app.Caller, user string) (list []resource.Space, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		u, err := visibleUser(tx, by, user)
		if err != nil {
			return err
		}
		who, err := subjectOf(tx, u)
		if err != nil {
			return err
		}
		all, _, err := store.List[resource.Space](tx, store.Query{})
		list = slices.DeleteFunc(all, func(space resource.Space) bool {
			return !authz.CanEnter(who, space.ID) || !authz.CanEnter(by.Subject, space.ID)
		})
		return err
	})
	return list, err
}

// Roles lists user roles. Built-in ones are shown as this program has them.
func (s *Service) Roles(ctx context.Context, by app.Caller, q Query) (list []resource.UserRole, total int, err error) {
	if !authz.CanAnywhere(by.Subject, authz.UserRoleView) && !authz.CanAnywhere(by.Subject, authz.TeamView) {
		return nil, 0, app.Denied(authz.UserRoleView)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, total, err = store.List[resource.UserRole](tx, store.Query{IDs: q.IDs, PartialName: q.PartialName, Skip: q.Skip, Take: q.Take})
		for i := range list {
			describe(&list[i])
		}
		return err
	})
	return list, total, err
}

// Role reads a user role by id or name.
func (s *Service) Role(ctx context.Context, by app.Caller, key string) (role *resource.UserRole, err error) {
	if !authz.CanAnywhere(by.Subject, authz.UserRoleView) && !authz.CanAnywhere(by.Subject, authz.TeamView) {
		return nil, app.Denied(authz.UserRoleView)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if role, err = store.Find[resource.UserRole](tx, "", key); err == nil {
			describe(role)
		}
		return err
	})
	return role, err
}

// describe puts a role's permissions into words.
func describe(r *resource.UserRole) {
	if built, ok := authz.BuiltInRole(r.ID); ok {
		r.GrantedSpacePermissions, r.GrantedSystemPermissions = built.GrantedSpacePermissions, built.GrantedSystemPermissions
		r.SetDefaults(nil)
	}
	r.SpacePermissionDescriptions, r.SystemPermissionDescriptions = words(r.GrantedSpacePermissions), words(r.GrantedSystemPermissions)
}

func words(permissions []string) []string {
	list := []string{}
	for _, p := range permissions {
		if about, ok := authz.Describe(authz.Permission(p)); ok {
			list = append(list, about.Description)
		}
	}
	return list
}

// ScopedRoles lists which roles teams have; team "" means all teams.
func (s *Service) ScopedRoles(ctx context.Context, by app.Caller, team string, q Query) (list []resource.ScopedUserRole, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		where := map[string][]string{}
		if team != "" {
			t, err := visibleTeam(tx, by, "", team)
			if err != nil {
				return err
			}
			where["TeamId"] = []string{t.ID}
		}
		all, _, err := store.List[resource.ScopedUserRole](tx, store.Query{AllSpaces: true, IDs: q.IDs, Where: where})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(r resource.ScopedUserRole) bool {
			return !q.place(r.SpaceID) || !authz.Can(by.Subject, authz.TeamView, authz.Scope{Space: r.SpaceID})
		})
		total, list = len(all), page(all, q.Skip, q.Take)
		return nil
	})
	return list, total, err
}
