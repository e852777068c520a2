package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

const (
	// writers and pgReaders bound a node's connections, so that a few nodes fit
	// PostgreSQL's default of 100.
	writers   = 8
	pgReaders = 12
	pgLoggers = 2
	// idleInTransaction is after how many milliseconds PostgreSQL ends a
	// transaction whose node says nothing: a node that is paused or cut off in
	// the middle of one holds up nobody for longer (fault 30). It is less than
	// what is left of a lease when it was to be renewed.
	idleInTransaction = "3000"
	// statementTimeout, in milliseconds, bounds one statement (fault 27).
	statementTimeout = "30000"
	// connectTimeout bounds the opening of a connection.
	connectTimeout = 5 * time.Second
	// goneAfter, in milliseconds, is how long a server that does not
	// acknowledge keeps a connection.
	goneAfter = "20000"
)

// postgres is what DB needs beside its pools on PostgreSQL.
type postgres struct {
	config  *pgx.ConnConfig
	schema  string // that all tables are in
	signals signals
}

// parseURL reads a database's address. Its password shows in no error.
func parseURL(address string) (*pgx.ConnConfig, error) {
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return nil, resource.Errorf(resource.Invalid, "The address of the database has to begin with postgres://.")
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, resource.Errorf(resource.Invalid, "The address of the database cannot be read. It has the form postgres://user:password@host:5432/database?sslmode=verify-full.")
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > connectTimeout {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range map[string]string{
		"application_name": "slipway", "statement_timeout": statementTimeout, "tcp_user_timeout": goneAfter,
		"idle_in_transaction_session_timeout": idleInTransaction,
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	return config, nil
}

func (db *DB) openPostgres(ctx context.Context, address string) error {
	config, err := parseURL(address)
	if err != nil {
		return err
	}
	db.postgres = &postgres{config: config}
	db.dialect = dialect.PostgreSQL()
	db.writer, db.reader = stdlib.OpenDB(*config), stdlib.OpenDB(*config)
	db.writer.SetMaxOpenConns(writers)
	db.writer.SetMaxIdleConns(writers)
	db.reader.SetMaxOpenConns(pgReaders)
	db.reader.SetMaxIdleConns(pgReaders)
	if err := db.reader.QueryRowContext(ctx, `SELECT COALESCE(current_schema(), '')`).Scan(&db.postgres.schema); err != nil {
		return fmt.Errorf("open database: %w", translate(err))
	}
	if db.postgres.schema == "" {
		return resource.Errorf(resource.PreconditionFailed, "The database has no schema to create tables in. Create the one that its search_path names.")
	}
	if err := db.migratePostgres(ctx); err != nil {
		return err
	}
	if err := db.loadDataKeys(ctx); err != nil {
		return err
	}
	db.logs = newLogs(db, stdlib.OpenDB(*config), db.reader) //nolint:contextcheck // it outlives the opening call
	db.logs.writer.SetMaxOpenConns(pgLoggers)
	db.postgres.signals.start(db) //nolint:contextcheck // they outlive the opening call
	return nil
}

// migratePostgres migrates while no other node does: they all start at once
// after an upgrade.
func (db *DB) migratePostgres(ctx context.Context) (err error) {
	pool := stdlib.OpenDB(*withoutTimeouts(db.postgres.config))
	defer func() { err = closeAlso(err, pool) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("lock schema: %w", translate(err))
	}
	defer func() { err = closeAlso(err, conn) }() // which frees the lock
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, "slipway schema "+db.postgres.schema); err != nil {
		return fmt.Errorf("lock schema: %w", translate(err))
	}
	for _, s := range []schema{mainSchema, logSchema} {
		if err := migrate(ctx, pool, db.dialect, s); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, `SELECT pg_advisory_unlock_all()`)
	return err
}

// withoutTimeouts is for work that may take as long as it takes.
func withoutTimeouts(config *pgx.ConnConfig) *pgx.ConnConfig {
	patient := config.Copy()
	patient.RuntimeParams["statement_timeout"] = "0"
	patient.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	return patient
}

// closePostgres ends what hears and tells of changes; the pools are closed
// where those of SQLite are.
func (db *DB) closePostgres() {
	if db.postgres != nil && db.postgres.signals.stop != nil {
		db.postgres.signals.stop()
	}
}

// pool is what a transaction's connection comes from.
func (db *DB) pool(write bool) *sql.DB {
	if write {
		return db.writer
	}
	return db.reader
}
