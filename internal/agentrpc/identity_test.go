package agentrpc_test

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

func TestIdentitySurvivesReload(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "identity")
	made, err := agentrpc.CreateIdentity(dir, "web-1", time.Unix(0, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := agentrpc.LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if made.Thumbprint() != loaded.Thumbprint() {
		t.Errorf("thumbprint %s became %s", made.Thumbprint(), loaded.Thumbprint())
	}
	if pin, ok := agentrpc.ParseThumbprint(made.Thumbprint()); !ok || pin != made.Thumbprint() {
		t.Errorf("thumbprint %q is not in its canonical form", made.Thumbprint())
	}
	if text := fmt.Sprintf("%v %+v %#v", made, made, made); strings.Contains(text, "PrivateKey") {
		t.Errorf("printing an identity shows its key: %s", text)
	}
	if _, err := agentrpc.CreateIdentity(dir, "web-1", time.Unix(0, 0), rand.Reader); err == nil {
		t.Error("a second identity replaced the first")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// abuse 85
func TestIdentityOpenToOthersIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("mode bits say nothing there")
	}
	dir := t.TempDir()
	if _, err := agentrpc.CreateIdentity(dir, "web-1", time.Unix(0, 0), rand.Reader); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity.pem")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := agentrpc.LoadIdentity(dir); err == nil {
			t.Errorf("loaded with mode %v", mode)
		}
	}
}

func TestIdentityMadeAtOnceIsOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pins := make([]string, 8)
	var wg sync.WaitGroup
	for i := range pins {
		wg.Go(func() {
			id, err := agentrpc.LoadOrCreateIdentity(dir, "web-1", time.Unix(0, 0), rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			pins[i] = id.Thumbprint()
		})
	}
	wg.Wait()
	for _, pin := range pins {
		if pin != pins[0] {
			t.Fatalf("two identities: %s and %s", pin, pins[0])
		}
	}
}

func TestParseThumbprint(t *testing.T) {
	t.Parallel()
	full := strings.Repeat("AB", 32)
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{full, true},
		{strings.ToLower(full), true},
		{strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), true},
		{" " + full + "\n", true},
		{full[:40], false}, // a SHA-1, as other products use
		{full + "AB", false},
		{strings.Repeat("AG", 32), false},
		{"", false},
	} {
		pin, ok := agentrpc.ParseThumbprint(c.text)
		if ok != c.ok || (ok && pin != full) {
			t.Errorf("ParseThumbprint(%q) = %q, %v", c.text, pin, ok)
		}
	}
}
