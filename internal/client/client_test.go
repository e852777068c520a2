package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

func open(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestNewRefusesAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "localhost:8080", "ftp://host", "http://", "http://user:secret@host"} {
		if _, err := client.New(client.Config{URL: raw}); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("New(%q): %v, want an invalid address", raw, err)
		}
	}
}

func TestAnswersBecomeCodedErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status  int
		body    string
		code    resource.Code
		message string
	}{
		{400, `{"ErrorMessage":"There was a problem with your request.","Errors":["Name is missing.","Slug is taken."]}`, resource.Invalid, "Name is missing.\nSlug is taken."},
		{401, `{"ErrorMessage":"Log in."}`, resource.Unauthenticated, "Log in."},
		{403, `{"ErrorMessage":"No."}`, resource.Forbidden, "No."},
		{404, `{"ErrorMessage":"The resource 'X' was not found."}`, resource.NotFound, "The resource 'X' was not found."},
		{409, `{}`, resource.Conflict, "The server answered 409 Conflict."},
		{429, `oops`, resource.RateLimited, "The server answered 429 Too Many Requests."},
		{500, `{"ErrorMessage":"Broken."}`, resource.Internal, "Broken."},
		{503, ``, resource.Unavailable, "The server answered 503 Service Unavailable."},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			err := open(t, client.Config{URL: server.URL}).Get(t.Context(), "/api", nil, nil)
			if resource.CodeOf(err) != tc.code || err.Error() != tc.message {
				t.Errorf("got %q %v, want %q %q", resource.CodeOf(err), err, tc.code, tc.message)
			}
		})
	}
}

// TestOnlyReadsAreRetried breaks each connection before the answer: a read is
// tried again, a write is sent once (P2).
func TestOnlyReadsAreRetried(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]int64{http.MethodGet: 3, http.MethodPost: 1, http.MethodPut: 1, http.MethodDelete: 1} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				conn.Close()
			})
			// One connection per request: net/http itself retries reads on a
			// kept-alive connection that was closed.
			transport := &http.Transport{DisableKeepAlives: true}
			c := open(t, client.Config{URL: server.URL, Retries: 2, Transport: transport})
			err := callWith(t.Context(), c, method)
			var lost *client.UnreachableError
			if !errors.As(err, &lost) || resource.CodeOf(err) != resource.Unavailable {
				t.Fatalf("got %v, want an UnreachableError", err)
			}
			if lost.MayHaveActed != (method != http.MethodGet) {
				t.Errorf("MayHaveActed = %v after a broken %s", lost.MayHaveActed, method)
			}
			if requests.Load() != want {
				t.Errorf("%d requests, want %d", requests.Load(), want)
			}
		})
	}
}

func TestARefusedConnectionDidNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	err := open(t, client.Config{URL: server.URL}).Post(t.Context(), "/api/x", struct{}{}, nil)
	var lost *client.UnreachableError
	if !errors.As(err, &lost) || lost.MayHaveActed || !strings.HasSuffix(err.Error(), ": connection refused") {
		t.Fatalf("got %v", err)
	}
}

func callWith(ctx context.Context, c *client.Client, method string) error {
	switch method {
	case http.MethodPost:
		return c.Post(ctx, "/api/x", struct{}{}, nil)
	case http.MethodPut:
		return c.Put(ctx, "/api/x", struct{}{}, nil)
	case http.MethodDelete:
		return c.Delete(ctx, "/api/x")
	}
	return c.Get(ctx, "/api/x", nil, nil)
}

func TestAReadRecoversWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
			return
		}
		_, _ = io.WriteString(w, `{"Id":"ServerTasks-1","State":"Success"}`)
	})
	task, err := open(t, client.Config{URL: server.URL, Retries: 1}).Task(t.Context(), "ServerTasks-1")
	if err != nil || task.State != client.TaskSuccess {
		t.Fatalf("got %+v, %v", task, err)
	}
}

// TestTheKeyStaysWithTheServer: neither a redirect nor a link in a document
// carries the key to another host.
func TestTheKeyStaysWithTheServer(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int64
	other := serve(t, func(_ http.ResponseWriter, _ *http.Request) { stolen.Add(1) })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/redirect" {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		if r.Header.Get("X-Octopus-ApiKey") != "API-SECRET" {
			t.Error("no key on a request to the server itself")
		}
		fmt.Fprintf(w, `{"Items":[{"Id":"A-1"}],"Links":{"Page.Next":%q}}`, other.URL+"/api/x?skip=1")
	})
	c := open(t, client.Config{URL: server.URL, APIKey: "API-SECRET"})
	if err := c.Get(t.Context(), "/api/redirect", nil, nil); err == nil || !strings.Contains(err.Error(), "redirects to") {
		t.Errorf("redirect to another host: %v", err)
	}
	if _, err := client.List[client.Document](t.Context(), c, "/api/things", nil, 0); err == nil {
		t.Error("endless pages were accepted")
	}
	if stolen.Load() != 0 {
		t.Errorf("%d requests went to the other host", stolen.Load())
	}
}

func TestListFollowsPagesAndStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Query().Get("skip") {
		case "":
			_, _ = io.WriteString(w, `{"Items":[{"Id":"E-1"},{"Id":"E-2"}],"Links":{"Page.Next":"/api/e?skip=2"}}`)
		default:
			_, _ = io.WriteString(w, `{"Items":[{"Id":"E-3"}],"Links":{}}`)
		}
	})
	c := open(t, client.Config{URL: server.URL})
	all, err := client.List[client.Document](t.Context(), c, "/api/e", nil, 0)
	if err != nil || len(all) != 3 || all[2].ID() != "E-3" {
		t.Fatalf("got %v, %v", all, err)
	}
	two, err := client.List[client.Document](t.Context(), c, "/api/e", url.Values{"partialName": {"e"}}, 2)
	if err != nil || len(two) != 2 || requests.Load() != 3 {
		t.Fatalf("limit 2: got %d items, %d requests, %v", len(two), requests.Load(), err)
	}
}

