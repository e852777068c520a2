package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
)

// Tx is a transaction. It belongs to the function it was given to and must not
// outlive it, nor be used by two goroutines.
type Tx struct {
	ctx     context.Context //nolint:containedctx // a Tx lives only as long as the call that its context is of
	db      *DB
	tx      begun
	texts   *statements // nil where the driver keeps them itself
	now     time.Time
	write   bool
	by      resource.Actor
	need    string // the counter that ran out of claimed numbers
	topics  []string
	keys    map[string]*secret.DataKey // made in this transaction
	undo    []func()                   // run when the transaction does not commit
	claimed []func()                   // give back ids, last first, when the run starts over
	rows    int64                      // written, and the bytes that were carried there
	bytes   int64
}

// runner runs SQL.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// begun is a transaction of either database.
type begun interface {
	runner
	Commit() error
	Rollback() error
}

// Context is the context of the call that began the transaction.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Now is one moment for the whole transaction.
func (tx *Tx) Now() time.Time { return tx.now }

// SetActor says who acts: audit records and LastModifiedBy show it. Without it,
// the server itself does.
func (tx *Tx) SetActor(by resource.Actor) { tx.by = by }

// Actor is who acts.
func (tx *Tx) Actor() resource.Actor { return tx.by }

// NewGUID makes the identity of a part of a document.
func (tx *Tx) NewGUID() string { return tx.db.newID() }

// Notify wakes the watchers of the topic once the transaction has committed.
func (tx *Tx) Notify(topic string) { tx.topics = append(tx.topics, topic) }

func (tx *Tx) prepared(query string) *sql.Stmt {
	if on, ok := tx.tx.(*sql.Tx); ok {
		return tx.texts.of(tx.ctx, on, query)
	}
	return nil
}

func (tx *Tx) exec(query string, args ...any) (sql.Result, error) {
	if !tx.write {
		return nil, errors.New("store: a write in a read transaction")
	}
	if stmt := tx.prepared(query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		result, err := stmt.ExecContext(tx.ctx, args...)
		return tx.noted(result, err, args)
	}
	result, err := tx.tx.ExecContext(tx.ctx, query, args...)
	return tx.noted(result, err, args)
}

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	if stmt := tx.prepared(query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		return stmt.QueryContext(tx.ctx, args...)
	}
	return tx.tx.QueryContext(tx.ctx, query, args...)
}

func (tx *Tx) queryRow(query string, args ...any) *sql.Row {
	if stmt := tx.prepared(query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		return stmt.QueryRowContext(tx.ctx, args...)
	}
	return tx.tx.QueryRowContext(tx.ctx, query, args...)
}

// Write runs fn in the one write transaction there is at a time, or in one that
// leaves what it would have left so, and commits when fn returns nil. fn may run
// more than once: when the database is busy or cut off (at most 5 tries, faults
// 25 and 26), and when ids have to be claimed first. It must not call Write.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	try, needs := 0, map[string]int{}
	for {
		need, err := db.writeOnce(ctx, try, fn)
		switch {
		case need != "":
			if needs[need] == needTries {
				return fmt.Errorf("store: a transaction wants too many %s", need)
			}
			if err := db.claimIDs(ctx, need, idBlock<<needs[need]); err != nil {
				return err
			}
			needs[need]++
		case db.again(err) && try < busyTries-1:
			try++
			if err := pause(ctx, jitter(try)); err != nil {
				return err
			}
		default:
			return translate(err)
		}
	}
}

// jitter is the pause after a try that failed.
func jitter(try int) time.Duration {
	return time.Duration(try) * (10 + rand.N[time.Duration](20)) * time.Millisecond
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin opens a transaction; try says how often it failed before.
func (db *DB) begin(ctx context.Context, write bool, try int) (*Tx, error) {
	tx := &Tx{ctx: ctx, db: db, write: write, by: resource.SystemActor()}
	if db.postgres != nil {
		on, err := db.beginPostgres(ctx, write, try)
		if err != nil {
			return nil, err
		}
		tx.tx, tx.now = on, on.now
		if db.now != nil {
			tx.now = db.now()
		}
		return tx, nil
	}
	texts, pool, options := db.writes, db.writer, (*sql.TxOptions)(nil)
	if !write {
		texts, pool, options = db.reads, db.reader, &sql.TxOptions{ReadOnly: true}
	}
	texts.prepare(ctx)
	on, err := pool.BeginTx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx.tx, tx.texts, tx.now = on, texts, db.now()
	return tx, nil
}

func (db *DB) writeOnce(ctx context.Context, try int, fn func(tx *Tx) error) (need string, err error) {
	if err := db.FatalError(); err != nil {
		return "", unavailable("The server lost a write to its disk and has to be restarted.", err)
	}
	tx, err := db.begin(ctx, true, try)
	if err != nil {
		return "", db.watched(err)
	}
	fail.Point(fail.StoreBegun)
	open := true
	defer func() {
		if open {
			err = errors.Join(err, rollback(tx.tx))
		}
		if err != nil || need != "" {
			tx.takeBack(need)
		}
	}()
	if err := fn(tx); err != nil || tx.need != "" {
		return tx.need, db.watched(err)
	}
	open = false
	fail.Point(fail.StoreCommit)
	if err := tx.tx.Commit(); err != nil {
		return "", db.watched(fmt.Errorf("commit: %w", errors.Join(err, rollback(tx.tx))))
	}
	fail.Point(fail.StoreCommitted)
	db.wrote.add(tx.rows, tx.bytes)
	for _, key := range tx.keys {
		db.keys.Add(key)
	}
	db.wake(tx.topics...)
	return "", nil
}

// takeBack undoes what a transaction that did not commit has left in memory.
func (tx *Tx) takeBack(need string) {
	for _, undo := range tx.undo {
		undo()
	}
	if need != "" {
		for _, giveBack := range slices.Backward(tx.claimed) {
			giveBack()
		}
	}
}

func rollback(tx begun) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// watched passes err on and ends all writing where the disk lost something.
func (db *DB) watched(err error) error {
	if lost(err) {
		db.fail(err)
	}
	return err
}

// Read runs fn once, on a snapshot of the last committed state. It never waits
// for a writer.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) (err error) {
	tx, err := db.begin(ctx, false, 0)
	for try := 1; db.again(err) && try < busyTries; try++ {
		if err := pause(ctx, jitter(try)); err != nil {
			return err
		}
		tx, err = db.begin(ctx, false, try)
	}
	if err != nil {
		return translate(err)
	}
	defer func() { err = translate(errors.Join(err, rollback(tx.tx))) }()
	return fn(tx)
}
