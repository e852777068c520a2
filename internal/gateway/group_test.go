package gateway_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// A thousand reports that come within a moment are committed by at most twenty
// transactions, however they are spread over it, and one that comes alone does
// not wait for others.
func TestManyReportsTakeFewTransactions(t *testing.T) {
	t.Parallel()
	for _, apart := range []time.Duration{0, 10 * time.Microsecond, 250 * time.Microsecond} {
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				keys, err := secret.Load(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				db, err := store.Open(t.Context(), store.Config{Path: t.TempDir(), Keys: keys, Now: time.Now})
				if err != nil {
					t.Fatal(err)
				}
				reportAll(t, db, apart)
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func reportAll(t *testing.T, db *store.DB, apart time.Duration) {
	t.Helper()
	const reports = 1000
	group := gateway.NewGroup(t.Context(), db)
	report := func(i int) error {
		return group.Write(t.Context(), func(tx *store.Tx) error {
			event := rollout.Event{At: 1, Kind: rollout.Started, Attempt: fmt.Sprint(i)}
			return store.Post(tx, "ServerTasks-1", fmt.Sprint("started/", i), event, nil)
		})
	}
	errs := make([]error, reports)
	before := db.Stats()
	var all sync.WaitGroup
	for i := range reports {
		all.Go(func() {
			<-time.After(time.Duration(i) * apart)
			errs[i] = report(i)
		})
	}
	all.Wait()
	after := db.Stats()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := after.Transactions - before.Transactions; n > 20 || after.Rows-before.Rows != reports {
		t.Errorf("%d transactions and %d rows for %d reports, %v apart", n, after.Rows-before.Rows, reports, apart)
	}
	began := time.Now()
	if err := report(reports); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Millisecond {
		t.Errorf("a report that came alone took %v", took)
	}
}
