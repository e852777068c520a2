package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"github.com/slipwayhq/slipway/internal/resource"
)

//go:embed migrations/*.sql migrations/logs/*.sql
var migrations embed.FS

func mainMigrations() fs.FS { return subFolder("migrations") }
func logMigrations() fs.FS  { return subFolder("migrations/logs") }

func subFolder(name string) fs.FS {
	sub, err := fs.Sub(migrations, name)
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// openSQLite opens a pool. busy_timeout comes first: the pragmas after it may
// have to wait already. The writer begins IMMEDIATE, so that it never has to
// give up a read for a write.
func openSQLite(path string, write bool) (*sql.DB, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	query := "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=cache_size(-16000)&_pragma=temp_store(2)&_dqs=0"
	if write {
		query += "&_txlock=immediate&_pragma=journal_size_limit(67108864)"
	} else {
		query += "&_pragma=query_only(1)"
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(full)}).EscapedPath(), RawQuery: query}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// migrate brings the schema up to date, forward only; a schema from a newer
// version is refused before anything is changed.
func migrate(ctx context.Context, db *sql.DB, name string, files fs.FS) error {
	provider, err := goose.NewProvider(goose.Dialect(name), db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", translate(err))
	}
	sources := provider.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return resource.Errorf(resource.PreconditionFailed,
			"The data folder was written by a newer version of Slipway (schema %d, this one knows %d). Start the newer version, or restore a backup from before the upgrade.", have, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			err = partial.Err
		}
		return fmt.Errorf("migrate schema: %w", translate(err))
	}
	return nil
}
