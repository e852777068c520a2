package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/resource"
)

// LogChunk is a piece of an attempt's output; Offset counts bytes from its
// start.
type LogChunk struct {
	Attempt string
	Offset  int64
	Data    []byte
}

const (
	logQueue    = 256     // appends that wait for the committer
	logBatch    = 8 << 20 // bytes that one commit takes at most, beyond its first append
	maxLogChunk = 4 << 20 // bytes of one chunk
)

// Logs keeps the output of attempts in a database of its own, so that logs
// never hold up the engine. One committer groups what waits into one commit.
// Each attempt's bytes are without gap and without doubling, whatever comes
// twice, overlaps, or is missing (I6, fault 17).
type Logs struct {
	db     *DB
	writer *sql.DB
	reader *sql.DB
	queue  chan *logAppend
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
	wrote  counted
	// archive takes finished logs; nil: they stay rows
	archive LogArchive
}

type logAppend struct {
	chunks []LogChunk
	answer chan logAnswer
}

type logAnswer struct {
	committed map[string]int64
	err       error
}

func (db *DB) openLogs(ctx context.Context, path string) error {
	writer, err := openSQLite(path, true)
	if err != nil {
		return err
	}
	writer.SetMaxOpenConns(1)
	if err := migrate(ctx, writer, db.dialect, logSchema); err != nil {
		return errors.Join(err, writer.Close())
	}
	reader, err := openSQLite(path, false)
	if err != nil {
		return errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	db.logs = newLogs(db, writer, reader) //nolint:contextcheck // the committer outlives the opening call
	return nil
}

func newLogs(db *DB, writer, reader *sql.DB) *Logs {
	l := &Logs{db: db, writer: writer, reader: reader, queue: make(chan *logAppend, logQueue), stop: make(chan struct{}), done: make(chan struct{})}
	go l.commitAll()
	return l
}

func (l *Logs) close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.done
	if l.reader == l.db.reader {
		return l.writer.Close()
	}
	return errors.Join(l.writer.Close(), l.reader.Close())
}

// LogTopic is the topic that commits of the attempt's output notify.
func LogTopic(attempt string) string { return "log/" + attempt }

