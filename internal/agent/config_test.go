package agent_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/resource"
)

func goodConfig() *agent.Config {
	return &agent.Config{
		Name: "web-1", Mode: agent.Polling, Servers: []string{"127.0.0.1:1"},
		ServerThumbprints: []string{strings.Repeat("AB", 32)},
		SubscriptionID:    agent.NewSubscriptionID(rand.Text), ApplicationsDir: os.TempDir(),
	}
}

// home makes an agent's home with identity and configuration.
func newHome(t *testing.T) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	if _, err := agent.Identity(home, "web-1", time.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := goodConfig().Save(home); err != nil {
		t.Fatal(err)
	}
	return home
}

// runs starts the agent on the home with a context that has ended, so that it
// gets as far as serving and no further.
func runs(t *testing.T, home string) error {
	t.Helper()
	config, err := agent.LoadConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.Canceled)
	return agent.Run(ctx, home, config, agent.RunDeps{
		Clock: time.Now, Random: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler), Version: "1",
	})
}

func TestConfigIsKept(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	config, err := agent.LoadConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	here, err := agent.Instance(home)
	if err != nil || config.Instance != here || config.Name != "web-1" {
		t.Errorf("read back as %+v (%v)", config, err)
	}
	if _, err := agent.LoadConfig(t.TempDir()); resource.CodeOf(err) != resource.NotFound {
		t.Errorf("a home without an agent: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*agent.Config){
		"no name":           func(c *agent.Config) { c.Name = "" },
		"nobody pinned":     func(c *agent.Config) { c.ServerThumbprints = nil },
		"SHA-1 pin":         func(c *agent.Config) { c.ServerThumbprints[0] = strings.Repeat("AB", 20) },
		"lower-case pin":    func(c *agent.Config) { c.ServerThumbprints[0] = strings.Repeat("ab", 32) },
		"no mode":           func(c *agent.Config) { c.Mode = "" },
		"no server":         func(c *agent.Config) { c.Servers = nil },
		"server, no port":   func(c *agent.Config) { c.Servers = []string{"host"} },
		"no subscription":   func(c *agent.Config) { c.SubscriptionID = "" },
		"bad subscription":  func(c *agent.Config) { c.SubscriptionID = "poll://../../x/" },
		"relative folder":   func(c *agent.Config) { c.ApplicationsDir = "apps" },
		"listening nowhere": func(c *agent.Config) { c.Mode = agent.Listening },
	} {
		c := goodConfig()
		change(c)
		if err := c.Save(t.TempDir()); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPollingAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://deploy.example.com":       "deploy.example.com:10943",
		"https://deploy.example.com:8443/": "deploy.example.com:10943",
		"http://[2001:db8::1]:80":          "[2001:db8::1]:10943",
		"deploy.example.com":               "deploy.example.com:10943",
		"deploy.example.com:999":           "deploy.example.com:999",
		"[2001:db8::1]":                    "[2001:db8::1]:10943",
		"https://":                         "",
		"host:port":                        "",
	} {
		if got, err := agent.PollingAddress(text); (err == nil) != (want != "") || (err == nil && got != want) {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

// abuse 4
func TestCopiedHomeIsRefused(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{copied, filepath.Join(copied, "identity")} {
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := runs(t, home); resource.CodeOf(err) == resource.PreconditionFailed {
		t.Fatalf("at its own place: %v", err)
	}
	if err := runs(t, copied); resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), "copied") {
		t.Errorf("a copied home: %v", err)
	}
	if _, err := os.Stat(filepath.Join(copied, "journal")); err == nil {
		t.Error("the refused agent had begun to work")
	}
}

// abuse 85
func TestHomeOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("rights are lists there")
	}
	for _, name := range []string{"", "agent.json", "identity", "journal"} {
		home := newHome(t)
		path := filepath.Join(home, name)
		if name == "journal" {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, 0o722); err != nil {
			t.Fatal(err)
		}
		if err := runs(t, home); resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%q writable by others: %v", name, err)
		}
	}
}
