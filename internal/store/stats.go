package store

import (
	"database/sql"
	"sync/atomic"
)

// Stats count what has been committed since the store was opened, by this
// process. Logs are counted apart, see Logs.Stats.
type Stats struct {
	Transactions int64 // that wrote
	Rows         int64 // inserted, changed or deleted by them
	// Bytes are those of the values that their statements carried: what a turn or
	// a report costs on either database, before pages, indexes and checkpoints.
	Bytes int64
}

// Stats reads the figures.
func (db *DB) Stats() Stats { return db.wrote.read() }

// Stats counts the commits of logs, the pieces in them and their bytes.
func (l *Logs) Stats() Stats { return l.wrote.read() }

// counted is Stats that any number of goroutines add to.
type counted struct{ transactions, rows, bytes atomic.Int64 }

func (c *counted) read() Stats {
	return Stats{Transactions: c.transactions.Load(), Rows: c.rows.Load(), Bytes: c.bytes.Load()}
}

func (c *counted) add(rows, bytes int64) {
	c.transactions.Add(1)
	c.rows.Add(rows)
	c.bytes.Add(bytes)
}

// carried is the size of a statement's values.
func carried(args []any) (n int64) {
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			n += int64(len(v))
		case []byte:
			n += int64(len(v))
		default: // numbers, flags, and texts of a type of their own, which are short words
			n += 8
		}
	}
	return n
}

// noted counts what a statement of this transaction has written.
func (tx *Tx) noted(result sql.Result, err error, args []any) (sql.Result, error) {
	if err != nil {
		return result, err
	}
	if n, err := result.RowsAffected(); err == nil && n > 0 {
		tx.rows += n
		tx.bytes += carried(args)
	}
	return result, nil
}

// returning runs a statement that writes one row, or none (sql.ErrNoRows), and
// gives back columns of it.
func (tx *Tx) returning(query string, args []any, into ...any) error {
	err := tx.queryRow(query, args...).Scan(into...)
	if err == nil {
		tx.rows++
		tx.bytes += carried(args)
	}
	return err
}
