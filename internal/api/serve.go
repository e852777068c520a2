package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// ServeHTTP answers one request. The order is fixed: canonicalise, match,
// authenticate, authorise, and only then read a body (abuse 89).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := s.cfg.NewID()
	out := &writer{ResponseWriter: w, head: r.Method == http.MethodHead}
	secureHeaders(out.Header())
	defer s.recovered(out, r, id)
	segments, err := route.Split(r.URL.EscapedPath())
	switch {
	case err != nil:
		s.fail(out, r, id, resource.Missing("path"))
	case len(segments) > 0 && strings.EqualFold(segments[0], "api"):
		if err := s.serve(out, r, segments[1:]); err != nil {
			s.fail(out, r, id, err)
		}
	case len(segments) == 1 && strings.EqualFold(segments[0], "healthz"):
		s.health(out, r)
	case s.cfg.Pages != nil:
		s.cfg.Pages.ServeHTTP(out, r)
	default:
		s.fail(out, r, id, resource.Missing(r.URL.Path))
	}
}

// serve answers a request below /api, or returns why not.
func (s *Server) serve(w *writer, r *http.Request, segments []string) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	found := s.table.Find(method, segments)
	if !found.OK {
		if len(found.Allowed) == 0 {
			return resource.Missing(r.URL.Path)
		}
		w.Header().Set("Allow", strings.Join(found.Allowed, ", "))
		return errMethod
	}
	call := &Call{Request: r, route: found.Value, params: found.Params, query: r.URL.Query(), status: found.Value.Success, writer: w, ending: s.ending}
	if err := s.admit(r.Context(), call, found); err != nil {
		return err
	}
	limit := found.Value.BodyLimit
	if limit == 0 {
		limit = MaxBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	return s.handle(w, call)
}

// admit authenticates and authorises a call, and finds its space.
func (s *Server) admit(ctx context.Context, c *Call, found route.Found[*Route]) error {
	if err := keyInAddress(c); err != nil {
		return err
	}
	from := app.Caller{IP: s.clientIP(c.Request).String(), UserAgent: printable(c.Request.UserAgent(), 300)}
	caller, err := s.authenticate(ctx, c.Request, found.Value)
	if err != nil {
		return err
	}
	c.Caller = caller
	c.Caller.IP, c.Caller.UserAgent = from.IP, from.UserAgent
	permission := found.Value.Permission
	if !open(permission) && !caller.Signed() {
		return resource.Errorf(resource.Unauthenticated, "You must be logged in to request this resource. Please provide a valid API key or log in.")
	}
	if c.page, err = readPage(c.query); err != nil {
		return err
	}
	if found.InSpace {
		if err := s.enter(ctx, c, found.Space); err != nil {
			return err
		}
	}
	//guard:gate I12: a route lets in who has its permission somewhere; less `gate(c, permission)`, with `error(nil)`; seen by ./internal/api TestEveryRouteRefusesStrangers
	return gate(c, permission)
}

// open says that a route asks for no caller.
func open(p authz.Permission) bool { return p == authz.Public || p == Token }

// gate refuses a caller whom no grant could let in. Which documents he gets is
// for the use case, which knows them.
func gate(c *Call, p authz.Permission) error {
	switch {
	case open(p) || p == authz.SignedIn:
		return nil
	case c.Space != "" && authz.CanSomewhere(c.Caller.Subject, p, c.Space):
		return nil
	case c.Space == "" && authz.CanAnywhere(c.Caller.Subject, p):
		return nil
	}
	return app.Denied(p)
}

// enter finds the space of a call. One that the caller may not enter is
// answered like one that does not exist (abuse 30).
func (s *Server) enter(ctx context.Context, c *Call, name string) error {
	if name == "" {
		c.Space = resource.DefaultSpace
		return nil
	}
	id, err := s.cfg.Spaces.SpaceID(ctx, name)
	if resource.CodeOf(err) == resource.NotFound || err == nil && !authz.CanEnter(c.Caller.Subject, id) && !open(c.route.Permission) {
		return resource.Missing(name)
	}
	if err != nil {
		return fmt.Errorf("find space: %w", err)
	}
	c.Space = id
	return nil
}

func (s *Server) handle(w *writer, c *Call) error {
	if c.route.raw != nil {
		if c.route.Binary != "" {
			w.Header().Set("Content-Type", c.route.Binary)
		}
		return c.route.raw(w, c)
	}
	out, err := c.route.handle(c)
	if err != nil {
		return err
	}
	return writeJSON(w, c.status, out)
}

// writeJSON encodes first and writes then, so that a failure is never half an
// answer.
func writeJSON(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client is gone: nobody is left to tell
	return nil
}

// fail answers with an error. After the first byte of a success only cutting
// the connection tells the client.
func (s *Server) fail(w *writer, r *http.Request, id string, err error) {
	if w.wrote {
		s.cfg.Log.WarnContext(r.Context(), "answer was cut short", "request", id, "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	if r.Context().Err() != nil { // of the connection: nothing is wrong here, and nobody may be left to tell
		err = &resource.Error{Code: resource.Unavailable, Message: "The request was cut off before it was answered. Try again.", Err: err}
	}
	status, body := bodyOf(err, id)
	if errors.Is(err, errMethod) {
		status = http.StatusMethodNotAllowed
		body = ErrorBody{ErrorMessage: "This address does not know " + r.Method + ". It knows: " + w.Header().Get("Allow") + ".", ParsedHelpLinks: []string{}}
	}
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		s.cfg.Log.ErrorContext(r.Context(), "request failed", "request", id, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	for _, header := range []string{"Set-Cookie", "ETag", "Content-Disposition"} {
		w.Header().Del(header)
	}
	if err := writeJSON(w, status, body); err != nil {
		s.cfg.Log.ErrorContext(r.Context(), "error could not be encoded", "request", id, "error", err)
	}
}

// recovered turns a panic into a 500 with an id; the process stays up (abuse 68).
func (s *Server) recovered(w *writer, r *http.Request, id string) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(cause)
	}
	s.cfg.Log.ErrorContext(r.Context(), "handler panicked", "request", id, "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	s.fail(w, r, id, resource.Errorf(resource.Internal, "panic"))
}

// health says that the server works, and nothing else: no version, no data
// (abuse 90).
func (s *Server) health(w *writer, r *http.Request) {
	if s.cfg.Ready != nil {
		ctx, cancel := context.WithTimeoutCause(r.Context(), readyWithin, errors.New("not ready in time"))
		defer cancel()
		if err := s.cfg.Ready(ctx); err != nil {
			_ = writeJSON(w, http.StatusServiceUnavailable, struct{ Status string }{"Unavailable"})
			return
		}
	}
	_ = writeJSON(w, http.StatusOK, struct{ Status string }{"OK"})
}