// Append stores chunks and returns, for each attempt in them, how many bytes
// of it are on disk without a gap: what may be acknowledged, and where to send
// from. Bytes already there are skipped, a chunk beyond the end is not taken.
// When Append fails, the bytes may be there or not: ask Length or send again.
func (l *Logs) Append(ctx context.Context, chunks []LogChunk) (map[string]int64, error) {
	for _, c := range chunks {
		if c.Offset < 0 || len(c.Data) > maxLogChunk {
			return nil, resource.Errorf(resource.Invalid, "A log chunk has to start at 0 or later and be at most 4 MiB.")
		}
	}
	a := &logAppend{chunks: chunks, answer: make(chan logAnswer, 1)}
	select {
	case l.queue <- a:
	case <-l.stop:
		return nil, unavailable("The server is stopping. Please try again.", nil)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case answer := <-a.answer:
		return answer.committed, answer.err
	case <-l.done:
		select {
		case answer := <-a.answer:
			return answer.committed, answer.err
		default:
			return nil, unavailable("The server is stopping. Please try again.", nil)
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *Logs) commitAll() {
	defer close(l.done)
	for {
		select {
		case a := <-l.queue:
			l.commit(l.gather(a))
		case <-l.stop:
			for {
				select {
				case a := <-l.queue:
					l.commit(l.gather(a))
				default:
					return
				}
			}
		}
	}
}

// gather takes what else waits.
func (l *Logs) gather(first *logAppend) []*logAppend {
	batch, size := []*logAppend{first}, 0
	for size < logBatch {
		select {
		case a := <-l.queue:
			batch = append(batch, a)
			for _, c := range a.chunks {
				size += len(c.Data)
			}
		default:
			return batch
		}
	}
	return batch
}

func (l *Logs) commit(batch []*logAppend) {
	// The committer outlives the callers: one that gives up does not undo the
	// bytes of the others.
	ctx := context.Background()
	lengths, err := l.store(ctx, batch)
	for try := 1; (l.db.again(err) || doubled(err)) && try < busyTries; try++ {
		if err = pause(ctx, jitter(try)); err == nil {
			lengths, err = l.store(ctx, batch)
		}
	}
	err = translate(l.db.watched(err))
	for _, a := range batch {
		answer := logAnswer{err: err}
		if err == nil {
			answer.committed = map[string]int64{}
			for _, c := range a.chunks {
				answer.committed[c.Attempt] = lengths[c.Attempt]
			}
		}
		a.answer <- answer
	}
	if err == nil {
		for attempt := range lengths {
			l.db.wake(LogTopic(attempt))
		}
	}
}

func (l *Logs) store(ctx context.Context, batch []*logAppend) (lengths map[string]int64, err error) {
	if err := l.db.FatalError(); err != nil {
		return nil, unavailable("The server lost a write to its disk and has to be restarted.", err)
	}
	tx, err := l.writer.BeginTx(ctx, l.isolation())
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { err = errors.Join(err, rollback(tx)) }()
	lengths, grown := map[string]int64{}, map[string]bool{}
	insert := `INSERT INTO log_chunk (attempt, at, data, day) VALUES ($1, $2, $3, ` + l.db.dialect.Now + ` / ` + dayMillis + `)` //nolint:gosec // the dialect is a constant
	var pieces, bytes int64
	for _, a := range batch {
		for _, c := range a.chunks {
			n, ok := lengths[c.Attempt]
			if !ok {
				if n, err = logLength(ctx, tx, c.Attempt); err != nil {
					return nil, err
				}
				lengths[c.Attempt] = n
			}
			//guard:log-gap I6: a log grows at its end alone; less `if c.Offset > n || c.Offset+`, with `if c.Offset = min(c.Offset, n); c.Offset+`; seen by ./internal/store TestALogHasNoGap
			if c.Offset > n || c.Offset+int64(len(c.Data)) <= n {
				continue
			}
			//guard:log-again I6: bytes that are there are not added again; less `[n-c.Offset:]`; seen by ./internal/store TestALogHasNoGap
			fresh := c.Data[n-c.Offset:]
			if _, err := tx.ExecContext(ctx, insert, c.Attempt, n, fresh); err != nil {
				return nil, fmt.Errorf("append to log %s: %w", c.Attempt, err)
			}
			lengths[c.Attempt], grown[c.Attempt] = n+int64(len(fresh)), true
			pieces, bytes = pieces+1, bytes+int64(len(fresh))
		}
	}
	for attempt := range grown {
		//nolint:gosec // the dialect is a constant
		_, err := tx.ExecContext(ctx, `INSERT INTO log_stream (attempt, length, updated) VALUES ($1, $2, `+l.db.dialect.Now+`)
			ON CONFLICT (attempt) DO UPDATE SET length = excluded.length, updated = excluded.updated, sealed = 0`, attempt, lengths[attempt])
		if err != nil {
			return nil, fmt.Errorf("append to log %s: %w", attempt, err)
		}
	}
	fail.Point(fail.LogCommit)
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	fail.Point(fail.LogCommitted)
	l.wrote.add(pieces, bytes)
	return lengths, nil
}

// isolation lets two nodes that append to one attempt not both do it: the
// second finds the length changed, or the bytes there, and runs again.
func (l *Logs) isolation() *sql.TxOptions {
	if l.db.postgres != nil {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}
	return nil
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func logLength(ctx context.Context, q rowQuerier, attempt string) (n int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT length FROM log_stream WHERE attempt = $1`, attempt).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("measure log %s: %w", attempt, err)
	}
	return n, nil
}

// Length is how many bytes of the attempt's output are on disk; 0 when there is
// none.
func (l *Logs) Length(ctx context.Context, attempt string) (int64, error) {
	n, err := logLength(ctx, l.reader, attempt)
	return n, translate(err)
}

// Read returns up to limit bytes of the attempt's output from an offset; none
// at or beyond its end.
func (l *Logs) Read(ctx context.Context, attempt string, from int64, limit int) (data []byte, err error) {
	if from < 0 || limit <= 0 {
		return nil, nil
	}
	for gone := 0; len(data) < limit; {
		some, more, err := l.readSome(ctx, attempt, from+int64(len(data)), limit-len(data))
		if errors.Is(err, fs.ErrNotExist) && gone < 2 { // a longer blob has just replaced it
			gone++
			continue
		}
		if err != nil {
			return nil, translate(fmt.Errorf("read log %s: %w", attempt, err))
		}
		if data = append(data, some...); !more || len(some) == 0 {
			break
		}
	}
	return data, nil
}

// readSome reads from the blob or from the rows, which one snapshot divides;
// more says that the other has what follows.
func (l *Logs) readSome(ctx context.Context, attempt string, from int64, limit int) (data []byte, more bool, err error) {
	tx, err := l.reader.BeginTx(ctx, l.snapshot())
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rollback(tx)) }()
	s, err := streamOf(ctx, tx, attempt)
	if err != nil || from >= s.length {
		return nil, false, err
	}
	if from >= s.blobLength {
		data, err = readRowsOf(ctx, tx, attempt, from, limit)
		return data, false, err
	}
	if err := tx.Rollback(); err != nil { // storage may take its time
		return nil, false, err
	}
	data, err = l.readBlob(ctx, s.blob, from, min(int64(limit), s.blobLength-from))
	return data, s.length > s.blobLength, err
}

func (l *Logs) snapshot() *sql.TxOptions {
	if l.db.postgres != nil {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	return &sql.TxOptions{ReadOnly: true}
}

// stream is what is known of an attempt's output as a whole.
type stream struct {
	length     int64
	blob       string // key of the blob with its beginning; empty: none
	blobLength int64  // how much of it that is
}

func streamOf(ctx context.Context, q rowQuerier, attempt string) (s stream, err error) {
	err = q.QueryRowContext(ctx, `SELECT length, blob, blob_length FROM log_stream WHERE attempt = $1`, attempt).Scan(&s.length, &s.blob, &s.blobLength)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return s, err
}

func readRowsOf(ctx context.Context, tx *sql.Tx, attempt string, from int64, limit int) (data []byte, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT at, data FROM log_chunk WHERE attempt = $1 AND at >=
		(SELECT COALESCE(MAX(at), 0) FROM log_chunk WHERE attempt = $1 AND at <= $2) ORDER BY at`, attempt, from)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(data) < limit && rows.Next() {
		var at int64
		var chunk sql.RawBytes
		if err := rows.Scan(&at, &chunk); err != nil {
			return nil, err
		}
		if skip := from + int64(len(data)) - at; skip < int64(len(chunk)) {
			piece := chunk[skip:]
			data = append(data, piece[:min(len(piece), limit-len(data))]...)
		}
	}
	return data, rows.Err()
}

// Remove forgets the output of attempts. An agent that sends more of one starts
// it again from the beginning.
func (l *Logs) Remove(ctx context.Context, attempts ...string) (err error) {
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return translate(fmt.Errorf("remove logs: %w", err))
	}
	defer func() { err = translate(errors.Join(err, rollback(tx))) }()
	for _, attempt := range attempts {
		for _, query := range []string{`DELETE FROM log_chunk WHERE attempt = $1`, `DELETE FROM log_stream WHERE attempt = $1`} {
			if _, err := tx.ExecContext(ctx, query, attempt); err != nil {
				return fmt.Errorf("remove log %s: %w", attempt, err)
			}
		}
	}
	return tx.Commit()
}
