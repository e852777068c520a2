package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// How long a session lasts, whatever happens in it.
const (
	sessionLasts    = 20 * time.Hour
	rememberedLasts = 30 * 24 * time.Hour
)

// Cookies of a session begin with these names (octopus-api.md 1.1), which the
// __Host- prefix would break; Path=/ and no Domain are what it stands for
// (abuse 19).
const (
	sessionCookie = "OctopusIdentificationToken_"
	csrfCookie    = "Octopus-Csrf-Token_"
	csrfHeader    = "X-Octopus-Csrf-Token"
)

// session is what the cookie says, signed: nothing is stored, and a user's
// SessionsAfter ends all of his.
type session struct {
	user  string
	began time.Time
	ends  time.Time
}

// LoginCommand is the body of a login (octopus-api.md 1.1).
type LoginCommand struct {
	Username   string
	Password   string
	RememberMe bool
}

func (s *Server) loginRoutes() []Route {
	return []Route{
		Post("/users/login", authz.Public, "Log in with a password; answers with two cookies", s.login).At(route.Global).Answers(http.StatusOK).Limit(16 << 10),
		Post("/users/logout", authz.Public, "Log out everywhere", s.logout).At(route.Global).Answers(http.StatusOK),
	}
}

func (s *Server) login(c *Call, in LoginCommand) (Item, error) {
	if err := s.origin.Check(c.Request); err != nil {
		return Item{}, crossOrigin(err)
	}
	now := s.cfg.Now()
	key := resource.Fold(in.Username) + "\x00" + network(s.clientIP(c.Request))
	if wait := s.logins.take(key, now); wait > 0 {
		c.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		return Item{}, resource.Errorf(resource.RateLimited, "Too many attempts to log in. Please try again in %d minutes.", int(wait.Minutes())+1)
	}
	user, err := s.cfg.Identity.Login(c.Context(), in.Username, in.Password, c.Caller)
	if err != nil {
		return Item{}, err
	}
	s.logins.forget(key)
	s.setCookies(c, session{user: user.ID, began: now, ends: now.Add(lasts(in.RememberMe))}, in.RememberMe)
	return UserItem(user, user.ID), nil
}

func lasts(remember bool) time.Duration {
	if remember {
		return rememberedLasts
	}
	return sessionLasts
}

func (s *Server) logout(c *Call, _ None) (struct{}, error) {
	s.dropCookies(c)
	if !c.Caller.Signed() {
		return struct{}{}, nil
	}
	if _, cookie := s.session(c.Request); cookie != "" {
		if err := s.sameOrigin(c.Request, cookie); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, s.cfg.Identity.Logout(c.Context(), c.Caller)
}

func (s *Server) setCookies(c *Call, who session, remember bool) {
	value := s.seal(who)
	for name, content := range map[string]string{sessionCookie: value, csrfCookie: s.csrfOf(value)} {
		cookie := s.cookie(name, content) //nolint:gosec // Secure follows the address that browsers use; scripts have to read the CSRF cookie
		if remember {
			cookie.Expires = who.ends
		}
		http.SetCookie(c.writer, cookie)
	}
}

func (s *Server) dropCookies(c *Call) {
	for _, name := range []string{sessionCookie, csrfCookie} {
		cookie := s.cookie(name, "") //nolint:gosec // as above
		cookie.MaxAge = -1
		http.SetCookie(c.writer, cookie)
	}
}

func (s *Server) cookie(name, value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // as above
		Name: name + s.cfg.InstallationID, Value: value, Path: "/",
		HttpOnly: name == sessionCookie, Secure: s.cfg.SecureCookies, SameSite: http.SameSiteLaxMode,
	}
}

// seal writes a session as the cookie has it: its parts, a nonce that makes
// every login's cookie a new one, and their signature.
func (s *Server) seal(who session) string {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	text := fmt.Sprintf("%s|%d|%d|%x", who.user, who.began.UnixMilli(), who.ends.UnixMilli(), nonce)
	return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + s.sign("session", text)
}

// session reads the request's cookie; value is "" when there is none that
// holds.
func (s *Server) session(r *http.Request) (who session, value string) {
	cookie, err := r.Cookie(sessionCookie + s.cfg.InstallationID)
	if err != nil {
		return session{}, ""
	}
	encoded, signature, _ := strings.Cut(cookie.Value, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || subtle.ConstantTimeCompare([]byte(signature), []byte(s.sign("session", string(text)))) != 1 {
		return session{}, ""
	}
	parts := strings.Split(string(text), "|")
	if len(parts) != 4 {
		return session{}, ""
	}
	began, err1 := strconv.ParseInt(parts[1], 10, 64)
	ends, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil || !s.cfg.Now().Before(time.UnixMilli(ends)) {
		return session{}, ""
	}
	return session{user: parts[0], began: time.UnixMilli(began), ends: time.UnixMilli(ends)}, cookie.Value
}

// sameOrigin refuses a request that another site made a browser send (abuse
// 20): by the browser's own word, and by the token that only our pages can
// read. A request that changes nothing needs neither.
func (s *Server) sameOrigin(r *http.Request, cookie string) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return nil
	}
	if err := s.origin.Check(r); err != nil {
		return crossOrigin(err)
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(s.csrfOf(cookie))) != 1 {
		return crossOrigin(nil)
	}
	return nil
}

func crossOrigin(err error) error {
	return &resource.Error{
		Code: resource.Forbidden, Err: err,
		Message: "The request does not come from this server's own pages. Please send the value of the " + csrfCookie + " cookie in the " + csrfHeader + " header, or use an API key.",
	}
}

func (s *Server) csrfOf(cookie string) string { return s.sign("csrf", cookie) }

func (s *Server) sign(purpose, text string) string {
	mac := hmac.New(sha256.New, s.cfg.SessionKey)
	mac.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
