package authz_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func grant(space string, role string) authz.Grant {
	r, ok := authz.BuiltInRole(role)
	if !ok {
		panic(role)
	}
	return authz.Grant{
		Permissions: authz.Granted(r, space == ""), Space: space,
		Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Any(), Tenants: authz.Any(),
	}
}

func TestCan(t *testing.T) {
	t.Parallel()
	admin := authz.Subject{UserID: "Users-1", Grants: []authz.Grant{grant("", resource.RoleSystemAdministrator)}}
	manager := authz.Subject{UserID: "Users-2", Grants: []authz.Grant{grant("", resource.RoleSystemManager)}}
	viewer := authz.Subject{UserID: "Users-3", Grants: []authz.Grant{grant("Spaces-1", "userroles-projectviewer")}}
	smuggler := authz.Subject{UserID: "Users-4", Grants: []authz.Grant{{
		Permissions: authz.SetOf(authz.AdministerSystem, authz.UserEdit), Space: "Spaces-1",
	}}}
	noLimits := authz.Subject{UserID: "Users-5", Grants: []authz.Grant{{Permissions: authz.SetOf(authz.ProjectView), Space: "Spaces-1"}}}
	for _, c := range []struct {
		name string
		who  authz.Subject
		what authz.Permission
		at   authz.Scope
		want bool
	}{
		{"nobody sees the public", authz.Subject{}, authz.Public, authz.Scope{}, true},
		{"nobody is not signed in", authz.Subject{}, authz.SignedIn, authz.Scope{}, false},
		{"grants without a user count for nothing", authz.Subject{Grants: admin.Grants}, authz.ProjectView, authz.Scope{Space: "Spaces-1"}, false},
		{"an administrator edits anywhere", admin, authz.ProjectEdit, authz.Scope{Space: "Spaces-9", Project: "Projects-1"}, true},
		{"a manager is no administrator", manager, authz.AdministerSystem, authz.Scope{}, false},
		{"a manager has no space permission", manager, authz.ProjectView, authz.Scope{Space: "Spaces-1"}, false},
		{"a viewer views", viewer, authz.ProjectView, authz.Scope{Space: "Spaces-1", Project: "Projects-1"}, true},
		{"a viewer does not edit", viewer, authz.ProjectEdit, authz.Scope{Space: "Spaces-1", Project: "Projects-1"}, false},
		{"a viewer stays in his space", viewer, authz.ProjectView, authz.Scope{Space: "Spaces-2"}, false},
		{"a system permission in a space is none", smuggler, authz.UserEdit, authz.Scope{Space: "Spaces-1"}, false},
		{"an administrator of one space is none", smuggler, authz.ProjectView, authz.Scope{Space: "Spaces-1"}, false},
		{"an unset limit is none", noLimits, authz.ProjectView, authz.Scope{Space: "Spaces-1", Project: "Projects-1"}, false}, // abuse 33
		{"an unknown permission is refused", viewer, "", authz.Scope{Space: "Spaces-1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := authz.Can(c.who, c.what, c.at); got != c.want {
				t.Errorf("%s %s at %+v: %v", c.who.UserID, c.what, c.at, got)
			}
		})
	}
}

// abuse 32: limits of one grant hold together; grants never mix.
func TestCanEqualsTheOracle(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "b", authz.New}
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Custom(func(t *rapid.T) authz.Limit {
			if rapid.Bool().Draw(t, "any") {
				return authz.Any()
			}
			return authz.Only(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b"}), rapid.ID[string]).Draw(t, "only")...)
		})
		who := authz.Subject{UserID: "Users-1"}
		for range rapid.IntRange(0, 3).Draw(t, "grants") {
			who.Grants = append(who.Grants, authz.Grant{
				Space:         rapid.SampledFrom([]string{"Spaces-1", "Spaces-2"}).Draw(t, "space"),
				Permissions:   authz.SetOf(rapid.SampledFrom([]authz.Permission{authz.ProjectView, authz.ProjectEdit}).Draw(t, "permission")),
				Projects:      limit.Draw(t, "projects"),
				ProjectGroups: limit.Draw(t, "groups"),
				Environments:  limit.Draw(t, "environments"),
				Tenants:       limit.Draw(t, "tenants"),
			})
		}
		at := authz.Scope{
			Space:   rapid.SampledFrom([]string{"", "Spaces-1", "Spaces-2"}).Draw(t, "at"),
			Project: rapid.SampledFrom(ids).Draw(t, "project"), ProjectGroup: rapid.SampledFrom(ids).Draw(t, "group"),
			Environment: rapid.SampledFrom(ids).Draw(t, "environment"), Tenant: rapid.SampledFrom(ids).Draw(t, "tenant"),
		}
		want := false
		for _, g := range who.Grants {
			inside := g.Space == at.Space && g.Permissions.Has(authz.ProjectEdit)
			for _, pair := range []struct {
				limit authz.Limit
				id    string
			}{{g.Projects, at.Project}, {g.ProjectGroups, at.ProjectGroup}, {g.Environments, at.Environment}, {g.Tenants, at.Tenant}} {
				only, unlimited := pair.limit.IDs()
				inside = inside && (unlimited || slices.Contains(only, pair.id))
			}
			want = want || inside
		}
		if got := authz.Can(who, authz.ProjectEdit, at); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
		if want && !authz.CanSomewhere(who, authz.ProjectEdit, at.Space) {
			t.Fatal("the gate is narrower than what is behind it")
		}
	})
}

func TestBuiltInRolesGrantOnlyWhatExists(t *testing.T) {
	t.Parallel()
	for _, r := range resource.BuiltInRoles() {
		if got := len(authz.Granted(&r, false)); got != len(r.GrantedSpacePermissions) {
			t.Errorf("%s: %d of %v exist in a space", r.ID, got, r.GrantedSpacePermissions)
		}
		if got := len(authz.Granted(&r, true)); got != len(r.GrantedSystemPermissions) {
			t.Errorf("%s: %d of %v exist in the system", r.ID, got, r.GrantedSystemPermissions)
		}
	}
	if _, ok := authz.BuiltInRole("USERROLES-SpaceManager"); !ok {
		t.Error("ids of roles are compared in any case (abuse 38)")
	}
}

// abuse 38: a permission under a level it does not have is none.
func TestGrantedDropsStrangers(t *testing.T) {
	t.Parallel()
	role := &resource.UserRole{GrantedSpacePermissions: []string{"AdministerSystem", "ProjectView", "-public", "Nothing"}}
	if set := authz.Granted(role, false); len(set) != 1 || !set.Has(authz.ProjectView) {
		t.Errorf("granted %v", set)
	}
}

func TestForFallsBackToEdit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stem string
		verb authz.Verb
		want authz.Permission
	}{
		{"Project", authz.Create, "ProjectCreate"},
		{"Feed", authz.Create, "FeedEdit"},
		{"Process", authz.Delete, "ProcessEdit"},
		{"Nothing", authz.Edit, ""},
		{"BuiltInFeed", authz.View, ""},
	} {
		got, err := authz.For(c.stem, c.verb)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %s: %q, %v", c.verb, c.stem, got, err)
		}
	}
}
