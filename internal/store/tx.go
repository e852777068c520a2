package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
)

// Tx is a transaction. It belongs to the function it was given to and must not
// outlive it, nor be used by two goroutines.
type Tx struct {
	ctx     context.Context //nolint:containedctx // a Tx lives only as long as the call that its context is of
	db      *DB
	tx      *sql.Tx
	texts   *statements
	now     time.Time
	write   bool
	by      resource.Actor
	need    string // the counter that ran out of claimed numbers
	topics  []string
	keys    map[string]*secret.DataKey // made in this transaction
	undo    []func()                   // run when the transaction does not commit
	claimed []func()                   // give back ids, last first, when the run starts over
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

func (tx *Tx) exec(query string, args ...any) (sql.Result, error) {
	if !tx.write {
		return nil, errors.New("store: a write in a read transaction")
	}
	if stmt := tx.texts.of(tx.ctx, tx.tx, query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		return stmt.ExecContext(tx.ctx, args...)
	}
	return tx.tx.ExecContext(tx.ctx, query, args...)
}

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	if stmt := tx.texts.of(tx.ctx, tx.tx, query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		return stmt.QueryContext(tx.ctx, args...)
	}
	return tx.tx.QueryContext(tx.ctx, query, args...)
}

func (tx *Tx) queryRow(query string, args ...any) *sql.Row {
	if stmt := tx.texts.of(tx.ctx, tx.tx, query); stmt != nil { //nolint:sqlclosecheck // its transaction closes it
		return stmt.QueryRowContext(tx.ctx, args...)
	}
	return tx.tx.QueryRowContext(tx.ctx, query, args...)
}

// Write runs fn in the one write transaction there is at a time, and commits
// when fn returns nil. fn may run more than once: when the database is busy
// (at most 5 tries, fault 26), and when ids have to be claimed first. It must
// not call Write.
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	busyCount, needs := 0, map[string]int{}
	for {
		need, err := db.writeOnce(ctx, fn)
		switch {
		case need != "":
			if needs[need] == needTries {
				return fmt.Errorf("store: a transaction wants too many %s", need)
			}
			if err := db.claimIDs(ctx, need, idBlock<<needs[need]); err != nil {
				return err
			}
			needs[need]++
		case busy(err) && busyCount < busyTries-1:
			busyCount++
			if err := pause(ctx, time.Duration(busyCount)*(10+rand.N[time.Duration](20))*time.Millisecond); err != nil {
				return err
			}
		default:
			return translate(err)
		}
	}
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

func (db *DB) writeOnce(ctx context.Context, fn func(tx *Tx) error) (need string, err error) {
	if err := db.FatalError(); err != nil {
		return "", unavailable("The server lost a write to its disk and has to be restarted.", err)
	}
	db.writes.prepare(ctx)
	sqlTx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return "", db.watched(fmt.Errorf("begin: %w", err))
	}
	tx := &Tx{ctx: ctx, db: db, tx: sqlTx, texts: db.writes, now: db.now(), write: true, by: resource.SystemActor()}
	committed := false
	defer func() {
		if !committed {
			err = errors.Join(err, rollback(sqlTx))
			for _, undo := range tx.undo {
				undo()
			}
			if need != "" {
				for _, giveBack := range slices.Backward(tx.claimed) {
					giveBack()
				}
			}
		}
	}()
	if err := fn(tx); err != nil || tx.need != "" {
		return tx.need, db.watched(err)
	}
	if err := sqlTx.Commit(); err != nil {
		return "", db.watched(fmt.Errorf("commit: %w", err))
	}
	committed = true
	for _, key := range tx.keys {
		db.keys.Add(key)
	}
	db.watch.wake(tx.topics...)
	return "", nil
}

func rollback(tx *sql.Tx) error {
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

// Read runs fn on a snapshot of the last committed state. It never waits for a
// writer.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) (err error) {
	db.reads.prepare(ctx)
	sqlTx, err := db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return translate(fmt.Errorf("begin: %w", err))
	}
	defer func() { err = translate(errors.Join(err, rollback(sqlTx))) }()
	return fn(&Tx{ctx: ctx, db: db, tx: sqlTx, texts: db.reads, now: db.now(), by: resource.SystemActor()})
}
