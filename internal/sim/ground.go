package sim

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// Ground is what runs stand on: a data folder with a database of a new server.
// Each run begins with the content that it had at first. Making that, and
// preparing some hundred statements, would cost more than most runs.
type Ground struct {
	db    *store.DB
	blobs blob.Store
	pkg   blob.Ref
	env   string
	// secrets are the ids of documents that hold one each (I10).
	secrets []string
	look    looks

	files []*file
	w     *world // the run that is on
	ids   int    // given out in it
}

// file is a database file, and what puts its content back.
type file struct {
	db   *sql.DB
	conn *sql.Conn
	back []*sql.Stmt
	// stmts are all that were prepared.
	stmts []*sql.Stmt
}

// NewGround makes the data in an empty folder.
func NewGround(folder string) (g *Ground, err error) {
	g = &Ground{w: &world{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	ctx := context.Background()
	keys, err := secret.Load(folder)
	if err != nil {
		return g, err
	}
	g.db, err = store.Open(ctx, store.Config{
		Path: folder, Keys: keys, NewID: func() string { g.ids++; return fmt.Sprintf("id-%d", g.ids) },
		Now: func() time.Time { return g.w.clock() },
	})
	if err != nil {
		return g, err
	}
	if g.blobs, err = blob.OpenDisk(filepath.Join(folder, "blobs")); err != nil {
		return g, err
	}
	if g.pkg, err = g.blobs.Put(ctx, bytes.NewReader([]byte("a package")), 1<<20); err != nil {
		return g, err
	}
	if err := g.db.Write(ctx, g.settle); err != nil {
		return g, err
	}
	for _, name := range []string{"slipway.db", "logs.db"} {
		f, err := keep(ctx, filepath.Join(folder, name))
		if g.files = append(g.files, f); err != nil {
			return g, err
		}
	}
	g.look, err = g.files[0].looks(ctx)
	return g, err
}

// settle gives the server what every run needs.
func (g *Ground) settle(tx *store.Tx) error {
	env := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Production"}
	if err := errors.Join(store.Seed(tx, store.Admin{Username: "admin"}), store.Insert(tx, env)); err != nil {
		return err
	}
	g.env, g.secrets = env.ID, nil
	for i := range 3 {
		feed := &resource.Feed{Name: fmt.Sprint("Feed ", i), FeedType: "NuGet", FeedURI: "https://feed.example/", Password: resource.Plain(fmt.Sprintf("canary-%d.", i))}
		feed.SpaceID = resource.DefaultSpace
		if err := store.Insert(tx, feed); err != nil {
			return err
		}
		g.secrets = append(g.secrets, feed.ID)
	}
	_, err := tx.SealBox(resource.DefaultSpace, "Nothing", "none", "none", "x") // makes the space's key
	return err
}

// keep remembers what is in a database file now.
func keep(ctx context.Context, path string) (f *file, err error) {
	f = &file{}
	dsn := (&url.URL{Scheme: "file", Opaque: path, RawQuery: "_pragma=busy_timeout(10000)"}).String()
	if f.db, err = sql.Open("sqlite", dsn); err != nil {
		return f, err
	}
	if f.conn, err = f.db.Conn(ctx); err != nil {
		return f, err
	}
	if _, err := f.conn.ExecContext(ctx, `ATTACH ':memory:' AS first`); err != nil {
		return f, err
	}
	tables, err := f.tables(ctx)
	for _, table := range tables {
		back := []string{`DELETE FROM main."` + table + `"`, `INSERT INTO main."` + table + `" SELECT * FROM first."` + table + `"`}
		if _, err := f.conn.ExecContext(ctx, `CREATE TABLE first."`+table+`" AS SELECT * FROM main."`+table+`"`); err != nil {
			return f, err
		}
		var n int
		if err := f.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM first."`+table+`"`).Scan(&n); err != nil {
			return f, err
		}
		if n == 0 {
			back = back[:1]
		}
		for _, text := range back {
			stmt, err := f.conn.PrepareContext(ctx, text) //nolint:sqlclosecheck // Close does it
			if err != nil {
				return f, err
			}
			f.back, f.stmts = append(f.back, stmt), append(f.stmts, stmt)
		}
	}
	return f, err
}

func (f *file) tables(ctx context.Context) (names []string, err error) {
	rows, err := f.conn.QueryContext(ctx, `SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(name, "sqlite_") {
			names = append(names, name)
		}
	}
	return names, rows.Err()
}

// putBack puts the first content back. This connection looks at no references.
func (f *file) putBack(ctx context.Context) error {
	if _, err := f.conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	for _, stmt := range f.back {
		if _, err := stmt.ExecContext(ctx); err != nil {
			return err
		}
	}
	_, err := f.conn.ExecContext(ctx, `COMMIT`)
	return err
}

// reset makes the ground as it was at first, for a run.
func (g *Ground) reset(w *world) error {
	for _, f := range g.files {
		if err := f.putBack(context.Background()); err != nil {
			return fmt.Errorf("put the first data back: %w", err)
		}
	}
	g.db.Forget()
	g.w, g.ids = w, 1000
	return nil
}

// Close ends the ground; the folder may be removed then.
func (g *Ground) Close() error {
	var errs []error
	for _, f := range g.files {
		for _, stmt := range f.stmts {
			errs = append(errs, stmt.Close())
		}
		if f.conn != nil {
			errs = append(errs, f.conn.Close())
		}
		if f.db != nil {
			errs = append(errs, f.db.Close())
		}
	}
	if g.db != nil {
		errs = append(errs, g.db.Close())
	}
	return errors.Join(errs...)
}
