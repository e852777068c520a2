package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// shelf is a LogArchive in memory that can be made to fail.
type shelf struct {
	mu    sync.Mutex
	blobs map[string][]byte
	after func(key string) error // runs once the blob is kept
}

type book struct{ *bytes.Reader }

func (book) Close() error { return nil }

func (s *shelf) Keep(_ context.Context, r io.Reader) (string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	key := fmt.Sprint("blob-", len(s.blobs))
	s.blobs[key] = data
	after := s.after
	s.mu.Unlock()
	if after != nil {
		if err := after(key); err != nil {
			return "", err
		}
	}
	return key, nil
}

func (s *shelf) Open(_ context.Context, key string) (store.ArchivedLog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blobs[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return book{bytes.NewReader(data)}, nil
}

// archived is a store whose finished logs go to a shelf.
type archived struct {
	*store.DB
	t     *testing.T
	shelf *shelf
}

func newArchived(t *testing.T) *archived {
	t.Helper()
	folder := t.TempDir()
	keys, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: folder, Database: storetest.Database(t), Keys: keys, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	a := &archived{DB: db, t: t, shelf: &shelf{blobs: map[string][]byte{}}}
	db.Logs().UseArchive(a.shelf)
	return a
}

// attempt stores an attempt, which has ended or not.
func (a *archived) attempt(id, outcome string) {
	a.t.Helper()
	err := a.Exec(a.t.Context(), `INSERT INTO attempt (id, rollout_id, step, action, member, executor, try, outputs, payload_hash, created_at, sent_at, started_at,
		ended_at, outcome, exit_code, reason, log_length, warnings) VALUES ($1, '', 0, 0, '', '', 1, 0, '', 1, 1, 1, 1, $2, 0, '', 0, 0)`, id, outcome)
	if err != nil {
		a.t.Fatal(err)
	}
}

// write appends at an offset and returns how long the log is.
func (a *archived) write(attempt string, at int64, data []byte) int64 {
	a.t.Helper()
	committed, err := a.Logs().Append(a.t.Context(), []store.LogChunk{{Attempt: attempt, Offset: at, Data: data}})
	if err != nil {
		a.t.Fatal(err)
	}
	return committed[attempt]
}

// settle makes all logs as old as they have to be.
func (a *archived) settle() { store.ExecLogs(a.t, a.DB, `UPDATE log_stream SET updated = 0`) }

func (a *archived) seal(want int) {
	a.t.Helper()
	if n, err := a.Logs().Seal(a.t.Context()); n != want || err != nil {
		a.t.Fatalf("sealed %d logs, want %d: %v", n, want, err)
	}
}

func (a *archived) rows() int { return store.CountLogs(a.t, a.DB, `SELECT COUNT(*) FROM log_chunk`) }

// holds fails the test unless the log is these bytes, however it is read.
func (a *archived) holds(attempt string, want []byte) {
	a.t.Helper()
	if n, err := a.Logs().Length(a.t.Context(), attempt); n != int64(len(want)) || err != nil {
		a.t.Errorf("%d bytes, want %d: %v", n, len(want), err)
	}
	dice := rand.New(rand.NewPCG(3, uint64(len(want))))
	for i := range 40 {
		from, limit := 0, len(want)+1
		if i > 0 {
			from, limit = dice.IntN(len(want)+10), 1+dice.IntN(len(want))
		}
		got, err := a.Logs().Read(a.t.Context(), attempt, int64(from), limit)
		from = min(from, len(want))
		if err != nil || !bytes.Equal(got, want[from:min(from+limit, len(want))]) {
			a.t.Fatalf("from %d, %d: %d bytes, %v", from, limit, len(got), err)
		}
	}
}

func noise(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte('a' + i*i%23)
	}
	return data
}

// I6: a finished log is one compressed blob and no rows, and reads as before,
// in any part; so does one that grows afterwards, and one without a byte.
func TestFinishedLogsBecomeBlobs(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	want := noise(900_000)
	a.attempt("ended", "Succeeded")
	a.attempt("runs", "")
	for at := int64(0); at < int64(len(want)); {
		at = a.write("ended", at, want[at:min(at+7_777, int64(len(want)))])
	}
	a.write("runs", 0, want[:10])
	a.write("nobody's", 0, want[:10])
	a.seal(0) // too fresh
	a.settle()
	a.seal(1)
	if n := a.rows(); n != 2 {
		t.Errorf("%d pieces left, want those of the two that have not ended", n)
	}
	if size := len(a.shelf.blobs["blob-0"]); size == 0 || size > len(want)/10 {
		t.Errorf("the blob has %d bytes", size)
	}
	a.holds("ended", want)
	a.holds("runs", want[:10])
	a.seal(0)

	if n := a.write("ended", 0, want[:5_000]); n != int64(len(want)) {
		t.Errorf("%d bytes after a piece came again (fault 17)", n)
	}
	want = append(want, "and the tail"...)
	if n := a.write("ended", int64(len(want)-100), want[len(want)-100:]); n != int64(len(want)) {
		t.Errorf("%d bytes after a late piece", n)
	}
	a.holds("ended", want)
	a.settle()
	a.seal(1)
	a.holds("ended", want)
	if n := a.rows(); n != 2 {
		t.Errorf("%d pieces left", n)
	}
}

