package api

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// keyHeaders are where a key can be, the wire contract's first.
var keyHeaders = []string{"X-Octopus-ApiKey", "X-NuGet-ApiKey"}

// authenticate finds the caller of a request; the zero Caller is nobody. A key
// that is wrong is refused on every route, so that a client learns of it; a
// cookie that is over is nobody's.
func (s *Server) authenticate(ctx context.Context, r *http.Request, to *Route) (app.Caller, error) {
	for _, header := range keyHeaders {
		if key := strings.TrimSpace(r.Header.Get(header)); key != "" {
			return s.cfg.Identity.ByKey(ctx, key)
		}
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		token = strings.TrimSpace(token)
		if strings.EqualFold(scheme, "Bearer") && token != "" && to.Permission != Token {
			return s.cfg.Identity.ByKey(ctx, token)
		}
	}
	who, cookie := s.session(r)
	if cookie == "" {
		return app.Caller{}, nil
	}
	caller, err := s.cfg.Identity.BySession(ctx, who.user, who.began)
	if resource.CodeOf(err) == resource.Unauthenticated {
		return app.Caller{}, nil
	}
	if err != nil {
		return app.Caller{}, err
	}
	if to.Permission == authz.Public {
		return caller, nil
	}
	return caller, s.sameOrigin(r, cookie)
}

// Token is the permission of a route that checks a one-time token of its own,
// sent as a bearer token: no key and no session opens it.
const Token = authz.Public + "-token"

var keyShape = regexp.MustCompile(`(?i)\bAPI-[A-Z0-9]{5,}`)

// keyInAddress refuses a key in the query: addresses end up in logs (abuse 22).
func keyInAddress(c *Call) error {
	for name, values := range c.query {
		switch strings.ToLower(strings.ReplaceAll(name, "-", "")) {
		case "apikey", "xoctopusapikey", "xnugetapikey", "accesstoken", "access_token":
		default:
			if !keyShape.MatchString(strings.Join(values, " ")) {
				continue
			}
		}
		return resource.Errorf(resource.Invalid,
			"An API key is not accepted in the URL. Please send it in the X-Octopus-ApiKey header, and revoke this one: addresses are logged on their way.")
	}
	return nil
}
