package identity

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) userRoutes() []api.Route {
	k := resource.UserKind
	routes := []api.Route{
		api.Get("/users", authz.UserView, "List users", a.listUsers).Paged().With("ids", "partialName", "filter").Showing(k, api.Some),
		api.Get("/users/all", authz.UserView, "All users", a.allUsers).With("ids", "partialName", "filter").Showing(k, api.Bare),
		api.Post("/users", authz.UserEdit, "Add a user", a.createUser).Showing(k, api.One),
		api.Get("/users/me", authz.SignedIn, "Who is asking", func(c *api.Call) (api.Item, error) { return a.user(c, "me") }).Showing(k, api.One),
		api.Get("/users/{id}", authz.SignedIn, "Get a user by id or name", func(c *api.Call) (api.Item, error) { return a.user(c, c.Param("id")) }).Showing(k, api.One),
		api.Put("/users/{id}", authz.SignedIn, "Change a user", a.updateUser).Showing(k, api.One),
		api.Delete("/users/{id}", authz.UserEdit, "Delete a user", func(c *api.Call) error {
			return a.users.DeleteUser(c.Context(), c.Caller, c.Param("id"))
		}),
		api.Get("/users/{id}/spaces", authz.SignedIn, "The spaces that a user may enter", a.userSpaces).Showing(resource.SpaceKind, api.Bare),
		api.Get("/users/{id}/teams", authz.SignedIn, "The teams of a user", a.userTeams).With("spaces", "includeSystem"),
		api.Get("/users/authentication", authz.SignedIn, "How users log in", a.authentication),
		api.Get("/users/authentication/{id}", authz.SignedIn, "How a user logs in", a.authentication),
		api.Get("/users/identity-metadata", authz.SignedIn, "What identity providers say of users", func(c *api.Call) (IdentityMetadata, error) {
			return IdentityMetadata{Providers: []struct{}{}, Links: api.Links{"Self": c.Path()}}, nil
		}),
		api.Get("/users/external-search", authz.UserView, "Find users of identity providers", func(*api.Call) ([]struct{}, error) {
			return []struct{}{}, nil
		}).With("partialName"),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Global)
	}
	return routes
}

// UserCommand is a user as a client writes him.
type UserCommand struct {
	Username     string
	DisplayName  string
	EmailAddress string
	IsActive     *bool
	IsService    bool
	Password     *string
	Identities   []resource.Identity
}

func (u UserCommand) change() identity.UserChange {
	in := identity.UserChange{
		Username: u.Username, DisplayName: u.DisplayName, EmailAddress: u.EmailAddress, IsActive: u.IsActive, IsService: u.IsService, Identities: u.Identities,
	}
	if u.Password != nil {
		in.Password = *u.Password
	}
	return in
}

func (a *area) find(c *api.Call, q identity.Query) ([]api.Item, int, error) {
	if filter := c.Text("filter"); filter != "" {
		q.PartialName = filter
	}
	users, total, err := a.users.Users(c.Context(), c.Caller, q)
	items := make([]api.Item, 0, len(users))
	for i := range users {
		items = append(items, api.UserItem(&users[i], c.Caller.UserID))
	}
	return items, total, err
}

func (a *area) listUsers(c *api.Call) (api.Collection[api.Item], error) {
	items, total, err := a.find(c, queryOf(c))
	return api.CollectionOf(c, "User", items, total), err
}

func (a *area) allUsers(c *api.Call) ([]api.Item, error) {
	q := queryOf(c)
	q.Skip, q.Take = 0, 0
	items, _, err := a.find(c, q)
	return items, err
}

func (a *area) user(c *api.Call, key string) (api.Item, error) {
	return a.shown(c)(a.users.User(c.Context(), c.Caller, key))
}

// shown puts a user into the wire's form.
func (a *area) shown(c *api.Call) func(*resource.User, error) (api.Item, error) {
	return func(u *resource.User, err error) (api.Item, error) {
		if err != nil {
			return api.Item{}, err
		}
		return api.UserItem(u, c.Caller.UserID), nil
	}
}

func (a *area) createUser(c *api.Call, in UserCommand) (api.Item, error) {
	return a.shown(c)(a.users.CreateUser(c.Context(), c.Caller, in.change()))
}

func (a *area) updateUser(c *api.Call, in UserCommand) (api.Item, error) {
	return a.shown(c)(a.users.UpdateUser(c.Context(), c.Caller, c.Param("id"), in.change()))
}

func (a *area) userSpaces(c *api.Call) ([]api.Item, error) {
	spaces, err := a.users.SpacesOf(c.Context(), c.Caller, c.Param("id"))
	items := make([]api.Item, 0, len(spaces))
	for i := range spaces {
		items = append(items, api.ItemOf(&spaces[i]))
	}
	return items, err
}

// Authentication says how users log in.
type Authentication struct {
	AuthenticationProviders             []Provider
	AnyAuthenticationProvidersSupport   bool `json:"AnyAuthenticationProvidersSupportPasswordManagement"`
	CanCurrentUserEditIdentitiesForUser bool
	AutoLoginEnabled                    bool
	Links                               api.Links
}

// Provider is one way to log in.
type Provider struct {
	Name               string
	IdentityType       string
	FormsLoginEnabled  bool
	FormsUsernameLabel string
	SupportsGroups     bool
	Links              api.Links
}

// IdentityMetadata describes the claims of identity providers; there are none.
type IdentityMetadata struct {
	Providers []struct{}
	Links     api.Links
}

func (a *area) authentication(c *api.Call) (Authentication, error) {
	return Authentication{
		AuthenticationProviders: []Provider{{
			Name: "Username / Password", IdentityType: "UsernamePassword", FormsLoginEnabled: true, FormsUsernameLabel: "Username", Links: api.Links{},
		}},
		AnyAuthenticationProvidersSupport:   true,
		CanCurrentUserEditIdentitiesForUser: authz.Can(c.Caller.Subject, authz.UserEdit, authz.Scope{}),
		Links:                               api.Links{"Self": c.Path()},
	}, nil
}