func TestACircleOfPagesEnds(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Items":[{"Id":"E-1"}],"Links":{"Page.Next":"/api/e?skip=0"}}`)
	})
	_, err := client.List[client.Document](t.Context(), open(t, client.Config{URL: server.URL}), "/api/e", nil, 0)
	if err == nil || !strings.Contains(err.Error(), "circle") {
		t.Fatalf("got %v", err)
	}
}

func TestFindByIDNameAndSlug(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/environments/Environments-1":
			_, _ = io.WriteString(w, `{"Id":"Environments-1","Name":"Test"}`)
		case "/api/environments":
			_, _ = io.WriteString(w, `{"Items":[{"Id":"Environments-1","Name":"Test","Slug":"test"},{"Id":"Environments-2","Name":"Zone-7","Slug":"zone"}]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"ErrorMessage":"The resource was not found."}`)
		}
	})
	c := open(t, client.Config{URL: server.URL})
	for ref, want := range map[string]string{
		"Environments-1": "Environments-1", "TEST": "Environments-1", "zone": "Environments-2",
		// A name may have the form of an id.
		"Zone-7": "Environments-2",
	} {
		doc, err := c.Find(t.Context(), "environment", "/api/environments", nil, ref)
		if err != nil || doc.ID() != want {
			t.Errorf("Find(%q) = %q, %v, want %q", ref, doc.ID(), err, want)
		}
	}
	_, err := c.Find(t.Context(), "environment", "/api/environments", nil, "Tset")
	var missing *client.MissingError
	if !errors.As(err, &missing) || resource.CodeOf(err) != resource.NotFound || len(missing.Names) != 2 {
		t.Errorf("a miss: %v", err)
	}
}

func TestSpaceByNameIsResolvedOnce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = io.WriteString(w, `{"Items":[{"Id":"Spaces-1","Name":"Default","IsDefault":true},{"Id":"Spaces-2","Name":"Shops","Slug":"shops"}]}`)
	})
	c := open(t, client.Config{URL: server.URL, Space: "shops"})
	for range 2 {
		if path, err := c.Path(t.Context(), "projects"); err != nil || path != "/api/Spaces-2/projects" {
			t.Fatalf("got %q, %v", path, err)
		}
	}
	if requests.Load() != 1 {
		t.Errorf("%d look-ups, want 1", requests.Load())
	}
	if _, err := open(t, client.Config{URL: server.URL, Space: "nope"}).Path(t.Context(), "x"); resource.CodeOf(err) != resource.NotFound {
		t.Errorf("unknown space: %v", err)
	}
}

func TestUploadStreamsOneFilePart(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("slipway ", 1<<17)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		part, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		file, err := part.NextPart()
		if err != nil || file.FormName() != "file" || file.FileName() != "Shop.Web.1.2.0.zip" {
			t.Errorf("part %v, %v", file, err)
			return
		}
		if got, _ := io.ReadAll(file); string(got) != content {
			t.Errorf("%d bytes arrived, want %d", len(got), len(content))
		}
		if r.URL.Query().Get("overwriteMode") != "IgnoreIfExists" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"Id":"packages-Shop.Web.1.2.0"}`)
	})
	c := open(t, client.Config{URL: server.URL})
	doc, stored, err := c.Upload(t.Context(), "Shop.Web.1.2.0.zip", strings.NewReader(content), client.IgnoreIfExists)
	if err != nil || !stored || doc.ID() != "packages-Shop.Web.1.2.0" {
		t.Fatalf("got %v, %v, %v", doc, stored, err)
	}
}

// TestAnUploadThatIsRefusedEnds: the answer comes before the body is read, and
// the writer must not hang on the pipe.
func TestAnUploadThatIsRefusedEnds(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"ErrorMessage":"It exists."}`)
	})
	endless := io.LimitReader(zeros{}, 1<<30)
	_, _, err := open(t, client.Config{URL: server.URL}).Upload(t.Context(), "a.1.0.0.zip", endless, client.FailIfExists)
	if err == nil {
		t.Fatal("the refusal was lost")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDocumentKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(w, r.Body)
			return
		}
		_, _ = io.WriteString(w, `{"Id":"M-1","IsDisabled":false,"Future":{"a":[1,2]},"Links":{"Self":"/api/m/M-1","L":"/api/m{?x}"}}`)
	})
	c := open(t, client.Config{URL: server.URL})
	var doc, back client.Document
	if err := c.Get(t.Context(), "/api/m/M-1", nil, &doc); err != nil {
		t.Fatal(err)
	}
	if err := doc.Set("IsDisabled", true); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), doc.Link("Self"), doc, &back); err != nil {
		t.Fatal(err)
	}
	if string(back["Future"]) != `{"a":[1,2]}` || string(back["IsDisabled"]) != "true" || doc.Link("L") != "/api/m" {
		t.Errorf("got %s", back)
	}
}

func TestCancelledContextIsNotUnreachable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(why); <-r.Context().Done() })
	err := open(t, client.Config{URL: server.URL, Retries: 3}).Get(ctx, "/api", nil, nil)
	if !errors.Is(err, why) {
		t.Fatalf("got %v", err)
	}
}
