package store

import (
	"context"
	"fmt"
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
