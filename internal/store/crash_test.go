package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

const crashFolder = "SLIPWAY_TEST_CRASH_FOLDER"

// TestMain is also the server that TestKilled kills.
func TestMain(m *testing.M) {
	if folder := os.Getenv(crashFolder); folder != "" {
		fmt.Fprintln(os.Stderr, writeForEver(folder))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver prints each id, and each length of the log, once it is
// acknowledged.
func writeForEver(folder string) error {
	ctx := context.Background()
	keys, err := secret.Load(folder)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Path: folder, Keys: keys, Now: time.Now})
	if err != nil {
		return err
	}
	if err := db.Write(ctx, func(tx *store.Tx) error { return store.Seed(tx, store.Admin{Username: "admin"}) }); err != nil {
		return err
	}
	length, err := db.Logs().Length(ctx, "a")
	if err != nil {
		return err
	}
	for {
		var ids []string
		err := db.Write(ctx, func(tx *store.Tx) error {
			ids = nil
			for range 2 {
				e := &resource.Environment{Name: tx.NewGUID(), Description: strings.Repeat("x", 3000)}
				e.SpaceID = resource.DefaultSpace
				if err := store.Insert(tx, e); err != nil {
					return err
				}
				ids = append(ids, e.ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
		n, err := db.Logs().Append(ctx, []store.LogChunk{{Attempt: "a", Offset: length, Data: []byte("0123456789")}})
		if err != nil {
			return err
		}
		length = n["a"]
		if err := db.Exec(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil { // so that kills come in its midst, too
			return err
		}
		fmt.Println(strings.Join(ids, " "), length)
	}
}

// fault 23: killed in a commit or a checkpoint, the store is whole, has everything that was
// acknowledged, and nothing by half.
func TestKilled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var acknowledged []string
	var length int64
	for round := range 4 {
		lines := killAfter(t, folder, 5+13*round)
		for _, line := range lines {
			var a, b string
			if _, err := fmt.Sscan(line, &a, &b, &length); err != nil {
				continue // cut by the kill
			}
			acknowledged = append(acknowledged, a, b)
		}
	}
	db := reopen(t, folder)
	if err := db.Integrity(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	read(t, db, func(tx *store.Tx) error {
		for _, id := range acknowledged {
			if ok, err := store.Exists(tx, resource.EnvironmentKind, id); err != nil || !ok || seen[id] {
				t.Errorf("%s: there %v, twice %v, %v", id, ok, seen[id], err)
			}
			seen[id] = true
		}
		n, err := store.CountDocs(tx, resource.EnvironmentKind, store.Query{AllSpaces: true})
		if n%2 != 0 {
			t.Errorf("%d environments: half a transaction", n)
		}
		return err
	})
	data, err := db.Logs().Read(t.Context(), "a", 0, 1<<20)
	if err != nil || int64(len(data)) < length || strings.Trim(strings.ReplaceAll(string(data), "0123456789", ""), "") != "" {
		t.Errorf("log of %d bytes, %d acknowledged, %v", len(data), length, err)
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged")
	}
}

func killAfter(t *testing.T, folder string, n int) (lines []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^$")
	cmd.Env = append(os.Environ(), crashFolder+"="+folder)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		if lines = append(lines, scan.Text()); len(lines) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(lines) < n {
		t.Fatalf("the server ended by itself after %d lines: %v", len(lines), err)
	}
	return lines
}
