package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Identity says who a request comes from. Every method answers an unknown,
// revoked or disabled caller with an Unauthenticated error.
type Identity interface {
	// ByKey finds the caller of an API key.
	ByKey(ctx context.Context, key string) (app.Caller, error)
	// BySession finds the caller of a session that Login began at a moment.
	BySession(ctx context.Context, user string, began time.Time) (app.Caller, error)
	// Login checks a password.
	Login(ctx context.Context, username, password string, from app.Caller) (*resource.User, error)
	// Logout ends all sessions of the caller.
	Logout(ctx context.Context, who app.Caller) error
}

// Spaces finds spaces.
type Spaces interface {
	// SpaceID resolves an id, a slug or a name, in this order and in any case.
	SpaceID(ctx context.Context, idOrName string) (string, error)
}

// Config is what New needs.
type Config struct {
	Identity Identity
	Spaces   Spaces
	Areas    []Area
	// Version is shown to clients, which compare it: "2026.1.1" (octopus-api.md 1.3).
	Version string
	// InstallationID is this server's own GUID.
	InstallationID string
	// SessionKey signs session cookies: 32 bytes that all nodes share.
	SessionKey []byte
	// SecureCookies says that browsers reach the server by HTTPS only.
	SecureCookies bool
	// TrustedProxies may say in X-Forwarded-For who the client is (abuse 18).
	TrustedProxies []netip.Prefix
	// Pages serves everything outside /api; nil means nothing is there.
	Pages http.Handler
	// Ready says whether the server can do its work, for /healthz.
	Ready func(ctx context.Context) error
	Now   func() time.Time
	NewID func() string
	Log   *slog.Logger
}

// Server is the API as an http.Handler.
type Server struct {
	cfg    Config
	table  *route.Table[*Route]
	logins *attempts
	origin *http.CrossOriginProtection
	ending chan struct{}
	end    sync.Once
}

// New builds the routing table. It refuses a route without a permission, and
// two routes for one method and path.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, logins: newAttempts(), origin: http.NewCrossOriginProtection(), ending: make(chan struct{})}
	if len(cfg.SessionKey) < 32 {
		return nil, errors.New("api: the session key needs 32 bytes")
	}
	if cfg.Identity == nil || cfg.Spaces == nil || cfg.Now == nil || cfg.NewID == nil || cfg.Log == nil {
		return nil, errors.New("api: Identity, Spaces, Now, NewID and Log have to be set")
	}
	table, err := tableOf(append([]Area{s.own()}, cfg.Areas...))
	s.table = table
	return s, err
}

func tableOf(areas []Area) (*route.Table[*Route], error) {
	var table route.Table[*Route]
	for _, area := range areas {
		for i := range area.Routes {
			r := &area.Routes[i]
			if r.Permission == "" || r.Method == "" || r.Summary == "" || r.handle == nil && r.raw == nil {
				return nil, fmt.Errorf("api: %s of %s lacks a permission, a summary or a handler", r, area.Name)
			}
			if err := table.Add(r.Scope, r.Method, r.Pattern, r); err != nil {
				return nil, fmt.Errorf("api: area %s: %w", area.Name, err)
			}
		}
	}
	return &table, nil
}

// HTTPServer is an http.Server with the time limits that slow clients meet
// (abuse 57). Bodies have their own: a route that takes long resets the
// deadline through http.ResponseController. Its Shutdown asks answers that go
// on for long to end.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if s, ok := h.(*Server); ok {
		server.RegisterOnShutdown(func() { s.end.Do(func() { close(s.ending) }) })
	}
	return server
}
