//go:build unix

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
)

// server is a server of our own, with an administrator's key.
type server struct {
	folder, data string
	name         string   // as a node
	joins        bool     // other servers that have set the database up
	wrapper      []string // runs the server, such as prlimit
	env          []string
	extra        []string // further arguments

	address, agents string // host:port
	key, thumbprint string
	client          *client.Client
	process         *process
}

// newServer starts a server that only this story uses.
func newServer(t *testing.T, options ...func(*server)) *server {
	t.Helper()
	folder := t.TempDir()
	s := &server{folder: folder, data: filepath.Join(folder, "data")}
	for _, option := range options {
		option(s)
	}
	t.Cleanup(func() {
		if s.process != nil {
			s.process.kill()
		}
		killLeftovers(folder)
	})
	if err := s.first(); err != nil {
		t.Fatal(err)
	}
	return s
}

// first starts the server for the first time.
func (s *server) first() error {
	for _, address := range []*string{&s.address, &s.agents} {
		port, err := nextPort()
		if err != nil {
			return err
		}
		*address = "127.0.0.1:" + port
	}
	if s.extra == nil {
		s.extra = []string{"--no-worker"}
	}
	if s.key == "" {
		s.key = "API-" + rand.Text()
	}
	if s.name == "" {
		s.name = "node-1"
	}
	var err error
	s.client, err = client.New(client.Config{URL: s.url(), APIKey: s.key})
	if err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	cmd := exec.CommandContext(context.Background(), program, "server", "thumbprint", "--data", s.data, "--format", "basic")
	cmd.Env = environ(s.folder)
	out, err := cmd.Output()
	s.thumbprint = strings.TrimSpace(string(out))
	if s.joins {
		return err
	}
	return errors.Join(err, s.policies())
}

// policies makes the default machine policy ask for nothing but a connection,
// and another one that gives a machine up after two seconds of silence.
func (s *server) policies() error {
	ctx := context.Background()
	list, err := client.List[client.Document](ctx, s.client, "/api/machinepolicies", nil, 1)
	if err != nil {
		return err
	}
	policy := list[0]
	err = policy.Set("MachineHealthCheckPolicy", map[string]any{"HealthCheckType": "OnlyConnectivity", "HealthCheckInterval": "01:00:00"})
	if err := errors.Join(err, s.client.Put(ctx, "/api/machinepolicies/"+policy.ID(), policy, &policy)); err != nil {
		return err
	}
	for field, value := range map[string]any{
		"Id": "", "Name": "Impatient", "IsDefault": false, "PollingRequestQueueTimeout": "00:00:02", "ConnectionConnectTimeout": "00:00:02",
	} {
		err = errors.Join(err, policy.Set(field, value))
	}
	return errors.Join(err, s.client.Post(ctx, "/api/machinepolicies", policy, nil))
}

func (s *server) url() string { return "http://" + s.address }

func (s *server) args() []string {
	return append([]string{"server", "--data", s.data, "--listen", s.address, "--agents", s.agents, "--node", s.name}, s.extra...)
}

// begin starts the server's process and waits until it answers.
func (s *server) begin() (err error) {
	env := append([]string{"SLIPWAY_ADMIN_API_KEY=" + s.key}, s.env...)
	if s.process, err = start(s.folder, "server", s.wrapper, env, s.args()...); err != nil {
		return err
	}
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		err := s.client.Get(context.Background(), "/api/users/me", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.done:
			return fmt.Errorf("the server has ended: %s", s.process.said())
		case <-deadline:
			s.process.kill()
			return fmt.Errorf("the server does not answer: %w\n%s", err, s.process.said())
		case <-tick.C:
		}
	}
}

// restart starts the server again after its process was stopped or killed.
func (s *server) restart(t *testing.T) {
	t.Helper()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
}

// cli runs a command line against the server as its administrator.
func (s *server) cli(t *testing.T, args ...string) result {
	t.Helper()
	return invoke(t, s.folder, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=" + s.key}, args...)
}

// must is cli for what has to succeed; it returns what was printed.
func (s *server) must(t *testing.T, args ...string) string {
	t.Helper()
	r := s.cli(t, args...)
	if r.code != 0 {
		t.Fatalf("slipway %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.stdout)
}

// get reads a document or fails the story.
func (s *server) get(t *testing.T, path string) client.Document {
	t.Helper()
	var doc client.Document
	if err := s.client.Get(t.Context(), path, nil, &doc); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return doc
}

// post creates a document.
func (s *server) post(t *testing.T, path string, body any) client.Document {
	t.Helper()
	var doc client.Document
	if err := s.client.Post(t.Context(), path, body, &doc); err != nil {
		t.Fatalf("post to %s: %v", path, err)
	}
	return doc
}

// edit changes fields of a document.
func (s *server) edit(t *testing.T, path string, fields map[string]any) client.Document {
	t.Helper()
	doc := s.get(t, path)
	for name, value := range fields {
		if err := doc.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	var saved client.Document
	if err := s.client.Put(t.Context(), path, doc, &saved); err != nil {
		t.Fatalf("save %s: %v", path, err)
	}
	return saved
}

// request sends one request of our own making and returns status and body.
func (s *server) request(t *testing.T, method, path, contentType string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Octopus-ApiKey", s.key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
