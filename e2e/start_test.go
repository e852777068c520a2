//go:build unix

package e2e_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// begins starts a server that must not come up and returns what it said.
func (s *server) begins(t *testing.T, args ...string) string {
	t.Helper()
	p, err := start(t.TempDir(), "refused", nil, []string{"SLIPWAY_ADMIN_API_KEY=" + s.key}, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	eventually(t, "the server refuses to start", p.ended)
	if code := p.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(p.said(), "Error: ") {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	return p.said()
}

// A server does not start where it would do damage: beside another one on the
// same data, on data of a newer version, or with plain HTTP for the network.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.post(t, "/api/environments", map[string]any{"Name": "Kept"})

	t.Run("the data folder is in use", func(t *testing.T) {
		other := *s
		other.address, other.agents = "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
		contains(t, "the refusal", s.begins(t, other.args()...), s.data, "in use by another")
		s.get(t, "/api/users/me") // the first one goes on
	})
	t.Run("plain HTTP off loopback", func(t *testing.T) {
		args := []string{"server", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "0.0.0.0:" + freePort(t), "--agents", "127.0.0.1:" + freePort(t)}
		contains(t, "the refusal", s.begins(t, args...), "--insecure-http", "--tls-cert")
	})
	t.Run("the address is taken", func(t *testing.T) {
		args := []string{"server", "--data", filepath.Join(t.TempDir(), "data"), "--listen", s.address, "--agents", "127.0.0.1:" + freePort(t)}
		contains(t, "the refusal", s.begins(t, args...), s.address, "--listen")
	})
	t.Run("a newer schema", func(t *testing.T) {
		s.process.stop(t)
		found, err := filepath.Glob(filepath.Join(s.data, "*.db"))
		if err != nil || len(found) == 0 {
			t.Fatalf("databases %v, %v", found, err)
		}
		raise := func(by int) {
			t.Helper()
			db, err := sql.Open("sqlite", filepath.Join(s.data, "slipway.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			query := "INSERT INTO goose_db_version (version_id, is_applied) SELECT MAX(version_id) + 1, 1 FROM goose_db_version"
			if by < 0 {
				query = "DELETE FROM goose_db_version WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)"
			}
			if _, err := db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		raise(1)
		contains(t, "the refusal", s.begins(t, s.args()...), "newer version")
		raise(-1)
		s.restart(t)
		if r := s.must(t, "environment", "list"); !strings.Contains(r, "Kept") {
			t.Errorf("environments %s", r)
		}
	})
}