// I6: killed between the blob and its rows' end, nothing is lost or doubled,
// and the next round makes it good; the same where more comes in between.
func TestKilledBetweenBlobAndRows(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	want := noise(300_000)
	a.attempt("a", "Failed")
	a.write("a", 0, want)
	a.settle()
	killed := errors.New("killed")
	a.shelf.after = func(string) error { return killed }
	if _, err := a.Logs().Seal(t.Context()); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	a.holds("a", want)

	want = append(want, '!')
	a.shelf.after = func(string) error {
		if a.write("a", int64(len(want)-1), want[len(want)-1:]) != int64(len(want)) {
			t.Error("not taken")
		}
		return nil
	}
	a.seal(0)
	a.holds("a", want)
	a.shelf.after = nil
	a.settle()
	a.seal(1)
	a.holds("a", want)
	if len(a.shelf.blobs) != 3 || a.rows() != 0 {
		t.Errorf("%d blobs, %d pieces", len(a.shelf.blobs), a.rows())
	}
}

// A node that stood still for hours with a blob in its hand does not name it
// any more: those that nobody names may be gone by then (fault 30).
func TestStaleBlobIsNotNamed(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	a.attempt("a", "Succeeded")
	a.write("a", 0, noise(1000))
	a.settle()
	if named, err := a.Logs().NameOld(t.Context(), "a", "gone"); named || err != nil {
		t.Error(named, err)
	}
	a.holds("a", noise(1000))
}

// Many seal and read at the same time: every reader finds the whole log,
// wherever its bytes lie just then.
func TestSealWhileOthersReadAndSeal(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	want := noise(200_000)
	for i := range 20 {
		id := fmt.Sprint("a", i)
		a.attempt(id, "Succeeded")
		a.write(id, 0, want)
	}
	a.settle()
	done := make(chan struct{})
	var readers, sealers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				got, err := a.Logs().Read(t.Context(), fmt.Sprint("a", n%20), 0, len(want)+1)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	for range 3 {
		sealers.Go(func() {
			if _, err := a.Logs().Seal(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	sealers.Wait()
	close(done)
	readers.Wait()
	a.seal(0)
	if n := a.rows(); n != 0 {
		t.Errorf("%d pieces left", n)
	}
}

// A blob that was altered is an error, never other bytes than were logged.
func TestDamagedLogBlob(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	want := noise(600_000)
	a.attempt("a", "Succeeded")
	a.write("a", 0, want)
	a.settle()
	a.seal(1)
	whole := a.shelf.blobs["blob-0"]
	for at := 40; at < len(whole); at += 7 {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x10
		a.shelf.blobs["blob-0"] = bad
		got, err := a.Logs().Read(t.Context(), "a", 0, len(want))
		if err == nil && !bytes.Equal(got, want) {
			// What a changed byte does to a block is caught by its checksum.
			t.Fatalf("byte %d: other bytes came", at)
		}
	}
	delete(a.shelf.blobs, "blob-0")
	if _, err := a.Logs().Read(t.Context(), "a", 0, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzLogBlob: whatever lies in the store, reading it ends with bytes or an
// error, and takes no more memory than there are bytes.
func FuzzLogBlob(f *testing.F) {
	blob, err := io.ReadAll(store.PackLog("a", noise(300_000)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob, int64(0), int64(10))
	f.Add(blob[:len(blob)-1], int64(0), int64(10))
	f.Add([]byte(strings.Repeat("\xff", 40)+"SLIPLOG1"), int64(5), int64(1<<40))
	f.Fuzz(func(t *testing.T, blob []byte, from, n int64) {
		data, err := store.UnpackLog(blob, from, n)
		if err == nil && int64(len(data)) > max(n, 0) {
			t.Errorf("%d bytes where %d were asked for", len(data), n)
		}
	})
}

// On PostgreSQL each day has a table; it goes when all in it are blobs.
func TestLogsAreDividedByDay(t *testing.T) {
	t.Parallel()
	storetest.Postgres(t) // or skip
	a := newArchived(t)
	divide := func() {
		t.Helper()
		if err := a.Logs().Divide(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tables := func() int {
		return store.CountLogs(t, a.DB, `SELECT COUNT(*) FROM pg_inherits WHERE inhparent = to_regclass('log_chunk')`)
	}
	divide()
	divide()
	if n := tables(); n != 4 { // the rest, today and two days to come
		t.Errorf("%d tables", n)
	}
	a.attempt("a", "Succeeded")
	a.write("a", 0, noise(1000))
	if n := store.CountLogs(t, a.DB, `SELECT COUNT(*) FROM log_chunk_other`); n != 0 {
		t.Errorf("%d pieces are not in their day's table", n)
	}
	for _, day := range []int{1000, 1001} {
		store.ExecLogs(t, a.DB, fmt.Sprintf(`CREATE TABLE log_chunk_%d PARTITION OF log_chunk FOR VALUES FROM (%d) TO (%d)`, day, day, day+1))
	}
	store.ExecLogs(t, a.DB, `UPDATE log_chunk SET day = 1000`)
	divide()
	if n := tables(); n != 5 {
		t.Errorf("%d tables, want the one with rows to stay", n)
	}
	a.holds("a", noise(1000))
	a.settle()
	a.seal(1)
	divide()
	if n := tables(); n != 4 {
		t.Errorf("%d tables", n)
	}
	a.holds("a", noise(1000))
}
