package store_test

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

func TestSuiteOnPostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		t.Helper()
		return storetest.Node(t, storetest.Postgres(t), t.TempDir())
	})
}

// nodes are several stores over one database, seeded.
func nodes(t *testing.T, address string, n int) []*store.DB {
	t.Helper()
	folder, list := t.TempDir(), make([]*store.DB, n)
	for i := range list {
		list[i] = storetest.Node(t, address, folder)
	}
	storetest.Seed(t, list[0])
	return list
}

// with adds a setting to an address.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// silent reads how long a machine was silent; quiet adds one to it: a
// transaction that reads what it writes, with no lock of its own.
func silent(t *testing.T, db *store.DB, machine string) (n int64) {
	t.Helper()
	storetest.Read(t, db, func(tx *store.Tx) error {
		facts, err := store.MachineFacts(tx)
		n = facts[machine].SilentMS
		return err
	})
	return n
}

func quiet(tx *store.Tx, machine string) error {
	facts, err := store.MachineFacts(tx)
	if err != nil {
		return err
	}
	f := facts[machine]
	f.Machine = machine
	f.SilentMS++
	return store.SaveMachineFact(tx, f)
}

// fault 26: transactions of several nodes that are in each other's way all
// succeed, and leave what they would have left one after the other.
func TestWritersOfSeveralNodes(t *testing.T) {
	t.Parallel()
	list := nodes(t, storetest.Postgres(t), 3)
	const each, rounds = 4, 15
	var wg sync.WaitGroup
	for _, db := range list {
		for range each {
			wg.Go(func() {
				for range rounds {
					if err := db.Write(t.Context(), func(tx *store.Tx) error { return quiet(tx, "Machines-1") }); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := silent(t, list[0], "Machines-1"); n != int64(len(list)*each*rounds) {
		t.Errorf("%d of %d writes are there", n, len(list)*each*rounds)
	}
}

// fault 25: a connection that breaks before, at or after the commit. What was
// stored is not stored again, what was not is tried again.
func TestCutCommits(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t)
	for name, mode := range map[string]cutMode{"before it": cutBefore, "its answer": cutAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := newProxy(t, address)
			db := nodes(t, proxy.address, 1)[0]
			for i := range 10 {
				machine := fmt.Sprint(name, i)
				proxy.cut(mode)
				storetest.Write(t, db, func(tx *store.Tx) error { return quiet(tx, machine) })
				if n := silent(t, db, machine); n != 1 {
					t.Errorf("%s was written %d times", machine, n)
				}
			}
			if n := proxy.cuts.Load(); n < 10 {
				t.Errorf("only %d cuts", n)
			}
		})
	}
}

// fault 25: a restart of the database breaks every connection; the next
// transaction makes new ones.
func TestAllConnectionsCut(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, storetest.Postgres(t))
	db := nodes(t, proxy.address, 1)[0]
	for i := range 5 {
		proxy.cutAll()
		storetest.Write(t, db, func(tx *store.Tx) error { return quiet(tx, "Machines-1") })
		if n := silent(t, db, "Machines-1"); n != int64(i+1) {
			t.Errorf("%d writes of %d", n, i+1)
		}
	}
}

// fault 30: a node that is paused in the middle of a transaction holds up the
// others no longer than the database lets it, and finds what they have written
// when it goes on.
func TestPausedInATransaction(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t)
	paused := nodes(t, with(t, address, "idle_in_transaction_session_timeout", "300"), 1)[0]
	other := nodes(t, address, 1)[0]
	entered, resume := make(chan struct{}), make(chan struct{})
	result, runs := make(chan error, 1), 0
	go func() {
		result <- paused.Write(t.Context(), func(tx *store.Tx) error {
			err := quiet(tx, "Machines-1")
			if runs++; runs == 1 {
				close(entered)
				<-resume
			}
			return err
		})
	}()
	<-entered
	began := time.Now()
	storetest.Write(t, other, func(tx *store.Tx) error { return quiet(tx, "Machines-1") })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("held up for %s", took)
	}
	close(resume)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if n := silent(t, other, "Machines-1"); n != 2 || runs < 2 {
		t.Errorf("%d writes after %d runs, want 2 after 2 or more", n, runs)
	}
}

