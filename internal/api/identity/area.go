// Package identity is the part of the API about who may do what: users, API
// keys, teams, roles and permissions (octopus-api.md 2.17, 2.18).
package identity

import (
	"slices"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/identity"
)

type area struct{ users *identity.Service }

// Area is the routes of users, keys, teams and roles. users may be nil for an
// API that is only described.
func Area(users *identity.Service) api.Area {
	a := &area{users}
	return api.Area{Name: "Identity", Routes: slices.Concat(a.userRoutes(), a.keyRoutes(), a.permissionRoutes(), a.teamRoutes())}
}

func queryOf(c *api.Call) identity.Query {
	page := c.Page()
	q := identity.Query{IDs: c.List("ids"), PartialName: c.Text("partialName"), Skip: page.Skip, Take: page.Take}
	if page.Take == 0 {
		q.IDs = []string{}
	}
	return q
}

// placed adds where teams and their roles are looked for: in the space of the
// address, else in spaces, else everywhere; with the system's own unless
// includeSystem says no (octopus-api.md 2.18).
func placed(c *api.Call) identity.Query {
	q := queryOf(c)
	q.System = c.Text("includeSystem") == "" || c.Flag("includeSystem")
	switch spaces := c.List("spaces"); {
	case c.Space != "":
		q.Spaces = []string{c.Space}
	case spaces != nil && !slices.Contains(spaces, "all"):
		q.Spaces = spaces
	}
	return q
}
