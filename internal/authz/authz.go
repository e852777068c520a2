// Package authz decides who may do what. It is pure: subjects and scopes come
// in, a yes or no comes out; nothing is looked up, and what is not granted is
// refused.
package authz

import "slices"

// Subject is a caller with everything that is granted to him. The zero Subject
// is nobody.
type Subject struct {
	UserID    string
	Username  string
	IsService bool
	Teams     []string
	Grants    []Grant
}

// Grant is one role in one place. Its limits hold together: a machine in Dev
// of project B is not within (Dev, project A), even beside another grant of
// (Prod, project B) (abuse 32).
type Grant struct {
	Permissions Set
	// Space is where the grant holds; "" is the system level, where only
	// permissions of that level count.
	Space         string
	Projects      Limit
	ProjectGroups Limit
	Environments  Limit
	Tenants       Limit
}

// Limit narrows a grant to some documents. The zero Limit is none: an empty or
// forgotten selector never means all (abuse 33).
type Limit struct {
	any bool
	ids []string
}

// Any is no limit.
func Any() Limit { return Limit{any: true} }

// Only is a limit to these ids.
func Only(ids ...string) Limit { return Limit{ids: ids} }

// IDs are the documents of the limit; unlimited says that there is none.
func (l Limit) IDs() (ids []string, unlimited bool) { return l.ids, l.any }

// covers says whether the limit lets a document through. An empty id means
// that the thing asked about has no such dimension.
func (l Limit) covers(id string) bool {
	return l.any || id == "" || slices.Contains(l.ids, id)
}

// New stands in a Scope for a document that does not exist yet: only a grant
// without a limit in that dimension covers it.
const New = "\x00new"

// Scope is what a permission is asked for. An empty dimension means that the
// thing has none; whoever asks fills in every dimension it has.
type Scope struct {
	Space        string // "" for the system level
	Project      string
	ProjectGroup string
	Environment  string
	Tenant       string
}

// Can says whether the subject may do it there.
func Can(s Subject, p Permission, at Scope) bool {
	if p == Public {
		return true
	}
	if s.UserID == "" {
		return false
	}
	if p == SignedIn {
		return true
	}
	return slices.ContainsFunc(s.Grants, func(g Grant) bool {
		return g.isAdministrator() || g.has(p, at.Space) &&
			g.Projects.covers(at.Project) && g.ProjectGroups.covers(at.ProjectGroup) &&
			g.Environments.covers(at.Environment) && g.Tenants.covers(at.Tenant)
	})
}

// CanSomewhere says whether any grant of the space gives the permission,
// whatever its limits: the gate of a route, before the document is known.
func CanSomewhere(s Subject, p Permission, space string) bool {
	if p == Public || p == SignedIn {
		return Can(s, p, Scope{})
	}
	return s.UserID != "" && slices.ContainsFunc(s.Grants, func(g Grant) bool {
		return g.isAdministrator() || g.has(p, space)
	})
}

// CanEnter says whether the subject may know that the space exists.
func CanEnter(s Subject, space string) bool {
	return s.UserID != "" && space != "" && slices.ContainsFunc(s.Grants, func(g Grant) bool {
		return g.isAdministrator() || g.Space == space || g.has(SpaceView, "")
	})
}

// IsAdministrator says whether the subject may do everything.
func IsAdministrator(s Subject) bool {
	return s.UserID != "" && slices.ContainsFunc(s.Grants, Grant.isAdministrator)
}

func (g Grant) isAdministrator() bool { return g.Space == "" && g.Permissions.Has(AdministerSystem) }

func (g Grant) has(p Permission, space string) bool {
	if g.Space != space || !g.Permissions.Has(p) {
		return false
	}
	about, known := Describe(p)
	return known && (space == "" && about.System || space != "" && about.Space)
}

// CanAnywhere says whether any grant gives the permission at its own level:
// the gate of a route that is asked without a space.
func CanAnywhere(s Subject, p Permission) bool {
	if p == Public || p == SignedIn {
		return Can(s, p, Scope{})
	}
	return s.UserID != "" && slices.ContainsFunc(s.Grants, func(g Grant) bool {
		return g.isAdministrator() || g.has(p, g.Space)
	})
}
