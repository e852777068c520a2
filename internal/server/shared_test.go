package server_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// What one server of a database keeps for itself is refused to a second one, with
// a sentence that says what to do: the master key, the packages, the key that
// agents trust, the name.
func TestASecondServerIsRefused(t *testing.T) {
	t.Parallel()
	first := config(t)
	first.Database, first.Node = storetest.Postgres(t), "one"
	r := run(t, first)

	second := config(t)
	second.Database, second.Node = first.Database, ""
	refused(t, second, resource.Invalid, "--node")
	second.Node = "two"
	refused(t, second, resource.PreconditionFailed, "another master key", "Copy master.key")
	key := filepath.Join(second.Data, "master.key")
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that fits nothing is left: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(first.Data, "master.key"))
	check(t, err)
	check(t, os.WriteFile(key, text, 0o600))
	refused(t, second, resource.PreconditionFailed, "the folder of server one", "--blobs s3://")

	second.MoveBlobs = true // as if the folder had been copied
	other := run(t, second)
	if other.Thumbprint() != r.Thumbprint() {
		t.Errorf("agents trust %s of one server and %s of the other", r.Thumbprint(), other.Thumbprint())
	}
	other.stop()

	third := config(t)
	third.Database, third.Node, third.MoveBlobs = first.Database, "three", true
	check(t, os.MkdirAll(filepath.Join(third.Data, "identity"), 0o700))
	check(t, os.WriteFile(filepath.Join(third.Data, "master.key"), text, 0o600))
	check(t, os.WriteFile(filepath.Join(third.Data, "identity", "identity.pem"), strangeIdentity(t), 0o600))
	refused(t, third, resource.PreconditionFailed, "the key of another server", "--data")
}

// strangeIdentity is the key file of a server that has nothing to do with it.
func strangeIdentity(t *testing.T) []byte {
	t.Helper()
	cfg := config(t)
	open(t, cfg)
	text, err := os.ReadFile(filepath.Join(cfg.Data, "identity", "identity.pem"))
	check(t, err)
	return text
}

// Two processes of one name: the later one goes on, the earlier one ends and
// says why.
func TestTwoServersOfOneName(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Database, cfg.Node = storetest.Postgres(t), "one"
	first := run(t, cfg)
	first.me() // it has begun
	again := config(t)
	again.Database, again.Node, again.MoveBlobs = cfg.Database, cfg.Node, true
	text, err := os.ReadFile(filepath.Join(cfg.Data, "master.key"))
	check(t, err)
	check(t, os.MkdirAll(again.Data, 0o700))
	check(t, os.WriteFile(filepath.Join(again.Data, "master.key"), text, 0o600))
	run(t, again)
	<-first.ended
	if resource.CodeOf(first.err) != resource.PreconditionFailed {
		t.Errorf("the earlier one ended with %v", first.err)
	}
	first.err = nil // nothing else went wrong
}
