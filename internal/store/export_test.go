package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"
)

// FillDisk makes the database files as large as they may get.
func (db *DB) FillDisk(ctx context.Context) error { return db.limit(ctx, 1) }

// FreeDisk lets them grow again.
func (db *DB) FreeDisk(ctx context.Context) error { return db.limit(ctx, 1<<30) }

func (db *DB) limit(ctx context.Context, pages int) error {
	var got int
	for _, pool := range []rowQuerier{db.writer, db.logs.writer} {
		if err := pool.QueryRowContext(ctx, fmt.Sprintf("PRAGMA max_page_count(%d)", pages)).Scan(&got); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs SQL on the writer, past everything.
func (db *DB) Exec(ctx context.Context, query string, args ...any) error {
	_, err := db.writer.ExecContext(ctx, query, args...)
	return err
}

// Columns are a table's columns.
func (db *DB) Columns(ctx context.Context, table string) (names []string, err error) {
	rows, err := db.reader.QueryContext(ctx, `SELECT name FROM pragma_table_info($1) ORDER BY cid`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Text reads one text, past everything.
func (db *DB) Text(ctx context.Context, query, arg string, into *string) error {
	return db.reader.QueryRowContext(ctx, query, arg).Scan(into)
}

// ExecLogs is Exec where the logs are.
func ExecLogs(t *testing.T, db *DB, query string) {
	t.Helper()
	if _, err := db.logs.writer.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// CountLogs asks for a number where the logs are.
func CountLogs(t *testing.T, db *DB, query string) (n int) {
	t.Helper()
	if err := db.logs.reader.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// NameOld is what a node does with a blob that it wrote long ago.
func (l *Logs) NameOld(ctx context.Context, attempt, key string) (bool, error) {
	s, err := streamOf(ctx, l.reader, attempt)
	if err != nil {
		return false, err
	}
	return l.name(ctx, attempt, key, s, time.Now().Add(-2*sealWithin).UnixMilli())
}

// PackLog makes a finished log's blob, UnpackLog reads it.
func PackLog(attempt string, data []byte) io.Reader {
	p, err := newLogPacker(attempt, int64(len(data)), func(at int64, n int) ([]byte, error) { return data[at:][:n], nil })
	if err != nil {
		panic(err)
	}
	return p
}

// UnpackLog reads part of a finished log's blob.
func UnpackLog(blob []byte, from, n int64) ([]byte, error) {
	r := bytes.NewReader(blob)
	index, err := readLogIndex(r, r.Size())
	if err != nil {
		return nil, err
	}
	return index.read(r, from, n)
}

// TaskSQL is what listing tasks asks the database: the count, and each list
// that the page is put together from.
func TaskSQL(q TaskQuery) (queries []string, args [][]any) {
	query, values := q.count()
	queries, args = append(queries, query), append(args, values)
	lists := taskLists(q)
	for _, list := range lists {
		query, values := list.page(len(lists) == 1)
		queries, args = append(queries, query), append(args, values)
	}
	return queries, args
}

// Explain is the plan of a query, one step a line.
func (db *DB) Explain(ctx context.Context, query string, args ...any) (steps []string, err error) {
	how := "EXPLAIN QUERY PLAN "
	if db.postgres != nil {
		how = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "
	}
	rows, err := db.reader.QueryContext(ctx, how+query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var step string
		var id, parent, unused int
		into := []any{&id, &parent, &unused, &step}
		if db.postgres != nil {
			into = []any{&step}
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, rows.Err()
}
