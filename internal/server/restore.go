package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// RestoreConfig says which backup to restore and where to.
type RestoreConfig struct {
	From string // the backup
	Data string // the data folder, empty or not there
	// MasterKey is the file with the master key; "" where the backup holds it.
	MasterKey string
	Now       func() time.Time
}

// Restore puts a backup into an empty data folder, marked as restored: what was
// unfinished is closed, and nothing starts by itself until a person confirms
// (fault 33). It works in a folder beside and moves that into place at the end,
// so that a crash at any moment leaves no data folder, and it can be done again
// (fault 54).
func Restore(ctx context.Context, c RestoreConfig) (*Manifest, *store.Restored, error) {
	manifest, err := readManifest(c.From)
	if err != nil {
		return nil, nil, err
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("restore: %w", err)
	}
	if err := emptyFolder(data); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(data); err != nil { // a mount point, say
		return nil, nil, resource.Errorf(resource.Invalid, "The folder '%s' cannot be replaced (%v). Give a folder in it with --data.", data, err)
	}
	r := &restore{RestoreConfig: c, manifest: manifest, beside: data + ".restoring"}
	if err := os.RemoveAll(r.beside); err != nil { // of a try that was cut off
		return nil, nil, fmt.Errorf("restore: %w", err)
	}
	done, err := r.fill(ctx)
	if err == nil {
		err = errors.Join(syncFolders(r.beside), os.Rename(r.beside, data), syncFolder(filepath.Dir(data)))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("restore %s: %w", c.From, err), os.RemoveAll(r.beside))
	}
	return manifest, done, nil
}

// MarkConfig says which PostgreSQL database was put back by its own tools.
type MarkConfig struct {
	Database string // postgres://…
	Data     string // a folder with the master key of its servers
	Taken    time.Time
}

// MarkRestored is Restore for a PostgreSQL database that pg_restore has put
// back: it closes what was unfinished and holds what would start by itself
// (fault 33). It refuses a database that a server works on.
func MarkRestored(ctx context.Context, c MarkConfig) (done *store.Restored, err error) {
	if c.Database == "" {
		return nil, resource.Errorf(resource.Invalid, "Say which database was restored, with --database or in SLIPWAY_DATABASE.")
	}
	if _, err := os.Stat(filepath.Join(c.Data, secret.KeyFile)); err != nil {
		return nil, resource.Errorf(resource.Invalid, "There is no %s in '%s'. Copy it there from the data folder of a server of this database.", secret.KeyFile, c.Data)
	}
	keys, err := secret.Load(c.Data)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{Path: c.Data, Database: c.Database, Keys: keys})
	if err != nil {
		return nil, fmt.Errorf("mark as restored: %w", err)
	}
	err = db.Write(ctx, func(tx *store.Tx) error {
		if err := atRest(tx); err != nil {
			return err
		}
		tx.SetActor(resource.Actor{Username: "system", EstablishedWith: "restore"})
		done, err = store.Restore(tx, c.Taken)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil { //nolint:contextcheck // closing does not end with the caller's context
		return nil, fmt.Errorf("mark as restored: %w", err)
	}
	return done, nil
}

// atRest refuses a database that is no server's, or that one works on.
func atRest(tx *store.Tx) error {
	id, err := store.Installation(tx, sharedInstall)
	if err != nil {
		return err
	}
	if id == "" {
		return resource.Errorf(resource.PreconditionFailed, "No server has ever used this database. Restore its dump with pg_restore first.")
	}
	nodes, err := store.ListNodes(tx)
	for i := range nodes {
		if nodes[i].Alive {
			return resource.Errorf(resource.PreconditionFailed, "The server '%s' works on this database, or ended less than 10 s ago. Stop all of its servers first.", nodes[i].Name)
		}
	}
	return err
}

func readManifest(from string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(from, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, resource.Errorf(resource.Invalid, "There is no whole backup in '%s': it has no %s.", from, manifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, resource.Errorf(resource.PreconditionFailed, "%s of the backup is damaged. Take another backup.", manifestFile)
	}
	if m.Format != manifestFormat {
		return nil, resource.Errorf(resource.PreconditionFailed, "The backup has format %d, and this version of Slipway reads %d. Restore it with the version that made it (%s).", m.Format, manifestFormat, m.Version)
	}
	return m, nil
}

type restore struct {
	RestoreConfig
	manifest *Manifest
	beside   string
}

func (r *restore) fill(ctx context.Context) (done *store.Restored, err error) {
	if err := os.MkdirAll(r.beside, 0o700); err != nil {
		return nil, err
	}
	if err := r.copyAll(ctx); err != nil {
		return nil, err
	}
	keys, err := r.keys()
	if err != nil {
		return nil, err
	}
	if err := r.unseal(keys); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{Path: r.beside, Keys: keys, Now: r.Now})
	if err != nil {
		return nil, err
	}
	err = db.Integrity(ctx)
	if err == nil {
		err = db.Write(ctx, func(tx *store.Tx) error {
			tx.SetActor(resource.Actor{Username: "system", EstablishedWith: "restore"})
			done, err = store.Restore(tx, r.manifest.Created)
			return err
		})
	}
	return done, errors.Join(err, db.Close()) //nolint:contextcheck // closing does not end with the caller's context
}

func (r *restore) copyAll(ctx context.Context) error {
	from, to, err := roots(r.From, r.beside)
	if err != nil {
		return err
	}
	defer from.Close()
	defer to.Close()
	for i := range r.manifest.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.copy(from, to, &r.manifest.Files[i]); err != nil {
			return err
		}
	}
	return nil
}

