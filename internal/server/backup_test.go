package server_test

import (
	"bytes"
	"errors"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/server"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// pushed puts an empty package into the running server's feed and returns its
// digest.
func (r *running) pushed(data string) string {
	r.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "Acme.Web.1.0.0.zip")
	check(r.t, err)
	_, err = part.Write([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	check(r.t, errors.Join(err, form.Close()))
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url("/api/packages/raw"), &body)
	check(r.t, err)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("X-Octopus-Apikey", r.key)
	if status, answer := r.do(req); status != http.StatusCreated {
		r.t.Fatalf("push: %d %s", status, answer)
	}
	blobs, err := filepath.Glob(filepath.Join(data, "blobs", "??", "*"))
	check(r.t, err)
	if len(blobs) != 1 {
		r.t.Fatalf("blobs: %v", blobs)
	}
	return filepath.Base(blobs[0])
}

// everything is what a folder holds, as one text.
func everything(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	check(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	}))
	return all.String()
}

// A running server is backed up; the backup shows no key, and restored it is
// the same server, which holds back what would start by itself.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	r := run(t, cfg)
	digest := r.pushed(cfg.Data)
	to := filepath.Join(t.TempDir(), "backup")
	clock := func() time.Time { return start }
	manifest, err := server.Backup(t.Context(), server.BackupConfig{Data: cfg.Data, To: to, Version: "1.2.3", Now: clock})
	check(t, err)
	if manifest.MasterKey || manifest.Version != "1.2.3" || len(manifest.Files) != 4 {
		t.Errorf("manifest %+v", manifest)
	}
	thumbprint := r.Thumbprint()
	r.stop()
	check(t, r.close())
	text := everything(t, to)
	for _, file := range []string{"master.key", "session.key", "identity/identity.pem"} {
		key, err := os.ReadFile(filepath.Join(cfg.Data, file))
		check(t, err)
		if secret := strings.TrimSpace(string(key)); strings.Contains(text, secret) || strings.Contains(text, secret[len(secret)/3:len(secret)/2]) {
			t.Errorf("the backup shows %s", file) // P9, abuse 75
		}
	}

	again := config(t)
	restore := server.RestoreConfig{From: to, Data: again.Data, MasterKey: filepath.Join(cfg.Data, "master.key"), Now: clock}
	check(t, os.MkdirAll(again.Data+".restoring/blobs", 0o700)) // of a restore that was killed (fault 54)
	_, done, err := server.Restore(t.Context(), restore)
	check(t, err)
	if done.Epoch != 1 || done.BackupAt != start.UnixMilli() {
		t.Errorf("restored: %+v", done)
	}
	if _, err := os.Stat(again.Data + ".restoring"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left beside: %v", err)
	}
	same := run(t, again)
	if same.Thumbprint() != thumbprint {
		t.Error("agents would not know the restored server")
	}
	var last struct {
		IsHeld bool
		Epoch  int
	}
	same.must(http.MethodGet, "/api/restore", nil, &last)
	if !last.IsHeld || last.Epoch != 1 {
		t.Errorf("%+v", last)
	}
	if _, err := os.Stat(filepath.Join(again.Data, "blobs", digest[:2], digest)); err != nil {
		t.Errorf("the package is gone: %v", err)
	}
	same.must(http.MethodPost, "/api/restore/confirm", nil, &last)
	if last.IsHeld {
		t.Error("still held")
	}
	same.stop()
	check(t, same.close())
	check(t, stored(t, again.Data).Read(t.Context(), func(tx *store.Tx) error {
		held, err := store.Held(tx)
		if held {
			t.Error("held after a restart")
		}
		return err
	}))
}

