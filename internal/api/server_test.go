package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

const goodKey = "API-GOODGOODGOODGOODGOODGOODGOOD"

// door is an identity service with one user, for tests of the server alone.
type door struct{ after atomic.Int64 }

func administrator() app.Caller {
	role, _ := authz.BuiltInRole(resource.RoleSystemAdministrator)
	return app.Caller{Subject: authz.Subject{UserID: "Users-1", Username: "admin", Grants: []authz.Grant{{Permissions: authz.Granted(role, true)}}}}
}

func (d *door) ByKey(_ context.Context, key string) (app.Caller, error) {
	if key != goodKey {
		return app.Caller{}, resource.Errorf(resource.Unauthenticated, "The API key you provided was not valid.")
	}
	return administrator(), nil
}

func (d *door) BySession(_ context.Context, user string, began time.Time) (app.Caller, error) {
	if user != "Users-1" || began.UnixMilli() <= d.after.Load() {
		return app.Caller{}, resource.Errorf(resource.Unauthenticated, "Please log in again.")
	}
	return administrator(), nil
}

func (d *door) Login(_ context.Context, name, password string, _ app.Caller) (*resource.User, error) {
	if name != "admin" || password != "correct horse" {
		return nil, resource.Errorf(resource.Unauthenticated, "Invalid username or password.")
	}
	return &resource.User{Document: resource.Document{ID: "Users-1"}, Username: "admin"}, nil
}

func (d *door) Logout(context.Context, app.Caller) error {
	d.after.Store(noon.UnixMilli())
	return nil
}

type oneSpace struct{}

