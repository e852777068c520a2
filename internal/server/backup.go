package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// The files of a backup beside the databases and the blobs.
const (
	manifestFile = "manifest.json"
	sealedFile   = "keys.sealed"
	databaseFile = "slipway.db"
	logsFile     = "logs.db"
)

// KeyFile is the name of the master key's file in the data folder.
const KeyFile = secret.KeyFile

// manifestFormat is the version of Manifest's form.
const manifestFormat = 1

// Manifest says what a backup holds. It is written last: a folder without it is
// no backup.
type Manifest struct {
	Format  int
	Version string // of the program that made it
	Created time.Time
	// MasterKey says that the backup holds the master key, and so every secret.
	MasterKey bool
	Files     []ManifestFile
	// Missing are the digests of packages, artifacts and finished logs that the
	// databases name and the data folder does not hold: those of a server with
	// S3-compatible storage lie there, and are not part of the backup.
	Missing []string `json:",omitempty"`
}

// ManifestFile is one file of a backup; Path is slash-separated.
type ManifestFile struct {
	Path   string
	Size   int64
	Sha256 string
}

// BackupConfig says what to back up and where to.
type BackupConfig struct {
	Data string // the data folder of a server, which may be running
	To   string // a folder that is empty or not there
	// MasterKey puts the master key into the backup as well.
	MasterKey bool
	Version   string
	Now       func() time.Time
}

// Backup writes a consistent copy of a server's data: the databases first, then
// the packages and artifacts that they name, whose bytes never change, and the
// server's own keys, sealed with the master key. Nothing in it is of use
// without that key (P9, abuse 75). The built-in worker is not part of it: it
// gets a new identity.
func Backup(ctx context.Context, c BackupConfig) (*Manifest, error) {
	keys, err := masterKey(c.Data)
	if err != nil {
		return nil, err
	}
	if err := emptyFolder(c.To); err != nil {
		return nil, err
	}
	b := &backup{BackupConfig: c, manifest: &Manifest{Format: manifestFormat, Version: c.Version, Created: c.Now().UTC(), MasterKey: c.MasterKey}}
	if err := b.write(ctx, keys); err != nil {
		return nil, fmt.Errorf("back up %s: %w", c.Data, err)
	}
	return b.manifest, nil
}

// masterKey reads the data folder's key and never makes one.
func masterKey(data string) (*secret.Keyring, error) {
	_, noDatabase := os.Stat(filepath.Join(data, databaseFile))
	_, noKey := os.Stat(filepath.Join(data, secret.KeyFile))
	switch {
	case noDatabase != nil && noKey != nil:
		return nil, resource.Errorf(resource.Invalid, "There are no data of a server in '%s'. Give its data folder with --data.", data)
	case noDatabase != nil:
		return nil, resource.Errorf(resource.PreconditionFailed,
			"The data of this server are in PostgreSQL. Back them up there: pg_dump --format custom --file slipway.dump \"$SLIPWAY_DATABASE\", "+
				"and with them the bucket of --blobs. Keep a copy of %s apart: without it nothing can be restored. After pg_restore, and before a server "+
				"starts on it, run: slipway restore --database … --data %s --taken <the time of the dump>.", filepath.Join(data, secret.KeyFile), data)
	}
	return secret.Load(data)
}

// emptyFolder makes the folder, or takes one that is empty.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	if len(entries) > 0 {
		return resource.Errorf(resource.Conflict, "The folder '%s' is not empty. Choose one that is empty or not there yet.", dir)
	}
	return nil
}

type backup struct {
	BackupConfig
	manifest *Manifest
}

