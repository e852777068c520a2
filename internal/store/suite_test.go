package store_test

import (
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		t.Helper()
		folder := t.TempDir()
		keys, err := secret.Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), store.Config{Path: folder, Keys: keys, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	})
}
