package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/server"
	"github.com/slipwayhq/slipway/internal/store"
)

// adminKey is the administrator's, set as an operator sets it.
const adminKey = "API-SLIPWAYSLIPWAYSLIPWAYSLIPWAY"

// start is when every server of these tests believes to be.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func now() time.Time { return start }

// config is a server's in a folder of its own, on loopback, with the
// administrator's key set and no worker.
func config(t *testing.T) server.Config {
	t.Helper()
	return server.Config{
		Data: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", Agents: "127.0.0.1:0", Metrics: "127.0.0.1:0", Node: "node-1",
		AdminKey: adminKey, Version: "test", Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)), Now: now, Grace: 5 * time.Second,
	}
}

// later is the configuration of a server that has had its first start.
func later(t *testing.T) server.Config {
	t.Helper()
	folder, err := begun()
	check(t, err)
	cfg := config(t)
	check(t, os.CopyFS(cfg.Data, os.DirFS(folder)))
	for _, key := range []string{"master.key", filepath.Join("identity", "identity.pem")} {
		check(t, os.Chmod(filepath.Join(cfg.Data, key), 0o600)) // CopyFS lets others read
	}
	return cfg
}

// testLog shows what the server logs in the test that caused it.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// running is a server that serves.
type running struct {
	*server.Server
	t     *testing.T
	key   string
	http  *http.Client
	end   context.CancelCauseFunc
	ended chan struct{} // closed when Run has returned
	err   error         // of Run, then
	close func() error
}

// open makes a server that does not serve yet.
func open(t *testing.T, cfg server.Config) *running {
	t.Helper()
	s, err := made(t, cfg)
	check(t, err)
	r := &running{
		Server: s, t: t, key: adminKey, ended: make(chan struct{}), close: sync.OnceValue(s.Close),
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 20 * time.Second}},
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// made is server.New after another server on the same folder has closed. A
// process that another test starts at that very moment holds a copy of the lock
// until its program is loaded.
func made(t *testing.T, cfg server.Config) (s *server.Server, err error) {
	t.Helper()
	eventually(t, "the data folder is free", func() bool {
		s, err = server.New(t.Context(), cfg)
		return err == nil || !strings.Contains(err.Error(), "in use by another")
	})
	return s, err
}

// run makes a server and lets it serve until the test ends or stop is called.
func run(t *testing.T, cfg server.Config) *running {
	t.Helper()
	r := open(t, cfg)
	r.serve()
	return r
}

func (r *running) serve() {
	r.t.Helper()
	ctx, end := context.WithCancelCause(context.WithoutCancel(r.t.Context()))
	r.end = end
	go func() {
		defer close(r.ended)
		r.err = r.Run(ctx)
	}()
	r.t.Cleanup(r.stop) // before open's clean-up closes
}

// stop asks the server to end and waits until it has.
func (r *running) stop() {
	r.t.Helper()
	r.end(errors.New("the test stops the server"))
	select {
	case <-r.ended:
	case <-time.After(20 * time.Second):
		r.t.Fatal("the server does not stop")
	}
	if err := errors.Join(r.err, r.close()); err != nil {
		r.t.Error(err)
	}
}

func (r *running) url(path string) string { return "http://" + r.Addr().String() + path }

// send makes one request with the administrator's key; body may be nil.
func (r *running) send(method, path string, body any) (status int, answer string) {
	r.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		check(r.t, err)
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url(path), reader)
	check(r.t, err)
	if r.key != "" {
		req.Header.Set("X-Octopus-Apikey", r.key)
	}
	return r.do(req)
}

func (r *running) do(req *http.Request) (status int, answer string) {
	r.t.Helper()
	res, err := r.http.Do(req)
	check(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(r.t, err)
	return res.StatusCode, string(text)
}

// must is send for what has to succeed; it reads the answer into out.
func (r *running) must(method, path string, body, out any) {
	r.t.Helper()
	status, answer := r.send(method, path, body)
	if status < 200 || status > 299 {
		r.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if out != nil {
		check(r.t, json.Unmarshal([]byte(answer), out))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused asserts that there is no server, for a reason with a code, and that
// each of the texts is in what a person reads.
func refused(t *testing.T, cfg server.Config, code resource.Code, texts ...string) {
	t.Helper()
	s, err := made(t, cfg)
	if err == nil {
		_ = s.Close()
		t.Fatal("the server starts")
	}
	if s != nil || resource.CodeOf(err) != code {
		t.Errorf("code %q, want %q: %v", resource.CodeOf(err), code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(15*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// answers says whether somebody accepts connections at the address.
func answers(t *testing.T, address string) bool {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// closed asserts that nobody accepts connections at the address any more, for
// which a process that was just being started may take a moment.
func closed(t *testing.T, address string) {
	t.Helper()
	eventually(t, address+" is closed", func() bool { return !answers(t, address) })
}

// freeAddress is an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l := listen(t)
	check(t, l.Close())
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// database opens the server's database beside it.
func database(t *testing.T, data string) *sql.DB {
	t.Helper()
	path := (&url.URL{Path: filepath.ToSlash(filepath.Join(data, "slipway.db"))}).EscapedPath()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func alter(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// stored opens the data folder of a server that has stopped.
func stored(t *testing.T, data string) *store.DB {
	t.Helper()
	keys, err := secret.Load(data)
	check(t, err)
	var db *store.DB
	eventually(t, "the data folder is free", func() bool {
		db, err = store.Open(t.Context(), store.Config{Path: data, Keys: keys, Now: now})
		return resource.CodeOf(err) != resource.PreconditionFailed
	})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// me is who the key belongs to, "" for nobody.
func (r *running) me() string {
	r.t.Helper()
	var user struct{ Username string }
	status, answer := r.send(http.MethodGet, "/api/users/me", nil)
	if status == http.StatusUnauthorized {
		return ""
	}
	check(r.t, json.Unmarshal([]byte(answer), &user))
	if user.Username == "" {
		return fmt.Sprint(status, answer)
	}
	return user.Username
}
