package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
)

func keyring(t *testing.T) (*secret.Keyring, *secret.DataKey) {
	t.Helper()
	ring, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	key, wrapped, err := ring.Mint("Spaces-1")
	if err != nil {
		t.Fatal(err)
	}
	unwrapped, err := ring.Unwrap("Spaces-1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	ring.Add(unwrapped)
	return ring, key
}

// abuse 75: a box opens only where it belongs, and not when it was changed.
func TestBoxIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	ring, key := keyring(t)
	box := key.Seal("Feed", "Feeds-1", "Password", []byte("hunter2"))
	if plain, err := ring.Open("Feed", "Feeds-1", "Password", box); err != nil || string(plain) != "hunter2" {
		t.Fatalf("%q, %v", plain, err)
	}
	for _, at := range [][3]string{{"Feed", "Feeds-2", "Password"}, {"Feed", "Feeds-1", "SecretKey"}, {"User", "Feeds-1", "Password"}, {"Fee", "dFeeds-1", "Password"}} {
		if _, err := ring.Open(at[0], at[1], at[2], box); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("I10: opens at %v: %v", at, err)
		}
	}
	for i := range box {
		changed := bytes.Clone(box)
		changed[i] ^= 1
		if _, err := ring.Open("Feed", "Feeds-1", "Password", changed); err == nil {
			t.Errorf("byte %d changed, and it opened", i)
		}
		if _, err := ring.Open("Feed", "Feeds-1", "Password", box[:i]); err == nil {
			t.Errorf("cut to %d bytes, and it opened", i)
		}
	}
	if bytes.Contains(box, []byte("hunter2")) || bytes.Equal(box, key.Seal("Feed", "Feeds-1", "Password", []byte("hunter2"))) {
		t.Error("the box shows its content, or repeats itself")
	}
}

func TestAnotherMasterKeyDoesNotUnwrap(t *testing.T) {
	t.Parallel()
	ring, _ := keyring(t)
	_, wrapped, err := ring.Mint("a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := secret.New(bytes.Repeat([]byte{8}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unwrap("a", wrapped); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := ring.Unwrap("b", wrapped); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("another id: %v", err)
	}
	again, err := ring.Rewrap("a", wrapped, other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unwrap("a", again); err != nil {
		t.Errorf("rotated: %v", err)
	}
}

func TestUnknownDataKey(t *testing.T) {
	t.Parallel()
	ring, _ := keyring(t)
	key, _, err := ring.Mint("Spaces-2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Open("k", "i", "f", key.Seal("k", "i", "f", nil)); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("a minted key counts before Add: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	first, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	_, wrapped, err := first.Mint("a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Unwrap("a", wrapped); err != nil {
		t.Errorf("the second load has another key: %v", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Of servers that start at once, all get the same key.
func TestKeyFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	rings := make([]*secret.Keyring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() { rings[i], _ = secret.Load(folder) })
	}
	wg.Wait()
	_, wrapped, err := rings[0].Mint("a")
	if err != nil {
		t.Fatal(err)
	}
	for i, ring := range rings {
		if _, err := ring.Unwrap("a", wrapped); err != nil {
			t.Errorf("server %d has another key: %v", i, err)
		}
	}
}

func TestKeyFileRefusals(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, folder string){
		"readable by others": func(t *testing.T, folder string) {
			t.Helper()
			if runtime.GOOS == "windows" {
				t.Skip("modes mean nothing here")
			}
			load(t, folder)
			if err := os.Chmod(filepath.Join(folder, secret.KeyFile), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, folder string) {
			t.Helper()
			load(t, folder)
			if err := os.WriteFile(filepath.Join(folder, secret.KeyFile), []byte("abcd"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a link": func(t *testing.T, folder string) {
			t.Helper()
			load(t, folder)
			path := filepath.Join(folder, secret.KeyFile)
			if err := os.Rename(path, path+".real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".real", path); err != nil {
				t.Skip("no links here")
			}
		},
		"lost, but the database is there": func(t *testing.T, folder string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(folder, "slipway.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			spoil(t, folder)
			if _, err := secret.Load(folder); resource.CodeOf(err) != resource.PreconditionFailed {
				t.Errorf("%v", err)
			}
		})
	}
}

func load(t *testing.T, folder string) {
	t.Helper()
	if _, err := secret.Load(folder); err != nil {
		t.Fatal(err)
	}
}

// abuse 23: a key with a wrong checksum is refused without a look-up.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^API-[A-Z0-9]{36}$`)
	for range 200 {
		key := secret.NewAPIKey()
		if !form.MatchString(key) || !secret.CheckAPIKey(key, false) {
			t.Fatalf("made %s", key)
		}
		body := []byte(key)
		at := 4 + len(body)%30
		body[at] = 'A' + (body[at]-'A'+1)%26
		if secret.CheckAPIKey(string(body), false) && string(body) != key {
			t.Fatalf("%s passes for %s", body, key)
		}
	}
	for key, want := range map[string][2]bool{ // made, operator
		"API-ABCDEFGHIJKLMNOPQRSTUVWXYZ":    {false, true},
		"API-ABCDEFGHIJKLMNOPQRSTUVWXY":     {false, false}, // 25
		"API-abcdefghijklmnopqrstuvwxyz":    {false, false},
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ01234":   {false, false},
		"API-ABCDEFGHIJKLMNOPQRSTUVWXY\x00": {false, false},
		"":                                  {false, false},
	} {
		if made, operator := secret.CheckAPIKey(key, false), secret.CheckAPIKey(key, true); made != want[0] || operator != want[1] {
			t.Errorf("%q: %v, %v", key, made, operator)
		}
	}
	if h := secret.Hint("API-ABCDEF"); h != "API-ABC..." {
		t.Errorf("hint %s", h)
	}
	if len(secret.Hash("x")) != 64 || secret.Hash("x") == secret.Hash("y") {
		t.Error("hash")
	}
}
