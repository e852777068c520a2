package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// PostgresEnv names the variable with the address of a PostgreSQL server for
// tests; `make test-pg` sets it.
const PostgresEnv = "SLIPWAY_TEST_POSTGRES"

// Postgres is the address of a schema of its own on the test's PostgreSQL
// server, empty and gone with the test. Without a server the test is skipped.
func Postgres(tb testing.TB) string {
	tb.Helper()
	address := os.Getenv(PostgresEnv)
	if address == "" {
		tb.Skip(PostgresEnv + " is not set: run make test-pg")
	}
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		tb.Fatal(err)
	}
	schema := fmt.Sprintf("test_%016x", rand.Uint64()) //nolint:gosec // names a schema, keeps no secret
	if _, err := db.ExecContext(tb.Context(), "CREATE SCHEMA "+schema); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx := context.WithoutCancel(tb.Context())
		if _, err := db.ExecContext(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			tb.Error(err)
		}
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// Database is the address of a schema of its own where the tests run on
// PostgreSQL, and empty where they run on SQLite: the rigs of the packages that
// use the store open it with it, so that `make test-pg` runs their tests on
// both.
func Database(tb testing.TB) string {
	tb.Helper()
	if os.Getenv(PostgresEnv) == "" {
		return ""
	}
	return Postgres(tb)
}

// OnlySQLite skips a test that looks into SQLite's files.
func OnlySQLite(tb testing.TB) {
	tb.Helper()
	if os.Getenv(PostgresEnv) != "" {
		tb.Skip("it looks into SQLite's files")
	}
}

// Node opens the store as one of the nodes that share a database and the master
// key in a folder.
func Node(t *testing.T, address, keyFolder string) *store.DB {
	t.Helper()
	keys, err := secret.Load(keyFolder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: t.TempDir(), Database: address, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