// Wake-ups reach the other nodes.
func TestWatchOnAnotherNode(t *testing.T) {
	t.Parallel()
	list := nodes(t, storetest.Postgres(t), 2)
	wake, cancel := list[1].Watch("x")
	defer cancel()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond) // it may not listen yet
	defer tick.Stop()
	for {
		storetest.Write(t, list[0], func(tx *store.Tx) error { tx.Notify("x"); return nil })
		select {
		case <-wake:
			return
		case <-deadline:
			t.Fatal("not woken")
		case <-tick.C:
		}
	}
}

// Ids are unique across nodes.
func TestIDsOfSeveralNodes(t *testing.T) {
	t.Parallel()
	list := nodes(t, storetest.Postgres(t), 3)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for _, db := range list {
		wg.Go(func() {
			for range 120 {
				var id string
				err := db.Write(t.Context(), func(tx *store.Tx) (err error) { id, err = tx.NextID("Projects"); return err })
				mu.Lock()
				if err != nil || seen[id] {
					t.Errorf("%s: twice %v, %v", id, seen[id], err)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// I11: records whose numbers commit out of order are all under a seal.
func TestAuditOfSeveralNodes(t *testing.T) {
	t.Parallel()
	list := nodes(t, storetest.Postgres(t), 2)
	audit := func(tx *store.Tx) error {
		return store.Audit(tx, store.AuditRecord{Category: resource.EventCreated, Message: "m", Related: []string{"Projects-1"}})
	}
	sealed := 0
	for i := range 6 {
		storetest.Write(t, list[i%2], audit) // each from a block of its own
		storetest.Write(t, list[0], func(tx *store.Tx) error {
			n, err := store.SealAudit(tx)
			sealed += n
			return err
		})
		storetest.Read(t, list[1], store.VerifyAudit)
	}
	if sealed != 6 {
		t.Errorf("%d records of 6 are sealed", sealed)
	}
}

// I6: two nodes that take the same output in leave it once.
func TestLogOnTwoNodes(t *testing.T) {
	t.Parallel()
	list := nodes(t, storetest.Postgres(t), 2)
	text := make([]byte, 30_000)
	for i := range text {
		text[i] = byte('a' + i%26)
	}
	var wg sync.WaitGroup
	for n, db := range list {
		wg.Go(func() {
			for at := 0; at < len(text); {
				end := min(len(text), at+100+37*n)
				committed, err := db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: "a", Offset: int64(at), Data: text[at:end]}})
				if err != nil {
					t.Error(err)
					return
				}
				at = int(committed["a"])
			}
		})
	}
	wg.Wait()
	for _, db := range list {
		got, err := db.Logs().Read(t.Context(), "a", 0, 2*len(text))
		if err != nil || string(got) != string(text) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// What no text of PostgreSQL can hold is replaced, wherever it comes from
// (abuse 59).
func TestBadTexts(t *testing.T) {
	t.Parallel()
	db := nodes(t, storetest.Postgres(t), 1)[0]
	storetest.Write(t, db, func(tx *store.Tx) error {
		return store.SaveArtifact(tx, &store.Artifact{Attempt: "a", Item: "1", Name: "a\x00b\xffc"})
	})
	var name string
	if err := db.Text(t.Context(), `SELECT name FROM attempt_artifact WHERE attempt_id = $1`, "a", &name); err != nil || name != "a\uFFFDb\uFFFDc" {
		t.Errorf("%q, %v", name, err)
	}
}

// The address is checked before anything is dialled, and no error shows its
// password.
func TestDatabaseAddress(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, address := range []string{
		"mysql://root:CANARY@h/d", "postgres://u:CANARY@h:99999999/d", "postgres://u:CANARY@127.0.0.1:1/d?connect_timeout=1",
	} {
		_, err := store.Open(t.Context(), store.Config{Path: folder, Database: address, Keys: keys(t, folder)})
		if _, ours := errors.AsType[*resource.Error](err); !ours || containsSecret(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
