package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	dayMillis = "86400000"
	// quietFor is how long a log has to stay as it is before it becomes a blob,
	// so that those who follow it read rows.
	quietFor = 10 * time.Second
	// sealWithin is how long after it was written a blob may still be named by a
	// log. It is far less than the age at which blobs that nobody names are
	// deleted.
	sealWithin = time.Hour
	// logsAtOnce is how many logs one query looks at.
	logsAtOnce = 500
	// partitionsAhead is how many days have a table of their own in advance.
	partitionsAhead = 2
	// partitionsKept is how many days old a table is at least when it goes.
	partitionsKept = 3
)

// LogArchive keeps finished logs as blobs; what it keeps survives a power loss.
type LogArchive interface {
	// Keep stores what r yields and returns its key.
	Keep(ctx context.Context, r io.Reader) (key string, err error)
	// Open fails with fs.ErrNotExist when there is no such blob.
	Open(ctx context.Context, key string) (ArchivedLog, error)
}

// ArchivedLog is an open blob.
type ArchivedLog interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// UseArchive says where finished logs go, before the first of them is read.
func (l *Logs) UseArchive(a LogArchive) { l.archive = a }

// Seal makes blobs of the logs of attempts that have ended, and returns of how
// many. Whatever stops it half-way, rows and blobs together hold each byte once:
// a blob counts from the transaction that deletes the rows which are in it, and
// one that no log names is deleted in time. What comes after that is rows again
// until the next time (I6).
func (l *Logs) Seal(ctx context.Context) (sealed int, err error) {
	if l.archive == nil {
		return 0, nil
	}
	for after := ""; ; {
		waiting, err := l.waiting(ctx, after)
		if err != nil || len(waiting) == 0 {
			return sealed, err
		}
		after = waiting[len(waiting)-1]
		ended, err := l.ended(ctx, waiting)
		if err != nil {
			return sealed, err
		}
		for _, attempt := range ended {
			done, err := l.seal(ctx, attempt)
			if err != nil {
				return sealed, translate(fmt.Errorf("seal log %s: %w", attempt, err))
			}
			if done {
				sealed++
			}
		}
	}
}

// waiting are some logs that are not blobs and to which nothing has come for a
// while.
func (l *Logs) waiting(ctx context.Context, after string) (list []string, err error) {
	//nolint:gosec // the dialect is a constant
	rows, err := l.reader.QueryContext(ctx, `SELECT attempt FROM log_stream WHERE sealed = 0 AND attempt > $1
		AND updated < `+l.db.dialect.Now+` - $2 ORDER BY attempt LIMIT $3`, after, quietFor.Milliseconds(), logsAtOnce)
	if err != nil {
		return nil, translate(fmt.Errorf("list logs: %w", err))
	}
	return texts(rows)
}

func texts(rows *sql.Rows) (list []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, translate(err)
		}
		list = append(list, text)
	}
	return list, translate(rows.Err())
}

func (l *Logs) ended(ctx context.Context, attempts []string) (list []string, err error) {
	var where conditions
	where.in("id", attempts)
	err = l.db.Read(ctx, func(tx *Tx) error {
		list, err = readRows(tx, "ended attempts", `SELECT id FROM attempt`+where.sql()+` AND outcome <> '' ORDER BY id`, scanText, where.args...)
		return err
	})
	return list, err
}

func (l *Logs) seal(ctx context.Context, attempt string) (bool, error) {
	var began int64
	if err := l.reader.QueryRowContext(ctx, `SELECT `+l.db.dialect.Now).Scan(&began); err != nil {
		return false, err
	}
	s, err := streamOf(ctx, l.reader, attempt)
	if err != nil {
		return false, err
	}
	packer, err := newLogPacker(attempt, s.length, func(at int64, n int) ([]byte, error) { return l.Read(ctx, attempt, at, n) })
	if err != nil {
		return false, err
	}
	key, err := l.archive.Keep(ctx, packer)
	if err != nil {
		return false, err
	}
	return l.name(ctx, attempt, key, s, began)
}

