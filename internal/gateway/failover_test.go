package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// Fault 24: a failover loses the last commits, up to all of a rollout but its
// order. The agent's journal is the second witness: what it has is not started again
// and its result counts, also where it has heard of a newer owner than the
// database remembers.
func TestDatabaseLosesItsLastCommits(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	for name, c := range map[string]struct {
		atStart bool  // the copy that comes back is of the start's sending, else of the order
		ahead   int64 // how much newer an owner the agent has heard of
	}{
		"before the claim":            {},
		"after the send":              {atStart: true},
		"takeovers are lost, too":     {atStart: true, ahead: 40},
		"takeovers, before the claim": {ahead: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := newAgent(t, "abc")
			m := r.machine("web-1", a)
			id := r.deploy(nil)
			before := t.TempDir()
			r.must(r.db.Backup(t.Context(), before))
			a.before = func(rpc string) error {
				if rpc == "Start" && c.atStart {
					before = filepath.Join(before, "start")
					return errors.Join(os.Mkdir(before, 0o700), r.db.Backup(t.Context(), before))
				}
				if rpc == "Forget" {
					return errors.New("not yet")
				}
				return nil
			}
			r.start()
			disconnect := r.connect(a, unchanged)
			r.ends(id, rollout.Succeeded)
			disconnect()
			r.failOver(before)
			a.see(func() {
				a.before = func(string) error { return nil }
				a.epochs[id] += c.ahead
			})
			r.start()
			r.connect(a, unchanged)
			r.ends(id, rollout.Succeeded)
			a.see(func() {
				if n := a.starts[attemptOf(id, m, 1)]; n != 1 || len(a.starts) != 1 {
					t.Errorf("starts %v", a.starts)
				}
			})
		})
	}
}

// failOver stops the server and puts an earlier copy of its database in place.
func (r *rig) failOver(copied string) {
	r.t.Helper()
	r.stop()
	r.must(r.db.Close())
	for _, name := range []string{"slipway.db", "logs.db"} {
		text, err := os.ReadFile(filepath.Join(copied, name))
		r.must(err)
		for _, more := range []string{"-wal", "-shm"} {
			r.must(os.RemoveAll(filepath.Join(r.folder, name+more)))
		}
		r.must(os.WriteFile(filepath.Join(r.folder, name), text, 0o600))
	}
	keys, err := secret.Load(r.folder)
	r.must(err)
	r.db, err = store.Open(r.t.Context(), store.Config{Path: r.folder, Keys: keys, Now: time.Now})
	r.must(err)
	r.runs = 0 // the node's epochs are lost as well
}
