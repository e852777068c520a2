package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Backup writes a consistent copy of the databases into a folder that does not
// hold any yet, while the server works on. Secrets in it are sealed: it is of
// use only with the data folder's master key, which it does not hold (P9). A
// copy cut off by a crash has no logs.db. PostgreSQL has its own tools for this:
// there it is PreconditionFailed.
func (db *DB) Backup(ctx context.Context, folder string) error {
	if db.postgres != nil {
		return resource.Errorf(resource.PreconditionFailed, "The data are in PostgreSQL: back them up there, with pg_dump or a base backup, and keep the master.key beside it.")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make backup folder: %w", err)
	}
	for _, name := range []string{databaseFile, logsFile} {
		if err := copyDatabase(ctx, filepath.Join(db.folder, name), filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("back up %s: %w", name, err)
		}
	}
	return nil
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
	return os.Chmod(to, 0o600)
}