// name lets a log be the blob instead of its rows, unless more has come to it
// or another node was faster.
func (l *Logs) name(ctx context.Context, attempt, key string, s stream, began int64) (named bool, err error) {
	if err := l.db.FatalError(); err != nil {
		return false, unavailable("The server lost a write to its disk and has to be restarted.", err)
	}
	tx, err := l.writer.BeginTx(ctx, l.isolation())
	if err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err = errors.Join(err, rollback(tx)); l.db.again(err) {
			named, err = false, nil // the next round comes soon
		}
		err = l.db.watched(err)
	}()
	//nolint:gosec // the dialect is a constant
	result, err := tx.ExecContext(ctx, `UPDATE log_stream SET blob = $2, blob_length = length, sealed = 1
		WHERE attempt = $1 AND length = $3 AND blob = $4 AND `+l.db.dialect.Now+` < $5`,
		attempt, key, s.length, s.blob, began+sealWithin.Milliseconds())
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM log_chunk WHERE attempt = $1`, attempt); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	return true, nil
}

// blobs are the blobs that logs name.
func (l *Logs) blobs(ctx context.Context) ([]string, error) {
	rows, err := l.reader.QueryContext(ctx, `SELECT blob FROM log_stream WHERE blob <> ''`)
	if err != nil {
		return nil, translate(fmt.Errorf("list logs: %w", err))
	}
	return texts(rows)
}

// IsLog says whether a log names the blob.
func (l *Logs) IsLog(ctx context.Context, key string) (is bool, err error) {
	err = l.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM log_stream WHERE blob = $1 AND blob <> '')`, key).Scan(&is)
	if err != nil {
		return false, translate(fmt.Errorf("look for log %s: %w", key, err))
	}
	return is, nil
}

// Divide gives the days to come tables of their own and drops those of days
// long past once all that was in them are blobs: on PostgreSQL, where deleted
// rows would have to be cleaned up. What waits for a log that is read just now
// waits for the next time.
func (l *Logs) Divide(ctx context.Context) error {
	if l.db.postgres == nil {
		return nil
	}
	var today int64
	if err := l.reader.QueryRowContext(ctx, `SELECT `+l.db.dialect.Now+` / `+dayMillis).Scan(&today); err != nil {
		return translate(fmt.Errorf("divide logs: %w", err))
	}
	for day := today; day <= today+partitionsAhead; day++ {
		if err := l.makeDay(ctx, day); err != nil {
			return translate(fmt.Errorf("divide logs: %w", err))
		}
	}
	rows, err := l.reader.QueryContext(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = to_regclass('log_chunk') AND c.relname ~ '^log_chunk_[0-9]+$' ORDER BY c.relname`)
	if err != nil {
		return translate(fmt.Errorf("list days of logs: %w", err))
	}
	tables, err := texts(rows)
	if err != nil {
		return err
	}
	for _, table := range tables {
		var day int64
		if _, err := fmt.Sscanf(table, "log_chunk_%d", &day); err == nil && day < today-partitionsKept {
			if err := l.dropDay(ctx, table); err != nil {
				return translate(fmt.Errorf("drop %s: %w", table, err))
			}
		}
	}
	return nil
}

// makeDay makes a day's table. Where there is one, where another node makes it
// now, or where rows of the day lie elsewhere already, all is well as it is.
func (l *Logs) makeDay(ctx context.Context, day int64) error {
	var there bool
	name := fmt.Sprintf("log_chunk_%d", day)
	if err := l.reader.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there); err != nil || there {
		return err
	}
	return l.alter(ctx, "42P07 23514 23505 42P17 55P03", fmt.Sprintf("CREATE TABLE %s PARTITION OF log_chunk FOR VALUES FROM (%d) TO (%d)", name, day, day+1))
}

// dropDay drops a table that is empty; that needs a moment in which nothing is
// written or read.
func (l *Logs) dropDay(ctx context.Context, table string) error {
	var full bool
	if err := l.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+table+`)`).Scan(&full); err != nil || full {
		return err
	}
	return l.alter(ctx, "42P01 55P03 P0001", `LOCK TABLE log_chunk IN ACCESS EXCLUSIVE MODE`,
		`DO $$ BEGIN IF EXISTS (SELECT 1 FROM `+table+`) THEN RAISE EXCEPTION 'not empty'; END IF; END $$`, `DROP TABLE `+table)
}

// alter changes tables unless that holds up others; the errors in accepted are
// none.
func (l *Logs) alter(ctx context.Context, accepted string, statements ...string) (err error) {
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, rollback(tx))
		if code := pgCode(err); code != "" && strings.Contains(accepted, code) {
			err = nil
		}
	}()
	for _, statement := range append([]string{`SET LOCAL lock_timeout = '2s'`}, statements...) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
