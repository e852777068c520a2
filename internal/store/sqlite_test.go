package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

func keys(t *testing.T, folder string) *secret.Keyring {
	t.Helper()
	ring, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func reopen(t *testing.T, folder string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: folder, Keys: keys(t, folder), Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, db) })
	return db
}

func closeStore(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db := reopen(t, folder)
	_, err := store.Open(t.Context(), store.Config{Path: folder, Keys: db.Keys(), Now: newClock().Now})
	if resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), folder) {
		t.Errorf("a second server: %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db := open(t, folder)
	if err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	_, err := store.Open(t.Context(), store.Config{Path: folder, Keys: keys(t, folder), Now: newClock().Now})
	if resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a newer schema: %v", err)
	}
}

func TestWrongMasterKeyIsRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db := open(t, folder)
	write(t, db, func(tx *store.Tx) error {
		_, err := tx.SealBox("Spaces-1", "k", "i", "f", "x")
		return err
	})
	closeStore(t, db)
	other, err := secret.New(bytes.Repeat([]byte{1}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Path: folder, Keys: other, Now: newClock().Now}); resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("another master key: %v", err)
	}
}

// What was stored is there after a restart, and clean restarts leave no gaps
// in ids.
func TestRestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for i, want := range []string{"Environments-1", "Environments-2", "Environments-3"} {
		db := open(t, folder)
		e := &resource.Environment{Name: "E" + want}
		storetest.Insert(t, db, e)
		if e.ID != want {
			t.Errorf("start %d: %s, want %s", i, e.ID, want)
		}
		closeStore(t, db)
	}
}

// Each kind's table has the columns that its declaration names, in their order.
func TestTablesFitKinds(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	for _, k := range resource.Kinds() {
		want := []string{"id", "ord", "space_id", "name", "name_key", "slug", "version", "format", "json", "secrets"}
		for _, f := range k.Fields {
			if f.Column != "" {
				want = append(want, f.Column)
			}
		}
		got, err := db.Columns(t.Context(), k.Table)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", k.Table, diff)
		}
	}
}

// abuse 75: who reads the database's files finds no secret, and moving a box
// from one row to another gives nothing.
func TestFilesShowNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-d41d8cd98f00b204"
	folder := t.TempDir()
	db := open(t, folder)
	a := &resource.Feed{Name: "A", FeedType: resource.FeedNuGet, Password: resource.Plain(canary)}
	b := &resource.Feed{Name: "B", FeedType: resource.FeedNuGet, Password: resource.Plain("other")}
	storetest.Insert(t, db, a, b)
	p := storetest.Project(t, db, "P")
	write(t, db, func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, p.VariableSetID)
		if err != nil {
			return err
		}
		set.Variables = []resource.Variable{{Name: "V", IsSensitive: true, Secret: resource.Plain(canary)}}
		if err := store.Update(tx, set); err != nil {
			return err
		}
		process, err := store.Get[resource.DeploymentProcess](tx, p.DeploymentProcessID)
		if err != nil {
			return err
		}
		process.Steps = []resource.Step{{Name: "S", Actions: []resource.Action{{
			Name: "A", ActionType: "Octopus.Script", Properties: resource.Properties{"Secret": resource.Secret(resource.Plain(canary))},
		}}}}
		if err := store.Update(tx, process); err != nil {
			return err
		}
		changes, err := store.Diff(a, b)
		if err != nil {
			return err
		}
		return store.Audit(tx, store.AuditRecord{Category: resource.EventModified, Message: "A", Changes: changes})
	})
	noCanary(t, folder, canary) // with the write-ahead log
	if err := db.Exec(t.Context(), `UPDATE feed SET secrets = (SELECT secrets FROM feed WHERE name = 'A') WHERE name = 'B'`); err != nil {
		t.Fatal(err)
	}
	read(t, db, func(tx *store.Tx) error {
		stolen, err := store.Get[resource.Feed](tx, b.ID)
		if err != nil {
			return err
		}
		if err := store.Unseal(tx, stolen); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("a swapped box: %v", err)
		}
		return nil
	})
	closeStore(t, db)
	noCanary(t, folder, canary)
}

func noCanary(t *testing.T, folder, canary string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("%s shows the secret", e.Name())
		}
	}
}

// Fields that a newer build stored survive a rewrite by this one.
func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	l := &resource.Lifecycle{Name: "L", Phases: []resource.Phase{{Name: "One"}, {Name: "Two"}}}
	storetest.Insert(t, db, l)
	if err := db.Exec(t.Context(), `UPDATE lifecycle SET json = json_set(json, '$.New', json('{"A":[1]}'), '$.Phases[1].Extra', 'kept', '$.Phases[0].Extra', 'gone') WHERE id = $1`, l.ID); err != nil {
		t.Fatal(err)
	}
	l.Description = "changed"
	l.Phases = []resource.Phase{{Name: "Zero"}, l.Phases[1]}
	write(t, db, func(tx *store.Tx) error { return store.Update(tx, l) })
	var text string
	if err := db.Text(t.Context(), `SELECT json FROM lifecycle WHERE id = $1`, l.ID, &text); err != nil {
		t.Fatal(err)
	}
	for want, there := range map[string]bool{`"New":{"A":[1]}`: true, `"kept"`: true, `"gone"`: false, `"changed"`: true} {
		if strings.Contains(text, want) != there {
			t.Errorf("%s there: %v, in %s", want, !there, text)
		}
	}
}

