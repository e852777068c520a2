package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	apideploy "github.com/slipwayhq/slipway/internal/api/deploy"
	apidocuments "github.com/slipwayhq/slipway/internal/api/documents"
	apiidentity "github.com/slipwayhq/slipway/internal/api/identity"
	"github.com/slipwayhq/slipway/internal/api/system"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/app/feed"
	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files and docs/openapi.yaml anew")

// areas are all parts of the API, without anything behind them.
func areas(r *rig) []api.Area {
	return append(apideploy.Areas(r.deploy, r.artifacts, r.feed, nil), apidocuments.Area(r.docs), apiidentity.Area(r.users),
		system.Area(system.Config{Docs: r.docs, Version: version, Started: start, Thumbprint: thumbprint, Now: func() time.Time { return r.now() }}))
}

const (
	version      = "2026.1.1"
	thumbprint   = "7F00000000000000000000000000000000000000000000000000000000000001"
	installation = "5b1c8a1e-0000-4000-8000-000000000001"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

// rig is a whole API over a real store, with the administrator's key.
type rig struct {
	t         *testing.T
	db        *store.DB
	data      string
	docs      *documents.Service
	users     *identity.Service
	deploy    *deploy.Service
	artifacts *deploy.Artifacts
	feed      *feed.Service
	blobs     *blob.Disk
	handler   http.Handler
	url       string
	key       string
	clock     atomic.Int64 // milliseconds since start
	checks    atomic.Int64 // health checks that were queued
}

func (r *rig) now() time.Time { return start.Add(time.Duration(r.clock.Load()) * time.Millisecond) }

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, data: t.TempDir(), key: secret.NewAPIKey()}
	keys, err := secret.Load(r.data)
	check(t, err)
	var guids atomic.Int64
	r.db, err = store.Open(t.Context(), store.Config{Path: r.data, Database: storetest.Database(t), Keys: keys, Now: r.now, NewID: func() string {
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", guids.Add(1))
	}})
	check(t, err)
	t.Cleanup(func() {
		if err := r.db.Close(); err != nil {
			t.Error(err)
		}
	})
	hasher := identity.NewHasher(identity.Cost{MemoryKiB: 64, Passes: 1, Threads: 1})
	hash, err := hasher.Hash(t.Context(), "correct horse battery")
	check(t, err)
	check(t, r.db.Write(t.Context(), func(tx *store.Tx) error {
		return store.Seed(tx, store.Admin{Username: "admin", DisplayName: "Administrator", PasswordHash: resource.Plain(hash), KeyHash: secret.Hash(r.key), KeyHint: secret.Hint(r.key)})
	}))
	blobs, err := blob.OpenDisk(filepath.Join(r.data, "blobs"))
	check(t, err)
	r.users, err = identity.New(identity.Config{DB: r.db, Hasher: hasher, Keys: identity.Keys{
		New: secret.NewAPIKey, Hash: secret.Hash, Hint: secret.Hint, Valid: func(key string) bool { return secret.CheckAPIKey(key, false) },
	}})
	check(t, err)
	r.docs, err = documents.New(documents.Config{
		DB: r.db, HashToken: secret.Hash, NewToken: secret.NewToken,
		CheckHealth: func(*store.Tx, *resource.Machine) error {
			r.checks.Add(1)
			return nil
		},
	})
	check(t, err)
	r.deploy, r.artifacts, r.feed, r.blobs = deploy.New(r.db), deploy.NewArtifacts(r.db, blobs), feed.New(r.db, blobs), blobs
	var requests atomic.Int64
	server, err := api.New(api.Config{
		Identity: r.users, Spaces: r.docs, Areas: areas(r), Version: version, InstallationID: installation, SessionKey: bytes.Repeat([]byte("k"), 32),
		Now: r.now, NewID: func() string { return "request-" + strconv.FormatInt(requests.Add(1), 10) }, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	})
	check(t, err)
	r.handler = server
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	r.url = web.URL
	return r
}

// testLog shows what the server logs in the test that caused it.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as is the same API for the holder of another key; "" is nobody.
func (r *rig) as(key string) *rig {
	other := &rig{t: r.t, db: r.db, docs: r.docs, users: r.users, url: r.url, key: key}
	return other
}

type object map[string]any

// send makes one request; body may be nil, a text, or anything JSON.
func (r *rig) send(method, path string, body any) (status int, answer string) {
	r.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		check(r.t, err)
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, reader)
	check(r.t, err)
	if r.key != "" {
		req.Header.Set("X-Octopus-ApiKey", r.key)
	}
	if strings.HasPrefix(r.key, "REG-") {
		req.Header.Del("X-Octopus-ApiKey")
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	resp, err := http.DefaultClient.Do(req)
	check(r.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(r.t, err)
	return resp.StatusCode, string(data)
}

// want makes a request and fails unless the status is the one given.
func (r *rig) want(status int, method, path string, body any) object {
	r.t.Helper()
	got, answer := r.send(method, path, body)
	if got != status {
		r.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, answer)
	}
	var out object
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		r.t.Fatalf("%s %s: %v: %.300s", method, path, err, answer)
	}
	return out
}

func (r *rig) get(path string) object { r.t.Helper(); return r.want(200, "GET", path, nil) }

func (r *rig) post(path string, body any) object {
	r.t.Helper()
	return r.want(201, "POST", path, body)
}

func (r *rig) put(path string, body any) object { r.t.Helper(); return r.want(200, "PUT", path, body) }
func (r *rig) del(path string)                  { r.t.Helper(); r.want(200, "DELETE", path, nil) }

// array is a GET that answers with a bare array.
func (r *rig) array(path string) []any {
	r.t.Helper()
	status, answer := r.send("GET", path, nil)
	var out []any
	if err := json.Unmarshal([]byte(answer), &out); err != nil || status != 200 {
		r.t.Fatalf("GET %s: %d %.300s", path, status, answer)
	}
	return out
}

func (o object) text(path ...string) string {
	var v any = o
	for _, name := range path {
		switch m := v.(type) {
		case object:
			v = m[name]
		case map[string]any:
			v = m[name]
		default:
			return ""
		}
	}
	s, _ := v.(string)
	return s
}

func (o object) items() []object {
	var items []object
	for _, item := range list(o["Items"]) {
		items = append(items, sub(item))
	}
	return items
}

// secretIn opens a stored secret, past the API.
func (r *rig) secretIn(set, variable string) (plain string) {
	r.t.Helper()
	check(r.t, r.db.Read(r.t.Context(), func(tx *store.Tx) error {
		stored, err := store.Get[resource.VariableSet](tx, set)
		if err != nil {
			return err
		}
		if err := store.Unseal(tx, stored); err != nil {
			return err
		}
		for i := range stored.Variables {
			if stored.Variables[i].ID == variable {
				plain, _ = stored.Variables[i].Secret.Reveal()
			}
		}
		return nil
	}))
	return plain
}

// before is what stands in front of a mark: an address without its template.
func before(text, mark string) string {
	head, _, _ := strings.Cut(text, mark)
	return head
}

// sub is a value as the object it has to be, empty when it is none.
func sub(v any) object {
	switch o := v.(type) {
	case object:
		return o
	case map[string]any:
		return o
	}
	return nil
}

// list is a value as the array it has to be, empty when it is none.
func list(v any) []any {
	items, _ := v.([]any)
	return items
}

func number(v any) float64 {
	n, _ := v.(float64)
	return n
}