func (b *backup) write(ctx context.Context, keys *secret.Keyring) error {
	if err := store.Backup(ctx, b.Data, b.To); err != nil {
		return err
	}
	if err := b.blobs(ctx, keys); err != nil {
		return err
	}
	if err := b.seal(keys); err != nil {
		return err
	}
	if b.MasterKey {
		text, err := os.ReadFile(filepath.Join(b.Data, secret.KeyFile))
		if err == nil {
			err = writeWhole(filepath.Join(b.To, secret.KeyFile), text)
		}
		if err != nil {
			return fmt.Errorf("copy the master key: %w", err)
		}
	}
	if err := b.list(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(writeWhole(filepath.Join(b.To, manifestFile), append(text, '\n')), syncFolder(b.To))
}

// blobs copies what the copied database names. A blob that is not there was
// deleted since, or is kept elsewhere, and is noted; one with other bytes stops
// the backup.
func (b *backup) blobs(ctx context.Context, keys *secret.Keyring) error {
	var digests []string
	if err := b.read(ctx, keys, func(tx *store.Tx) (err error) {
		digests, err = store.Digests(tx)
		return err
	}); err != nil {
		return err
	}
	from, to, err := roots(b.Data, b.To)
	if err != nil {
		return err
	}
	defer from.Close()
	defer to.Close()
	for _, digest := range digests {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := blobName(digest)
		if name == "" {
			continue // of a package that another feed keeps
		}
		got, err := copyFile(from, to, name)
		if errors.Is(err, fs.ErrNotExist) {
			b.manifest.Missing = append(b.manifest.Missing, digest)
			continue
		}
		if err != nil {
			return err
		}
		if got != digest {
			return resource.Errorf(resource.PreconditionFailed, "The file %s of the server's store is damaged: its digest is %s. Push its package again, then back up anew.", name, got)
		}
	}
	return nil
}

// blobName is a blob's path in the data folder; "" where that is no digest.
func blobName(digest string) string {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return path.Join(blobFolder, digest[:2], digest)
}

// read opens the copied database; what that makes beside it is no part of the
// backup.
func (b *backup) read(ctx context.Context, keys *secret.Keyring, f func(*store.Tx) error) (err error) {
	db, err := store.Open(ctx, store.Config{Path: b.To, Keys: keys, Now: b.Now})
	if err != nil {
		return err
	}
	err = errors.Join(db.Read(ctx, f), db.Close()) //nolint:contextcheck // closing does not end with the caller's context
	for _, entry := range []string{"slipway.lock", "slipway.db-shm", "logs.db-shm"} {
		if gone := os.Remove(filepath.Join(b.To, entry)); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// sealed holds the server's own keys, each in a box of a data key that the
// master key has wrapped.
type sealed struct {
	Key     string
	Wrapped []byte
	Files   map[string][]byte // by path in the data folder
}

// sealedKind binds the boxes to what they are.
const sealedKind = "backup"

// ownFiles are the server's keys: its identity, which agents pin, the key of
// its sessions, and its id.
func ownFiles() []string {
	return []string{path.Join(identityFolder, "identity.pem"), sessionKeyFile, installFile}
}

func (b *backup) seal(keys *secret.Keyring) error {
	id := "backup-" + strings.ToLower(rand.Text())
	key, wrapped, err := keys.Mint(id)
	if err != nil {
		return err
	}
	s := sealed{Key: id, Wrapped: wrapped, Files: map[string][]byte{}}
	for _, name := range ownFiles() {
		text, err := os.ReadFile(filepath.Join(b.Data, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.Files[name] = key.Seal(sealedKind, id, name, text)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(b.To, sealedFile), text)
}

// list puts every file of the backup into the manifest, which is written only
// once all of them would survive a power loss.
func (b *backup) list() error {
	return filepath.WalkDir(b.To, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return syncFolder(file)
		}
		name, err := filepath.Rel(b.To, file)
		if err != nil {
			return err
		}
		size, digest, err := digestOf(file)
		b.manifest.Files = append(b.manifest.Files, ManifestFile{filepath.ToSlash(name), size, digest})
		return err
	})
}

func digestOf(file string) (size int64, digest string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	sum := sha256.New()
	size, err = io.Copy(sum, f)
	return size, hex.EncodeToString(sum.Sum(nil)), err
}

// roots opens two folders, which paths from outside cannot leave.
func roots(from, to string) (*os.Root, *os.Root, error) {
	a, err := os.OpenRoot(from)
	if err != nil {
		return nil, nil, err
	}
	b, err := os.OpenRoot(to)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

// copyFile copies a file, named by its slash-separated path, with mode 0600,
// and returns the digest of its bytes once they would survive a power loss.
func copyFile(from, to *os.Root, name string) (digest string, err error) {
	local := filepath.FromSlash(name)
	in, err := from.Open(local)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if err := to.MkdirAll(filepath.Dir(local), 0o700); err != nil {
		return "", err
	}
	out, err := to.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", fmt.Errorf("copy %s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// has says whether the manifest lists the file.
func (m *Manifest) has(name string) bool {
	return slices.ContainsFunc(m.Files, func(f ManifestFile) bool { return f.Path == name })
}
