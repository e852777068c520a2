package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Backup is the Backup of an open store's data folder.
func (db *DB) Backup(ctx context.Context, folder string) error {
	if db.postgres != nil {
		return resource.Errorf(resource.PreconditionFailed, "The data are in PostgreSQL: back them up there, with pg_dump or a base backup, and keep the master.key beside it.")
	}
	return Backup(ctx, db.folder, folder)
}

// Backup writes a consistent copy of a data folder's databases into a folder
// that does not hold any yet, while a server works on them, in this process or
// another. Secrets in it are sealed: it is of use only with the data folder's
// master key, which it does not hold (P9). A copy cut off by a crash has no
// logs.db. The output in it is at least that of the database's attempts.
func Backup(ctx context.Context, data, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make backup folder: %w", err)
	}
	for _, name := range []string{databaseFile, logsFile} {
		from := filepath.Join(data, name)
		if _, err := os.Stat(from); err != nil {
			return resource.Errorf(resource.Invalid, "There is no %s. Give the data folder of a server.", from)
		}
		if err := copyDatabase(ctx, from, filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("back up %s: %w", name, err)
		}
	}
	return nil
}

// Digests are the blobs that the data name: packages, artifacts and finished
// logs, each once.
func Digests(tx *Tx) ([]string, error) {
	packages, _, err := List[resource.Package](tx, Query{AllSpaces: true})
	if err != nil {
		return nil, err
	}
	list, err := readRows(tx, "artifacts", `SELECT DISTINCT sha256 FROM attempt_artifact ORDER BY sha256`, scanText)
	for i := range packages {
		list = append(list, packages[i].Sha256)
	}
	logs, failed := tx.db.logs.blobs(tx.ctx)
	list = append(list, logs...)
	slices.Sort(list)
	return slices.Compact(list), errors.Join(err, failed)
}

// copyDatabase reads through a connection of its own: the readers' ones refuse
// VACUUM, the writer's would be held up.
func copyDatabase(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return resource.Errorf(resource.Conflict, "There already is a %s. Choose an empty folder for the backup.", to)
	}
	pool, err := openSQLite(from, true)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, `VACUUM INTO $1`, to)
	if err := errors.Join(translate(err), pool.Close()); err != nil {
		return err
	}
	return settleFile(to)
}

// settleFile makes a file durable, which VACUUM INTO leaves to its caller, and
// this user's alone.
func settleFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}
