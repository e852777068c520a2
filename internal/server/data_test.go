package server_test

import (
	"crypto/tls"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/server"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// contents are the files below a folder, but for those that a database makes
// when it is opened and the lock, which other systems do not let us read.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	check(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "lock") || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder)] = string(text)
		return err
	}))
	return files
}

// What agents trust, what clients know the server by and what signs sessions
// outlive restarts.
func TestIdentityIsStable(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var thumbprint, installation, session string
	for start := range 3 {
		r := run(t, cfg)
		var root struct {
			InstallationID string `json:"InstallationId"`
			Version        string
		}
		r.must(http.MethodGet, "/api", nil, &root)
		if root.Version != server.APIVersion || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(root.InstallationID) {
			t.Errorf("root: %+v", root)
		}
		key := contents(t, cfg.Data)["/session.key"]
		if start == 0 {
			thumbprint, installation, session = r.Thumbprint(), root.InstallationID, key
		}
		if r.Thumbprint() != thumbprint || root.InstallationID != installation || key != session || len(key) != 65 {
			t.Errorf("start %d: %s, %s", start, r.Thumbprint(), root.InstallationID)
		}
		if shown := agentsSee(t, r.AgentsAddr().String()); shown != thumbprint {
			t.Errorf("agents see %s, not %s", shown, thumbprint)
		}
		r.stop()
	}
	id, err := server.Identity(cfg.Data, start.Add(time.Hour))
	check(t, err)
	if id.Thumbprint() != thumbprint {
		t.Errorf("asked for beside the server: %s, not %s", id.Thumbprint(), thumbprint)
	}
	other := config(t)
	r := run(t, other)
	if r.Thumbprint() == thumbprint || contents(t, other.Data)["/session.key"] == session {
		t.Error("another server has the same keys")
	}
	r.stop()
}

// agentsSee is the thumbprint of the certificate at the agents' address. Its
// clock is the server's.
func agentsSee(t *testing.T, address string) (thumbprint string) {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, // an agent compares the thumbprint, as the test does
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			thumbprint = agentrpc.Thumbprint(leaf)
			if !leaf.NotBefore.Equal(start.Add(-24 * time.Hour)) {
				t.Errorf("valid from %s, not by the server's clock", leaf.NotBefore)
			}
			return nil
		},
	}}
	if conn, err := dialer.DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
	}
	return thumbprint
}

// Files with keys are for the server's own user.
func TestKeysAreUnreadableForOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the folder's access list decides there")
	}
	cfg := config(t)
	run(t, cfg).stop()
	for _, name := range []string{".", "session.key", "installation.id", "master.key", "slipway.db"} {
		info, err := os.Stat(filepath.Join(cfg.Data, name))
		check(t, err)
		if mode := info.Mode().Perm(); mode&0o077 != 0 && name != "slipway.db" {
			t.Errorf("%s has mode %04o", name, mode)
		}
	}
	left, err := filepath.Glob(filepath.Join(cfg.Data, "*.new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A file that a crash or a person cut short is refused with what to do, and
// doing that helps.
func TestDamagedKeyFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"session.key", "installation.id"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := later(t)
			path := filepath.Join(cfg.Data, name)
			for _, text := range []string{"", "00ff\n", strings.Repeat("xy", 32)} {
				check(t, os.WriteFile(path, []byte(text), 0o600))
				refused(t, cfg, resource.PreconditionFailed, path+" is damaged", "delete it")
			}
			check(t, os.Remove(path))
			check(t, open(t, cfg).close())
		})
	}
}

// Two servers never share a data folder: the second says so and leaves the
// first alone.
func TestDataFolderInUse(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := run(t, cfg)
	before := contents(t, cfg.Data)
	second := cfg
	second.Node = "node-2"
	s, err := server.New(t.Context(), second)
	if s != nil || resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), cfg.Data+" is in use by another Slipway server. Stop that one first") {
		t.Errorf("the second server: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, cfg.Data)); diff != "" {
		t.Error("the second server wrote to the first one's folder")
	}
	if r.me() != "admin" {
		t.Error("the first server is disturbed")
	}
	r.stop()
	run(t, second).stop()
}

// A folder of a newer version is refused and stays as it is, byte for byte.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	db := database(t, cfg.Data)
	alter(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	check(t, db.Close())
	before := contents(t, cfg.Data)
	cfg.AdminKey = "API-ANOTHERANOTHERANOTHERANOTHER"
	refused(t, cfg, resource.PreconditionFailed, "newer version of Slipway (schema 99999", "Start the newer version, or restore a backup")
	if diff := cmp.Diff(before, contents(t, cfg.Data)); diff != "" {
		t.Error("the folder was changed")
	}
	db = database(t, cfg.Data)
	alter(t, db, "DELETE FROM goose_db_version WHERE version_id = 99999")
	check(t, db.Close())
	r := run(t, cfg)
	if r.me() != "admin" {
		t.Error("the administrator is gone")
	}
	r.stop()
}

// A database without its key would lose every secret in silence.
func TestLostMasterKey(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	check(t, os.Remove(filepath.Join(cfg.Data, "master.key")))
	refused(t, cfg, resource.PreconditionFailed, "master.key", "backup")
}

// Audit records that an earlier run could not seal any more are sealed by the
// next, all of them, without a new record having to come (abuse 87).
func TestAuditLeftUnsealed(t *testing.T) {
	t.Parallel()
	const records = 1100 // more than one seal covers
	cfg := later(t)
	db := stored(t, cfg.Data)
	storetest.Write(t, db, func(tx *store.Tx) error {
		for range records {
			if err := store.Audit(tx, store.AuditRecord{Category: resource.EventCreated, Message: "before the crash"}); err != nil {
				return err
			}
		}
		return nil
	})
	check(t, db.Close())
	r := run(t, cfg)
	raw := database(t, cfg.Data)
	sealed := func() (n int) {
		check(t, raw.QueryRowContext(t.Context(), "SELECT COALESCE(SUM(records), 0) FROM audit_seal").Scan(&n))
		return n
	}
	eventually(t, "the audit is sealed", func() bool { return sealed() >= records })
	before := sealed()
	r.must(http.MethodPost, "/api/environments", map[string]string{"Name": "Dev"}, nil)
	eventually(t, "a new record is sealed", func() bool { return sealed() > before })
	check(t, raw.Close())
	r.stop()
	storetest.Read(t, stored(t, cfg.Data), store.VerifyAudit)
}