func (oneSpace) SpaceID(_ context.Context, name string) (string, error) {
	if strings.EqualFold(name, "Spaces-1") || strings.EqualFold(name, "default") {
		return "Spaces-1", nil
	}
	return "", resource.Missing(name)
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

type echo struct {
	Name  string
	Count int
	Deep  any `json:",omitempty"`
}

func serve(t *testing.T, log io.Writer) *httptest.Server {
	t.Helper()
	var ids atomic.Int64
	server, err := api.New(api.Config{
		Identity: new(door), Spaces: oneSpace{}, Version: "2026.1.1", InstallationID: "5b1c8a1e-0000-4000-8000-000000000001",
		SessionKey: bytes.Repeat([]byte("k"), 32), Now: func() time.Time { return noon },
		NewID: func() string { return "id" + strconv.FormatInt(ids.Add(1), 10) },
		Log:   slog.New(slog.NewTextHandler(log, nil)),
		Areas: []api.Area{{Name: "Test", Routes: []api.Route{
			api.Post("/echo", authz.ProjectEdit, "Echo", func(_ *api.Call, in echo) (echo, error) { return in, nil }),
			api.Get("/echo/boom", authz.ProjectView, "Panic", func(*api.Call) (echo, error) { panic("secret detail") }),
			api.Get("/echo/broken", authz.ProjectView, "Fail", func(*api.Call) (echo, error) { return echo{}, io.ErrUnexpectedEOF }),
			api.Delete("/echo/{id}", authz.ProjectDelete, "Delete", func(*api.Call) error { return nil }),
			api.Get("/numbers", authz.ProjectView, "Count", func(c *api.Call) (api.Collection[int], error) {
				return api.SliceOf(c, "Number", make([]int, 65)), nil
			}).Paged().With("partialName"),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, s *httptest.Server, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

const keyHeader = "X-Octopus-ApiKey"

func TestErrorForms(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string // "" for any body of the form
	}{
		{"no key", "GET", "/api/numbers", "", nil, 401, `{"ErrorMessage":"You must be logged in to request this resource. Please provide a valid API key or log in.","ParsedHelpLinks":[]}`},
		{"wrong key", "GET", "/api/numbers", "", []string{keyHeader, "API-WRONG"}, 401, ""},
		{"wrong key on a public route", "GET", "/api", "", []string{keyHeader, "API-WRONG"}, 401, ""},
		{"unknown path", "GET", "/api/nowhere/at/all", "", []string{keyHeader, goodKey}, 404, `{"ErrorMessage":"The resource '/api/nowhere/at/all' was not found.","ParsedHelpLinks":[]}`},
		{"unknown space", "GET", "/api/Spaces-77/numbers", "", []string{keyHeader, goodKey}, 404, `{"ErrorMessage":"The resource 'Spaces-77' was not found.","ParsedHelpLinks":[]}`},
		{"wrong method", "PUT", "/api/numbers", "{}", []string{keyHeader, goodKey}, 405, `{"ErrorMessage":"This address does not know PUT. It knows: GET.","ParsedHelpLinks":[]}`},
		{"method override is no method", "GET", "/api/echo/x", "", []string{keyHeader, goodKey, "X-HTTP-Method-Override", "DELETE"}, 405, ""}, // abuse 89
		{"options", "OPTIONS", "/api/numbers", "", []string{keyHeader, goodKey}, 405, ""},
		{"dot segments", "GET", "/api/x/../numbers", "", []string{keyHeader, goodKey}, 404, ""},
		{"key in the query", "GET", "/api/numbers?apikey=" + goodKey, "", []string{keyHeader, goodKey}, 400, ""}, // abuse 22
		{"key anywhere in the query", "GET", "/api/numbers?partialName=" + goodKey, "", []string{keyHeader, goodKey}, 400, ""},
		{"negative skip", "GET", "/api/numbers?skip=-1", "", []string{keyHeader, goodKey}, 400, `{"ErrorMessage":"There was a problem with your request.","Errors":["skip has to be a number from 0 to 2147483647."],"ParsedHelpLinks":[]}`}, // abuse 66
		{"injected take", "GET", "/api/numbers?take=1;drop", "", []string{keyHeader, goodKey}, 200, ""},                                                                                                                                      // a semicolon is no separator: no take at all
		{"no body", "POST", "/api/echo", "", []string{keyHeader, goodKey}, 400, ""},
		{"a form", "POST", "/api/echo", "Name=x", []string{keyHeader, goodKey, "Content-Type", "text/plain"}, 400, ""}, // abuse 20
		{"defect", "GET", "/api/echo/broken", "", []string{keyHeader, goodKey}, 500, ""},
		{"panic", "GET", "/api/echo/boom", "", []string{keyHeader, goodKey}, 500, ""}, // abuse 68
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, s, c.method, c.path, c.body, c.header...)
			if got.status != c.status {
				t.Fatalf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			if c.want != "" && got.body != c.want {
				t.Errorf("got  %s\nwant %s", got.body, c.want)
			}
			if !json.Valid([]byte(got.body)) || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
				t.Errorf("no JSON: %q %s", got.header.Get("Content-Type"), got.body)
			}
			if strings.Contains(got.body, "secret detail") || strings.Contains(got.body, "unexpected EOF") {
				t.Errorf("the cause went out: %s", got.body)
			}
			if c.status == http.StatusNotFound && strings.Contains(got.body, `"Errors"`) {
				t.Errorf("a 404 has Errors: %s", got.body)
			}
		})
	}
}

// abuse 58: what two parsers could read differently is refused; what other
// versions of a client send is not.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"camel case", `{"name":"x","count":3}`, 201, `{"Name":"x","Count":3}`},
		{"unknown members", `{"Name":"x","Links":null,"Extra":{"a":[1]}}`, 201, `{"Name":"x","Count":0}`},
		{"byte order mark", "\xef\xbb\xbf{\"Name\":\"x\"}", 201, `{"Name":"x","Count":0}`},
		{"duplicate name", `{"Name":"x","Name":"y"}`, 400, ""},
		{"duplicate name inside", `{"Deep":[{"a":1,"a":2}]}`, 400, ""},
		{"trailing value", `{"Name":"x"} {"Name":"y"}`, 400, ""},
		{"trailing garbage", `{"Name":"x"}]`, 400, ""},
		{"cut short", `{"Name":"x"`, 400, ""},
		{"not a number", `{"Count":NaN}`, 400, ""},
		{"too large a number", `{"Count":1e999}`, 400, ""},
		{"wrong type", `{"Count":"many"}`, 400, ""},
		{"64 levels", `{"Deep":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, 201, ""},
		{"65 levels", `{"Deep":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, 413, ""},
		{"100,000 levels", strings.Repeat("[", 100_000), 413, ""},
		{"beyond the limit", `{"Name":"` + strings.Repeat("x", api.MaxBody) + `"}`, 413, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, s, "POST", "/api/Spaces-1/echo", c.body, keyHeader, goodKey)
			if got.status != c.status || c.want != "" && got.body != c.want {
				t.Errorf("%d %.300s, want %d %s", got.status, got.body, c.status, c.want)
			}
		})
	}
}

func TestPagesKeepTheFilterAndEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	next, seen := "/api/Spaces-1/numbers?partialName=a%2Cb&take=30", 0
	for pages := 0; next != ""; pages++ {
		got := ask(t, s, "GET", next, "", keyHeader, goodKey)
		var page api.Collection[int]
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || page.TotalResults != 65 || page.NumberOfPages != 3 || page.LastPageNumber != 2 || page.ItemsPerPage != 30 {
			t.Fatalf("%v: %s", err, got.body)
		}
		if !strings.Contains(page.Links["Self"], "partialName=a%2Cb") || pages > 3 {
			t.Fatalf("filter lost: %s", page.Links["Self"])
		}
		seen += len(page.Items)
		next = page.Links["Page.Next"]
	}
	if seen != 65 {
		t.Errorf("saw %d of 65", seen)
	}
	got := ask(t, s, "GET", "/api/numbers?take=2147483647", "", keyHeader, goodKey)
	if !strings.Contains(got.body, `"ItemsPerPage":1000`) { // abuse 66
		t.Errorf("take is not bounded: %.200s", got.body)
	}
}

func TestDeleteAnswersAnObject(t *testing.T) {
	t.Parallel()
	got := ask(t, serve(t, io.Discard), "DELETE", "/api/echo/x", "", keyHeader, goodKey)
	if got.status != http.StatusOK || got.body != "{}" || got.header.Get("Content-Length") != "2" {
		t.Errorf("%+v", got)
	}
}

func TestKeysInEveryHeaderClientsUse(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	for _, header := range [][]string{{"X-Octopus-ApiKey", goodKey}, {"X-NuGet-ApiKey", goodKey}, {"Authorization", "Bearer " + goodKey}} {
		if got := ask(t, s, "GET", "/api/numbers", "", header...); got.status != http.StatusOK {
			t.Errorf("%s: %d", header[0], got.status)
		}
	}
}

// abuse 22, 68: neither a key nor a cause leaves, and the log has the id that
// the answer names.
func TestFailuresAreFoundByTheirID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := serve(t, &log)
	got := ask(t, s, "GET", "/api/echo/boom", "", keyHeader, goodKey)
	s.Close()
	var body api.ErrorBody
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(body.ErrorMessage, "id1") || !strings.Contains(log.String(), "request=id1") || !strings.Contains(log.String(), "secret detail") {
		t.Errorf("%s\n%s", got.body, log.String())
	}
	if strings.Contains(log.String(), goodKey) {
		t.Error("the key is in the log")
	}
}

// abuse 90
func TestHealthSaysNothingElse(t *testing.T) {
	t.Parallel()
	if got := ask(t, serve(t, io.Discard), "GET", "/healthz", ""); got.status != http.StatusOK || got.body != `{"Status":"OK"}` {
		t.Errorf("%+v", got)
	}
}

func TestNewRefusesARouteWithoutPermission(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Config{
		Identity: new(door), Spaces: oneSpace{}, SessionKey: make([]byte, 32), Now: time.Now, NewID: func() string { return "" }, Log: slog.New(slog.DiscardHandler),
		Areas: []api.Area{{Name: "Test", Routes: []api.Route{api.Get("/open", "", "Open", func(*api.Call) (struct{}, error) { return struct{}{}, nil })}}},
	})
	if err == nil || !strings.Contains(err.Error(), "GET /api/{space}/open") {
		t.Errorf("got %v", err)
	}
}

// abuse 58
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `[[]]`, `{"a":{"a":1}}`, `{"a":1,"a":2}`, `"\ud800"`, `1 2`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if api.CheckJSON(data) == nil && json.Unmarshal(data, &v) != nil && !strings.Contains(string(data), "e") {
			t.Errorf("passed %q, which is no JSON", data)
		}
	})
}