// copy takes a file over whose bytes are those of the manifest. Names come from
// outside: only those that a backup has are taken (abuse 39 and 43).
func (r *restore) copy(from, to *os.Root, f *ManifestFile) error {
	if f.Path == sealedFile {
		return nil
	}
	if !slices.Contains([]string{databaseFile, logsFile, secret.KeyFile}, f.Path) && (f.Path == "" || f.Path != blobName(f.Sha256)) {
		return resource.Errorf(resource.PreconditionFailed, "The backup names a file that no backup has, %q. Take another backup.", f.Path)
	}
	digest, err := copyFile(from, to, f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return resource.Errorf(resource.PreconditionFailed, "The backup has no %s. Take another backup.", f.Path)
	}
	if err == nil && digest != f.Sha256 {
		return resource.Errorf(resource.PreconditionFailed, "%s of the backup is damaged: its digest is %s, the backup was made with %s. Take another backup.", f.Path, digest, f.Sha256)
	}
	return err
}

// keys puts the master key in place and reads it.
func (r *restore) keys() (*secret.Keyring, error) {
	into := filepath.Join(r.beside, secret.KeyFile)
	switch {
	case r.MasterKey != "":
		text, err := os.ReadFile(r.MasterKey)
		if err != nil {
			return nil, resource.Errorf(resource.Invalid, "The master key cannot be read: %v.", err)
		}
		if err := writeWhole(into, text); err != nil {
			return nil, err
		}
	case !r.manifest.has(secret.KeyFile):
		return nil, resource.Errorf(resource.Invalid, "The backup does not hold the master key. Give the file %s of the server that it was made of with --master-key.", secret.KeyFile)
	}
	return secret.Load(r.beside)
}

// unseal puts the server's own keys in place, and thereby proves the master key.
func (r *restore) unseal(keys *secret.Keyring) error {
	text, err := os.ReadFile(filepath.Join(r.From, sealedFile))
	if err != nil {
		return fmt.Errorf("read keys of the backup: %w", err)
	}
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return resource.Errorf(resource.PreconditionFailed, "%s of the backup is damaged. Take another backup.", sealedFile)
	}
	key, err := keys.Unwrap(s.Key, s.Wrapped)
	if err != nil {
		return resource.Errorf(resource.PreconditionFailed, "The master key is not the one that the backup was made with. Give the file %s of that server.", secret.KeyFile)
	}
	for name, box := range s.Files {
		if !slices.Contains(ownFiles(), name) {
			return resource.Errorf(resource.PreconditionFailed, "The backup has an unknown key, %q. Restore it with the version that made it (%s).", name, r.manifest.Version)
		}
		plain, err := key.Open(sealedKind, s.Key, name, box)
		if err != nil {
			return fmt.Errorf("open %s of the backup: %w", name, err)
		}
		file := filepath.Join(r.beside, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := writeWhole(file, plain); err != nil {
			return err
		}
	}
	return nil
}

// syncFolders makes what a folder holds durable, at any depth.
func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// syncFolder makes a rename in the folder durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
