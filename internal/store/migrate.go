package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

//go:embed migrations/*.sql migrations/logs/*.sql
var migrations embed.FS

// schema is a part of the database: its migrations, and the table that says
// which of them were made.
type schema struct{ folder, table string }

var (
	mainSchema = schema{"migrations", "goose_db_version"}
	logSchema  = schema{"migrations/logs", "goose_log_version"}
)

// migrate brings a schema up to date, forward only; one from a newer version
// is refused before anything is changed. On PostgreSQL the caller holds the
// lock of the schema.
func migrate(ctx context.Context, db *sql.DB, d dialect.Dialect, s schema) error {
	files, err := translated(d, s.folder)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.Goose == dialect.PostgreSQL().Goose {
		options = append(options, goose.WithTableName(s.table)) // one database holds both
	}
	provider, err := goose.NewProvider(goose.Dialect(d.Goose), db, files, options...)
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
			"The data were written by a newer version of Slipway (schema %d, this one knows %d). Start the newer version, or restore a backup from before the upgrade.", have, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			err = partial.Err
		}
		return fmt.Errorf("migrate schema: %w", translate(err))
	}
	return nil
}

// translated are the migrations of a folder in the words of a database.
func translated(d dialect.Dialect, folder string) (fs.FS, error) {
	entries, err := migrations.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	files := scripts{}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		text, err := migrations.ReadFile(folder + "/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		files[entry.Name()] = d.Schema(string(text))
	}
	return files, nil
}

// scripts are texts by name, as a folder without folders.
type scripts map[string]string

// Open implements fs.FS.
func (s scripts) Open(name string) (fs.File, error) {
	text, ok := s[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &script{Reader: bytes.NewReader([]byte(text)), name: name}, nil
}

// Glob implements fs.GlobFS.
func (s scripts) Glob(pattern string) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// script is an open one, and what is known of it.
type script struct {
	*bytes.Reader
	name string
}

func (s *script) Stat() (fs.FileInfo, error) { return s, nil }
func (s *script) Close() error               { return nil }
func (s *script) Name() string               { return s.name }
func (s *script) Mode() fs.FileMode          { return 0o444 }
func (s *script) ModTime() time.Time         { return time.Time{} }
func (s *script) IsDir() bool                { return false }
func (s *script) Sys() any                   { return nil }
