package store_test

import (
	"errors"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// What is counted is what was committed: a transaction that fails and a report
// that is there already add nothing.
func TestStatsCountCommittedRows(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir())
	storetest.Seed(t, db)
	queued(t, db, "ServerTasks-1")
	post := func(then error) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return errors.Join(store.Post(tx, "ServerTasks-1", "ended/a", rollout.Event{At: 1, Kind: rollout.Ended, Attempt: "a"}, nil), then)
		}
	}
	count := func(f func(*store.Tx) error) (store.Stats, error) {
		before := db.Stats()
		err := db.Write(t.Context(), f)
		after := db.Stats()
		return store.Stats{
			Transactions: after.Transactions - before.Transactions, Rows: after.Rows - before.Rows, Bytes: after.Bytes - before.Bytes,
		}, err
	}
	broken := errors.New("broken")
	if got, err := count(post(broken)); !errors.Is(err, broken) || got != (store.Stats{}) {
		t.Errorf("a transaction that failed: %+v %v", got, err)
	}
	got, err := count(post(nil))
	if err != nil || got.Transactions != 1 || got.Rows != 1 || got.Bytes < int64(len(`ServerTasks-1ended/a{}`)) || got.Bytes > 300 {
		t.Errorf("a report: %+v %v", got, err)
	}
	if got, err := count(post(nil)); err != nil || got != (store.Stats{Transactions: 1}) {
		t.Errorf("the same report again: %+v %v", got, err)
	}
	_, err = db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: "a", Data: []byte("hello")}, {Attempt: "a", Data: []byte("hello, you")}})
	if got := db.Logs().Stats(); err != nil || got != (store.Stats{Transactions: 1, Rows: 2, Bytes: 10}) {
		t.Errorf("a log of 10 bytes in two pieces that overlap: %+v %v", got, err)
	}
}