// fault 21: a full disk refuses writes with a clear message, reads go on, and
// the next write after space is freed succeeds.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	large := &resource.Environment{Name: "Large", Description: strings.Repeat("x", 1<<19)}
	large.SpaceID = resource.DefaultSpace
	insert := func(tx *store.Tx) error { return store.Insert(tx, large) }
	if err := db.FillDisk(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.Write(t.Context(), insert); resource.CodeOf(err) != resource.Unavailable || !strings.Contains(err.Error(), "disk is full") {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	chunk := []store.LogChunk{{Attempt: "a", Data: make([]byte, 1<<19)}}
	if _, err := db.Logs().Append(t.Context(), chunk); resource.CodeOf(err) != resource.Unavailable {
		t.Errorf("log on a full disk: %v", err)
	}
	read(t, db, func(tx *store.Tx) error {
		_, n, err := store.List[resource.Environment](tx, store.Query{AllSpaces: true})
		if n != 0 {
			t.Errorf("%d environments", n)
		}
		return err
	})
	if err := db.FreeDisk(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, insert)
	if n, err := db.Logs().Append(t.Context(), chunk); err != nil || n["a"] != 1<<19 {
		t.Errorf("log after space was freed: %v, %v", n, err)
	}
	if db.FatalError() != nil {
		t.Errorf("a full disk was fatal: %v", db.FatalError())
	}
}

// I11: a changed, removed or added record breaks the chain.
func TestChangedAuditIsFound(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"message changed":  `UPDATE audit SET message = 'nothing happened' WHERE ord = 2`,
		"record removed":   `DELETE FROM audit WHERE ord = 2`,
		"last removed":     `DELETE FROM audit WHERE ord = 4`,
		"document removed": `DELETE FROM audit_document WHERE ord = 3`,
		"seal removed":     `DELETE FROM audit_seal WHERE upto = 2`,
		"seal forged":      `UPDATE audit_seal SET sum = '00' WHERE upto = 2`,
		"last seal gone":   `DELETE FROM audit_seal WHERE upto = 4`,
		"sealed by hand":   `UPDATE audit SET seal = 99 WHERE ord = 2`,
		"unsealed":         `UPDATE audit SET seal = 0 WHERE ord = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newStore(t)
			for range 2 {
				write(t, db, func(tx *store.Tx) error {
					for range 2 {
						if err := store.Audit(tx, store.AuditRecord{Category: resource.EventCreated, Message: "m", Related: []string{"Projects-1"}}); err != nil {
							return err
						}
					}
					_, err := store.SealAudit(tx)
					return err
				})
			}
			read(t, db, store.VerifyAudit)
			if err := db.Exec(t.Context(), spoil); err != nil {
				t.Fatal(err)
			}
			if err := db.Read(t.Context(), store.VerifyAudit); resource.CodeOf(err) != resource.PreconditionFailed {
				t.Errorf("I11: %s is not found: %v", name, err)
			}
		})
	}
}

// A backup is a store of its own, opens with the same key only, and overwrites
// nothing.
func TestBackup(t *testing.T) {
	t.Parallel()
	folder, copied := t.TempDir(), t.TempDir()
	db := open(t, folder)
	defer closeStore(t, db)
	f := &resource.Feed{Name: "A", FeedType: resource.FeedNuGet, Password: resource.Plain("CANARY-1")}
	storetest.Insert(t, db, f)
	if _, err := db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: "a", Data: []byte("text")}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	noCanary(t, copied, "CANARY-1")
	if err := db.Backup(t.Context(), copied); resource.CodeOf(err) != resource.Conflict {
		t.Errorf("a backup over a backup: %v", err)
	}
	restored, err := store.Open(t.Context(), store.Config{Path: copied, Keys: db.Keys(), Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, restored)
	read(t, restored, func(tx *store.Tx) error {
		got, err := store.Get[resource.Feed](tx, f.ID)
		if err != nil {
			return err
		}
		if err := store.Unseal(tx, got); err != nil {
			return err
		}
		if plain, _ := got.Password.Reveal(); plain != "CANARY-1" {
			t.Errorf("secret: %q", plain)
		}
		return nil
	})
	if n, err := restored.Logs().Length(t.Context(), "a"); err != nil || n != 4 {
		t.Errorf("log: %d, %v", n, err)
	}
}
