package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// driverError is what SQLite answers: an extended result code.
type driverError int

func (e driverError) Error() string { return fmt.Sprintf("sqlite %d", int(e)) }
func (e driverError) Code() int     { return int(e) }

const (
	sqliteBusy         = driverError(5)
	sqliteBusySnapshot = driverError(5 | 2<<8)
	sqliteFull         = driverError(13)
	sqliteReadOnly     = driverError(8)
	sqliteFsync        = driverError(10 | 4<<8)
	sqliteWrite        = driverError(10 | 3<<8)
	sqliteUnique       = driverError(19 | 8<<8)
	sqliteCheck        = driverError(19 | 1<<8)
)

// fault 26: a busy database is tried again, invisibly, at most five times.
func TestBusyIsRetried(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	for _, code := range []driverError{sqliteBusy, sqliteBusySnapshot} {
		for busy, want := range map[int]resource.Code{0: "", 1: "", 4: "", 5: resource.Unavailable, 50: resource.Unavailable} {
			runs := 0
			err := db.Write(t.Context(), func(*store.Tx) error {
				if runs++; runs <= busy {
					return fmt.Errorf("update x: %w", code)
				}
				return nil
			})
			if resource.CodeOf(err) != want || runs != min(busy+1, 5) {
				t.Errorf("busy %d times: %d runs, %v", busy, runs, err)
			}
		}
	}
}

func TestRetryEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	err := db.Write(ctx, func(*store.Tx) error {
		cancel(errors.New("the caller left"))
		return sqliteBusy
	})
	if err == nil || resource.CodeOf(err) == resource.Unavailable {
		t.Errorf("retried for nobody: %v", err)
	}
}

func TestDriverErrorsAreTranslated(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	for code, want := range map[driverError]resource.Code{
		sqliteFull: resource.Unavailable, sqliteReadOnly: resource.Unavailable, sqliteWrite: resource.Unavailable,
		sqliteUnique: resource.Conflict, sqliteCheck: resource.Internal,
	} {
		err := db.Write(t.Context(), func(*store.Tx) error { return fmt.Errorf("insert x: %w", code) })
		if resource.CodeOf(err) != want || !errors.Is(err, code) {
			t.Errorf("%d: %v, want %s", code, err, want)
		}
	}
	if db.FatalError() != nil {
		t.Errorf("fatal: %v", db.FatalError())
	}
}

// fault 22: after an fsync that failed nothing is written any more, and the
// process is told to exit.
func TestFailedFsyncEndsWriting(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	select {
	case <-db.Fatal():
		t.Fatal("fatal at the start")
	default:
	}
	if err := db.Write(t.Context(), func(*store.Tx) error { return sqliteFsync }); resource.CodeOf(err) != resource.Unavailable {
		t.Errorf("the write itself: %v", err)
	}
	<-db.Fatal()
	ran := false
	err := db.Write(t.Context(), func(*store.Tx) error { ran = true; return nil })
	if ran || resource.CodeOf(err) != resource.Unavailable || !errors.Is(db.FatalError(), sqliteFsync) {
		t.Errorf("the next write ran %v: %v; cause %v", ran, err, db.FatalError())
	}
	if _, err := db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: "a", Data: []byte("x")}}); resource.CodeOf(err) != resource.Unavailable {
		t.Errorf("the next log append: %v", err)
	}
	read(t, db, func(tx *store.Tx) error {
		_, err := store.Get[resource.Space](tx, "Spaces-1")
		return err
	})
}
