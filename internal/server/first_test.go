package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
)

const password = "correct horse battery"

var shownKey = regexp.MustCompile(`API-[A-Z0-9]+`)

// users is how many there are.
func (r *running) users() (n int) {
	r.t.Helper()
	var list struct{ TotalResults int }
	r.must(http.MethodGet, "/api/users", nil, &list)
	return list.TotalResults
}

func (r *running) login(password string) (status int) {
	r.t.Helper()
	status, _ = r.send(http.MethodPost, "/api/users/login", map[string]string{"Username": "admin", "Password": password})
	return status
}

// The operator's own key is the administrator's from the first start, is never
// shown, and another one at a later start changes nothing (abuse 24).
func TestFirstStartByKey(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var out bytes.Buffer
	cfg.Out = &out
	r := run(t, cfg)
	if r.me() != "admin" {
		t.Error("the key is not the administrator's")
	}
	r.stop()
	for _, later := range []string{"", "API-ANOTHERANOTHERANOTHERANOTHER", "nonsense"} {
		cfg.AdminKey = later
		r := run(t, cfg)
		if r.me() != "admin" || r.users() != 1 {
			t.Errorf("restarted with %q: the administrator is gone", later)
		}
		if r.key = later; r.me() != "" {
			t.Errorf("restarted with %q: it is somebody's key now", later)
		}
		r.stop()
	}
	if out.Len() > 0 {
		t.Errorf("shown: %s", &out)
	}
}

// Without a key or password one key is made, shown once and kept as a hash.
func TestFirstStartByMadeKey(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var out bytes.Buffer
	cfg.AdminKey, cfg.Out = "", &out
	r := run(t, cfg)
	keys := shownKey.FindAllString(out.String(), -1)
	if len(keys) != 1 || !secret.CheckAPIKey(keys[0], false) || !strings.Contains(out.String(), "shown only now") {
		t.Fatalf("shown: %s", &out)
	}
	if r.key = keys[0]; r.me() != "admin" {
		t.Error("the key that was shown is not the administrator's")
	}
	r.stop()
	out.Reset()
	r = run(t, cfg)
	if r.key = keys[0]; r.me() != "admin" || r.users() != 1 {
		t.Error("the restart lost the administrator")
	}
	r.stop()
	if out.Len() > 0 {
		t.Errorf("the restart shows: %s", &out)
	}
	for name, text := range contents(t, cfg.Data) {
		if strings.Contains(text, keys[0]) {
			t.Errorf("%s has the key in the clear", name)
		}
	}
}

func TestFirstStartByPassword(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var out bytes.Buffer
	cfg.AdminKey, cfg.AdminPassword, cfg.Out = "", password, &out
	run(t, cfg).stop()
	cfg.AdminPassword = "" // and nothing is made in its place
	r := run(t, cfg)
	r.key = ""
	if status := r.login(password); status != http.StatusOK {
		t.Errorf("log in: %d", status)
	}
	if status := r.login(password + "!"); status != http.StatusUnauthorized && status != http.StatusBadRequest {
		t.Errorf("log in with another password: %d", status)
	}
	r.stop()
	if out.Len() > 0 {
		t.Errorf("shown: %s", &out)
	}
}

// What cannot be the administrator's is refused with what to do, nothing is
// set up, and the next start may do better.
func TestMalformedAdministrator(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var out bytes.Buffer
	cfg.Out = &out
	for _, c := range []struct{ key, password, says string }{
		{key: "letmein", says: "SLIPWAY_ADMIN_API_KEY is not an API key: it has to be API- and at least 26"},
		{key: "API-TOOSHORT", says: "at least 26 characters of A–Z and 0–9"},
		{key: strings.ToLower(adminKey), says: "SLIPWAY_ADMIN_API_KEY"},
		{key: adminKey + " ", says: "SLIPWAY_ADMIN_API_KEY"},
		{password: "short", says: "SLIPWAY_ADMIN_PASSWORD: Please choose a password of 12 to 128 characters"},
		{key: adminKey, password: "short", says: "SLIPWAY_ADMIN_PASSWORD: Please choose"},
	} {
		cfg.AdminKey, cfg.AdminPassword = c.key, c.password
		refused(t, cfg, resource.Invalid, c.says)
	}
	if out.Len() > 0 {
		t.Errorf("shown: %s", &out)
	}
	cfg.AdminKey, cfg.AdminPassword = adminKey, ""
	r := run(t, cfg)
	if r.me() != "admin" || r.users() != 1 {
		t.Error("the next start does not make the administrator")
	}
	r.stop()
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the pipe is closed") }

// A key that nobody saw is nobody's: the next start makes and shows another.
func TestKeyThatCannotBeShown(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.AdminKey, cfg.Out = "", broken{}
	refused(t, cfg, resource.PreconditionFailed, "could not be shown", "Set SLIPWAY_ADMIN_API_KEY", "the pipe is closed")
	cfg.Out = nil
	refused(t, cfg, resource.PreconditionFailed, "could not be shown")
	var out bytes.Buffer
	cfg.Out = &out
	r := run(t, cfg)
	if r.key = shownKey.FindString(out.String()); r.me() != "admin" {
		t.Errorf("shown: %s", &out)
	}
	r.stop()
}

// Clients expect a task on every server (octopus-api.md 2.0); the first start
// is one, and there is no second.
func TestSetupIsATask(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	run(t, cfg).stop()
	r := run(t, cfg)
	var list struct {
		Items []struct{ Name, State, CompletedTime string }
	}
	r.must(http.MethodGet, "/api/tasks", nil, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "Setup" || list.Items[0].State != "Success" || !strings.HasPrefix(list.Items[0].CompletedTime, "2026-01-02T03:04:05") {
		t.Errorf("tasks: %+v", list.Items)
	}
	r.stop()
}