// What is no whole backup, or not for this key, or would overwrite something, is
// refused, and leaves no data behind.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	r := run(t, cfg)
	r.pushed(cfg.Data)
	r.stop()
	check(t, r.close())
	whole := filepath.Join(t.TempDir(), "backup")
	_, err := server.Backup(t.Context(), server.BackupConfig{Data: cfg.Data, To: whole, MasterKey: true, Now: now})
	check(t, err)
	other := config(t)
	check(t, open(t, other).close()) // has a master key of its own
	for name, c := range map[string]struct {
		spoil func(backup string) error
		key   string
		code  resource.Code
		text  string
	}{
		"cut off":          {func(b string) error { return os.Remove(filepath.Join(b, "manifest.json")) }, "", resource.Invalid, "no whole backup"},
		"other form":       {edit("manifest.json", `"Format": 1`, `"Format": 2`), "", resource.PreconditionFailed, "format 2"},
		"nonsense":         {edit("manifest.json", `{`, `[`), "", resource.PreconditionFailed, "damaged"},
		"changed bytes":    {edit("slipway.db", "SQLite format 3", "SQLite format 4"), "", resource.PreconditionFailed, "slipway.db of the backup is damaged"},
		"missing file":     {func(b string) error { return os.Remove(filepath.Join(b, "logs.db")) }, "", resource.PreconditionFailed, "no logs.db"},
		"path outside":     {edit("manifest.json", `"Path": "logs.db"`, `"Path": "../logs.db"`), "", resource.PreconditionFailed, "no backup has"},        // abuse 43
		"planted file":     {edit("manifest.json", `"Path": "logs.db"`, `"Path": "worker/agent.json"`), "", resource.PreconditionFailed, "no backup has"}, // abuse 39
		"renamed blob":     {edit("manifest.json", `"Path": "blobs/`, `"Path": "blobs/0`), "", resource.PreconditionFailed, "no backup has"},
		"another key":      {func(string) error { return nil }, filepath.Join(other.Data, "master.key"), resource.PreconditionFailed, "not the one"},
		"no such key file": {func(string) error { return nil }, filepath.Join(other.Data, "nothing"), resource.Invalid, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := filepath.Join(t.TempDir(), "backup")
			check(t, os.CopyFS(b, os.DirFS(whole)))
			check(t, c.spoil(b))
			data := filepath.Join(t.TempDir(), "data")
			_, _, err := server.Restore(t.Context(), server.RestoreConfig{From: b, Data: data, MasterKey: c.key, Now: now})
			if resource.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %s: %s", err, c.code, c.text)
			}
			if entries, _ := os.ReadDir(filepath.Dir(data)); len(entries) > 1 || len(entries) == 1 && everything(t, data) != "" {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
	_, _, err = server.Restore(t.Context(), server.RestoreConfig{From: whole, Data: cfg.Data, Now: now})
	if resource.CodeOf(err) != resource.Conflict {
		t.Errorf("over other data: %v", err)
	}
	for name, c := range map[string]server.BackupConfig{
		"no data":   {Data: t.TempDir(), To: filepath.Join(t.TempDir(), "b"), Now: now},
		"not empty": {Data: cfg.Data, To: whole, Now: now},
	} {
		if _, err := server.Backup(t.Context(), c); err == nil {
			t.Errorf("backed up: %s", name)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	blobs, err := filepath.Glob(filepath.Join(cfg.Data, "blobs", "??", "*"))
	check(t, err)
	check(t, os.Rename(blobs[0], gone))
	partial, err := server.Backup(t.Context(), server.BackupConfig{Data: cfg.Data, To: filepath.Join(t.TempDir(), "b"), Now: now})
	check(t, err)
	if len(partial.Missing) != 1 || partial.Missing[0] != filepath.Base(blobs[0]) { // it lies in a bucket, say: nobody is left in the dark
		t.Errorf("missing: %v", partial.Missing)
	}
	check(t, os.Rename(gone, blobs[0]))
	check(t, damage(cfg.Data))
	_, err = server.Backup(t.Context(), server.BackupConfig{Data: cfg.Data, To: filepath.Join(t.TempDir(), "b"), Now: now})
	if resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("a damaged package was backed up: %v", err) // fault 42
	}
}

// edit replaces a text in a file of a backup.
func edit(file, from, to string) func(string) error {
	return func(backup string) error {
		path := filepath.Join(backup, file)
		text, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(text, []byte(from)) {
			err = errors.New(file + " has no " + from)
		}
		return errors.Join(err, os.WriteFile(path, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600))
	}
}

// damage changes the bytes of a data folder's only blob.
func damage(data string) error {
	blobs, err := filepath.Glob(filepath.Join(data, "blobs", "??", "*"))
	if err != nil || len(blobs) != 1 {
		return errors.Join(err, errors.New("not one blob"))
	}
	return os.WriteFile(blobs[0], []byte("other bytes"), 0o600)
}

// fault 33 on PostgreSQL: its own tools put the database back; marked by the
// command, while no server works on it, it is held like any other. Backing such
// a server up is refused with what to do instead.
func TestARestoredDatabaseIsMarked(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Database, cfg.Node = storetest.Postgres(t), "one"
	mark := server.MarkConfig{Database: cfg.Database, Data: cfg.Data, Taken: start}
	refuses := func(c server.MarkConfig, parts ...string) {
		t.Helper()
		_, err := server.MarkRestored(t.Context(), c)
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v, want %q", err, part)
			}
		}
	}
	refuses(mark, "no master.key")
	other := config(t)
	check(t, open(t, other).close()) // has a master key of its own
	refuses(server.MarkConfig{Database: cfg.Database, Data: other.Data, Taken: start}, "No server has ever used this database")
	r := run(t, cfg)
	refuses(mark, "is in use by another Slipway server")
	refuses(server.MarkConfig{Database: cfg.Database, Data: other.Data, Taken: start}, "master key does not fit this database")
	text, err := os.ReadFile(filepath.Join(cfg.Data, "master.key"))
	check(t, err)
	apart := server.MarkConfig{Database: cfg.Database, Data: t.TempDir(), Taken: start}
	check(t, os.WriteFile(filepath.Join(apart.Data, "master.key"), text, 0o600))
	refuses(apart, "The server 'one' works on this database", "Stop all")
	_, err = server.Backup(t.Context(), server.BackupConfig{Data: cfg.Data, To: filepath.Join(t.TempDir(), "b"), Now: now})
	if resource.CodeOf(err) != resource.PreconditionFailed || !strings.Contains(err.Error(), "pg_dump") || !strings.Contains(err.Error(), "--taken") {
		t.Errorf("backed up: %v", err)
	}
	r.stop()
	check(t, r.close())
	done, err := server.MarkRestored(t.Context(), mark)
	check(t, err)
	if done.Epoch != 1 || done.BackupAt != start.UnixMilli() {
		t.Errorf("%+v", done)
	}
	same := run(t, cfg)
	var last struct{ IsHeld bool }
	if same.must(http.MethodGet, "/api/restore", nil, &last); !last.IsHeld {
		t.Error("nothing holds it")
	}
}
