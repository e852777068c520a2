package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

// The files of a data folder.
const (
	databaseFile = "slipway.db"
	logsFile     = "logs.db"
	lockFile     = "slipway.lock"
)

const (
	readers   = 8
	busyTries = 5
	// needTries bounds how often one transaction may run out of ids of one
	// counter; each time it claims twice as many.
	needTries = 16
)

// Config says where the store is and what it uses.
type Config struct {
	Path string // the data folder; made when it is missing
	// Database is the address of a PostgreSQL database, postgres://…, which any
	// number of nodes may use at once; empty: SQLite in the data folder.
	Database string
	Keys     *secret.Keyring // seals secrets
	// Now is the clock of Tx.Now. Leave it nil with a Database: nodes agree by
	// that one's own clock.
	Now    func() time.Time
	NewID  func() string // makes the GUIDs of steps, variables …; random when nil
	Logger *slog.Logger  // none when nil
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	folder   string
	postgres *postgres // nil: SQLite
	writer   *sql.DB
	reader   *sql.DB
	writes   *statements
	reads    *statements
	logs     *Logs
	dialect  dialect.Dialect
	keys     *secret.Keyring
	now      func() time.Time
	newID    func() string
	logger   *slog.Logger
	ids      idBlocks
	watch    watchers
	plans    plans
	wrote    counted
	fatal    atomic.Pointer[error]
	dead     chan struct{}
	lock     io.Closer
}

// Open opens the store of a data folder, brings its schema up to date and
// holds the folder until Close: a folder in use, and one written by a newer
// version, are refused with PreconditionFailed.
func Open(ctx context.Context, c Config) (db *DB, err error) {
	if c.Keys == nil || c.Now == nil && c.Database == "" {
		return nil, errors.New("store: no keyring or no clock")
	}
	db = &DB{folder: c.Path, dialect: dialect.SQLite(), keys: c.Keys, now: c.Now, newID: c.NewID, logger: c.Logger, dead: make(chan struct{})}
	if db.newID == nil {
		db.newID = newGUID
	}
	if db.logger == nil {
		db.logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Path, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if db.lock, err = lockFolder(filepath.Join(c.Path, lockFile)); err != nil {
		return nil, err
	}
	defer func() { //nolint:contextcheck // closing does not end with the caller's context
		if err != nil {
			err = errors.Join(err, db.Close())
			db = nil
		}
	}()
	if c.Database != "" {
		return db, db.openPostgres(ctx, c.Database)
	}
	if err := db.openMain(ctx, filepath.Join(c.Path, databaseFile)); err != nil {
		return db, err
	}
	return db, db.openLogs(ctx, filepath.Join(c.Path, logsFile))
}

func (db *DB) openMain(ctx context.Context, path string) (err error) {
	if db.writer, err = openSQLite(path, true); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, db.writer, db.dialect, mainSchema); err != nil {
		return err
	}
	if db.reader, err = openSQLite(path, false); err != nil {
		return err
	}
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	db.writes, db.reads = newStatements(db.writer), newStatements(db.reader)
	return db.loadDataKeys(ctx)
}

// Close ends the store. Writes under way end first; nothing may be called
// after it.
func (db *DB) Close() error {
	var errs []error
	if db.logs != nil {
		errs = append(errs, db.logs.close())
	}
	db.closePostgres()
	if db.writer != nil {
		db.returnIDs()
	}
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Forget drops what is kept in memory of the data: claimed ids and plans. It is
// for whoever has put the content of the database back from outside, while
// nothing else used it.
func (db *DB) Forget() {
	db.ids.mu.Lock()
	db.ids.by = nil
	db.ids.mu.Unlock()
	db.plans.mu.Lock()
	db.plans.byID = nil
	db.plans.mu.Unlock()
}

// Logs is the store of attempts' output.
func (db *DB) Logs() *Logs { return db.logs }

// Keys is the keyring that secrets are sealed with. It knows every data key
// that a committed box names; with more than one node, use Tx.OpenBox, which
// also finds keys that another node just made.
func (db *DB) Keys() *secret.Keyring { return db.keys }

// Fatal is closed when the disk refused an fsync. Nothing is written after
// that; the process has to exit at once and start from what is on disk (fault
// 22). FatalError is the cause.
func (db *DB) Fatal() <-chan struct{} { return db.dead }

// FatalError is why Fatal was closed; nil before.
func (db *DB) FatalError() error {
	if err := db.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

func (db *DB) fail(err error) {
	if db.fatal.CompareAndSwap(nil, &err) {
		db.logger.Error("the database lost a write: exiting is the only safe thing", "error", err)
		close(db.dead)
	}
}

// Integrity checks the database's files, as after a crash (fault 23).
// PostgreSQL looks after its own.
func (db *DB) Integrity(ctx context.Context) error {
	if db.postgres != nil {
		return nil
	}
	for name, pool := range map[string]*sql.DB{databaseFile: db.reader, logsFile: db.logs.reader} {
		var answer string
		if err := pool.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
			return fmt.Errorf("check %s: %w", name, translate(err))
		}
		if answer != "ok" {
			return resource.Errorf(resource.Unavailable, "The database file %s is damaged (%s). Stop the server and restore it from a backup.", name, answer)
		}
	}
	return nil
}

func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
