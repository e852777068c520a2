package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Transactions on PostgreSQL see what they would see if they ran one after the
// other, as on SQLite: writers are SERIALIZABLE and run again when the database
// finds that they were not (fault 26), readers see one snapshot.
//
// A writer that lost that race twice asks for the gate, which all others hold
// in a weaker mode: it runs alone and cannot lose again. LOCK comes before the
// first query, because that takes the snapshot.
const (
	beginRead  = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT %s`
	beginWrite = `BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE counter IN %s MODE; SELECT %s, pg_current_xact_id(), ` + timeline
	// timeline changes when a standby takes over: numbers of transactions from
	// before mean nothing after.
	timeline = `left(pg_walfile_name(pg_current_wal_lsn()), 8)`

	gateShared = "ROW EXCLUSIVE"
	gateAlone  = "EXCLUSIVE"
	// sharedTries is how often a writer runs beside the others.
	sharedTries = 2

	// endWithin bounds the commit and the end of a transaction, whatever became
	// of the caller, and how long its outcome is asked for when the answer got
	// lost.
	endWithin = 10 * time.Second
	askAgain  = 50 * time.Millisecond
)

// errCut says that a transaction's connection broke before its commit: nothing
// of it was stored.
var errCut = errors.New("the connection to the database broke")

// pgTx is a transaction on PostgreSQL.
type pgTx struct {
	db       *DB
	conn     *sql.Conn
	now      time.Time // the database's clock
	xid      string    // its number, of a writer
	timeline string
}

// beginPostgres begins in one round trip. try counts from 0; write is false
// for a reader.
func (db *DB) beginPostgres(ctx context.Context, write bool, try int) (tx *pgTx, err error) {
	text := fmt.Sprintf(beginRead, db.dialect.Now)
	if write {
		gate := gateShared
		if try >= sharedTries {
			gate = gateAlone
		}
		text = fmt.Sprintf(beginWrite, gate, db.dialect.Now)
	}
	tx = &pgTx{db: db}
	if tx.conn, err = db.pool(write).Conn(ctx); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	row, err := tx.simple(ctx, text)
	var ms int64
	if err == nil {
		ms, err = strconv.ParseInt(row[0], 10, 64)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin: %w", err), tx.Rollback()) //nolint:contextcheck // the connection is given back whatever became of the caller
	}
	tx.now = time.UnixMilli(ms)
	if write {
		tx.xid, tx.timeline = row[1], row[2]
	}
	return tx, nil
}

// simple runs statements without arguments in one round trip and returns the
// first row of the last one.
func (t *pgTx) simple(ctx context.Context, text string) (row []string, err error) {
	err = t.conn.Raw(func(c any) error {
		conn, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("store: a connection of another driver: %T", c)
		}
		results, err := conn.Conn().PgConn().Exec(ctx, text).ReadAll()
		if err != nil || len(results) == 0 {
			return err
		}
		last := results[len(results)-1]
		if len(last.Rows) == 0 {
			row = []string{last.CommandTag.String()}
			return nil
		}
		for _, value := range last.Rows[0] {
			row = append(row, string(value))
		}
		return nil
	})
	return row, err
}

// ExecContext implements runner.
func (t *pgTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.ExecContext(ctx, query, clean(args)...)
}

// QueryContext implements runner.
func (t *pgTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.conn.QueryContext(ctx, query, clean(args)...)
}

// QueryRowContext implements runner.
func (t *pgTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.conn.QueryRowContext(ctx, query, clean(args)...)
}

// clean replaces what no text in PostgreSQL can hold: what an agent says must
// not stop the rollout that hears it (abuse 59).
func clean(args []any) []any {
	for i, arg := range args {
		if s, ok := arg.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
}

// Commit implements begun. A commit whose answer got lost is looked up by the
// transaction's number, so that it is neither lost nor done twice (fault 25).
func (t *pgTx) Commit() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), endWithin, errCut)
	defer cancel()
	row, err := t.simple(ctx, `COMMIT`)
	_, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil && row[0] == "COMMIT":
		return t.conn.Close()
	case err == nil:
		return errors.Join(errors.New("commit: the transaction had failed before"), t.conn.Close())
	case answered && !cut(err):
		return errors.Join(err, t.Rollback())
	}
	return t.lookUp(errors.Join(err, t.discard()))
}

// lookUp says what became of a commit, nil for done and errCut for not.
func (t *pgTx) lookUp(lost error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), endWithin, errCut)
	defer cancel()
	for ctx.Err() == nil {
		var status, now string
		err := t.db.reader.QueryRowContext(ctx, `SELECT COALESCE(pg_xact_status(CAST($1 AS xid8)), ''), `+timeline, t.xid).Scan(&status, &now)
		switch {
		case err == nil && now != t.timeline, err == nil && status == "":
			return unknownCommit(lost)
		case err == nil && status == "committed":
			return nil
		case err == nil && status == "aborted":
			return errors.Join(errCut, lost)
		}
		if err := pause(ctx, askAgain); err != nil {
			break
		}
	}
	return unknownCommit(lost)
}

func unknownCommit(err error) error {
	return unavailable("The connection to the database broke while a change was stored; it may be stored or not. Look, and try again if it is not.", err)
}

// Rollback implements begun.
func (t *pgTx) Rollback() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), endWithin, errCut)
	defer cancel()
	if _, err := t.simple(ctx, `ROLLBACK`); err != nil {
		return t.discard() // with the connection ends the transaction
	}
	return t.conn.Close()
}

// discard closes the connection for good.
func (t *pgTx) discard() error {
	err := t.conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// closeAlso closes and keeps the first trouble.
func closeAlso(err error, c io.Closer) error {
	if e := c.Close(); e != nil && !errors.Is(e, sql.ErrConnDone) {
		return errors.Join(err, e)
	}
	return err
}
