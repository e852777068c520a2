package identity

import (
	"net/url"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) keyRoutes() []api.Route {
	routes := []api.Route{
		api.Get("/users/{id}/apikeys", authz.SignedIn, "List the API keys of a user", a.listKeys).Paged(),
		api.Post("/users/{id}/apikeys", authz.SignedIn, "Make an API key; the answer alone shows it", a.createKey),
		api.Get("/users/{id}/apikeys/{key}", authz.SignedIn, "Get an API key, without the key", a.getKey),
		api.Delete("/users/{id}/apikeys/{key}", authz.SignedIn, "Revoke an API key", func(c *api.Call) error {
			return a.users.RevokeKey(c.Context(), c.Caller, c.Param("id"), c.Param("key"))
		}),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Global)
	}
	return routes
}

// KeyCommand asks for an API key.
type KeyCommand struct {
	Purpose string
	Expires resource.Time
}

// CreatedKey is a key that was just made: ApiKey is a text here, and nowhere
// else (octopus-api.md 2.17).
type CreatedKey struct {
	ID      string `json:"Id"`
	APIKey  string `json:"ApiKey"`
	Purpose string
	UserID  string `json:"UserId"`
	Created resource.Time
	Expires resource.Time
	Links   api.Links
}

// Key is a key that exists.
type Key struct {
	ID      string      `json:"Id"`
	APIKey  KeyPresence `json:"ApiKey"`
	Purpose string
	UserID  string `json:"UserId"`
	Created resource.Time
	Expires resource.Time
	Links   api.Links
}

// KeyPresence says that there is a key, and how it begins.
type KeyPresence struct {
	HasValue bool
	NewValue *string
	Hint     string
}

func keyLinks(user, id string) api.Links {
	return api.Links{"Self": "/api/users/" + url.PathEscape(user) + "/apikeys/" + id}
}

func keyOf(k *resource.APIKey) Key {
	return Key{
		ID: k.ID, APIKey: KeyPresence{HasValue: true, Hint: k.Hint}, Purpose: k.Purpose, UserID: k.UserID,
		Created: k.Created, Expires: k.Expires, Links: keyLinks(k.UserID, k.ID),
	}
}

func (a *area) listKeys(c *api.Call) (api.Collection[Key], error) {
	page := c.Page()
	keys, total, err := a.users.KeysOf(c.Context(), c.Caller, c.Param("id"), page.Skip, page.Take)
	items := make([]Key, 0, len(keys))
	for i := range keys {
		items = append(items, keyOf(&keys[i]))
	}
	return api.CollectionOf(c, "ApiKey", items, total), err
}

func (a *area) createKey(c *api.Call, in KeyCommand) (CreatedKey, error) {
	k, err := a.users.CreateKey(c.Context(), c.Caller, c.Param("id"), in.Purpose, in.Expires)
	if err != nil {
		return CreatedKey{}, err
	}
	return CreatedKey{
		ID: k.ID, APIKey: k.Key, Purpose: k.Purpose, UserID: k.UserID, Created: k.Created, Expires: k.Expires, Links: keyLinks(k.UserID, k.ID),
	}, nil
}

func (a *area) getKey(c *api.Call) (Key, error) {
	k, err := a.users.KeyOf(c.Context(), c.Caller, c.Param("id"), c.Param("key"))
	if err != nil {
		return Key{}, err
	}
	return keyOf(k), nil
}
