package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func transactionTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"a failed transaction leaves nothing":     rolledBack,
		"ids are never used twice":                idsOnce,
		"a transaction may want many ids":         manyIDs,
		"a rolled-back data key is not used":      rolledBackKey,
		"watchers wake after commits, coalesced":  watchersWake,
		"readers do not wait and see one state":   snapshotReads,
		"a read transaction cannot write":         readOnly,
		"seeding twice changes nothing":           seedTwice,
		"one lost race of many is told to reload": races,
	}
}

var errNo = errors.New("no")

func rolledBack(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		e := &resource.Environment{Name: "Dev"}
		e.SpaceID = resource.DefaultSpace
		if err := store.Insert(tx, e); err != nil {
			return err
		}
		if err := store.Audit(tx, store.AuditRecord{Category: resource.EventCreated, Message: "Dev"}); err != nil {
			return err
		}
		return errNo
	})
	if !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	Read(t, db, func(tx *store.Tx) error {
		_, n, err := store.List[resource.Environment](tx, store.Query{AllSpaces: true})
		_, events, eventErr := store.ListEvents(tx, store.EventQuery{AllSpaces: true})
		if n != 0 || events != 0 {
			t.Errorf("%d environments and %d events stayed", n, events)
		}
		return errors.Join(err, eventErr)
	})
}

func idsOnce(t *testing.T, db *store.DB) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				var got []string
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					got = nil
					for range 3 {
						id, err := tx.NextID("ServerTasks")
						if err != nil {
							return err
						}
						got = append(got, id)
					}
					if (g+i)%5 == 0 {
						return errNo
					}
					return nil
				})
				if err != nil && !errors.Is(err, errNo) {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range got {
					if err == nil && seen[id] {
						t.Errorf("%s was given twice", id)
					}
					seen[id] = seen[id] || err == nil
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) < 8*32*3 {
		t.Errorf("only %d ids", len(seen))
	}
}

func manyIDs(t *testing.T, db *store.DB) {
	t.Helper()
	var first, last int64
	Write(t, db, func(tx *store.Tx) (err error) {
		if first, err = tx.NextNumber("many"); err != nil {
			return err
		}
		for range 3000 {
			if last, err = tx.NextNumber("many"); err != nil {
				return err
			}
		}
		return nil
	})
	if first != 1 || last != 3001 {
		t.Errorf("from %d to %d", first, last)
	}
}

func rolledBackKey(t *testing.T, db *store.DB) {
	t.Helper()
	seal := func(fail error) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.SealBox("Spaces-5", "k", "i", "f", "x")
			return errors.Join(err, fail)
		})
	}
	if err := seal(errNo); !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	if _, ok := db.Keys().Key("Spaces-5"); ok {
		t.Fatal("the key of a transaction that never was is in use")
	}
	if err := seal(nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := db.Keys().Key("Spaces-5"); !ok {
		t.Error("the key is not known after the commit")
	}
}

func watchersWake(t *testing.T, db *store.DB) {
	t.Helper()
	wake, cancel := db.Watch("x")
	other, cancelOther := db.Watch("y")
	defer cancelOther()
	notify := func(fail error) {
		err := db.Write(t.Context(), func(tx *store.Tx) error { tx.Notify("x"); return fail })
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	notify(errNo)
	select {
	case <-wake:
		t.Error("woken by a transaction that never was")
	default:
	}
	notify(nil)
	notify(nil)
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		t.Fatal("not woken")
	}
	select {
	case <-wake:
		t.Error("two wake-ups that nobody took were not one")
	case <-other:
		t.Error("woken by another topic")
	default:
	}
	cancel()
	notify(nil)
	select {
	case <-wake:
		t.Error("woken after cancel")
	default:
	}
}

func snapshotReads(t *testing.T, db *store.DB) {
	t.Helper()
	count := func(tx *store.Tx) int {
		n, err := store.CountDocs(tx, resource.EnvironmentKind, store.Query{AllSpaces: true})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	Write(t, db, func(tx *store.Tx) error {
		e := &resource.Environment{Name: "Dev"}
		e.SpaceID = resource.DefaultSpace
		if err := store.Insert(tx, e); err != nil {
			return err
		}
		return db.Read(t.Context(), func(reader *store.Tx) error { // while the writer is at work
			if n := count(reader); n != 0 {
				t.Errorf("a reader sees %d uncommitted environments", n)
			}
			return nil
		})
	})
	Read(t, db, func(tx *store.Tx) error {
		before := count(tx)
		Insert(t, db, &resource.Environment{Name: "Prod"})
		if after := count(tx); before != 1 || after != 1 {
			t.Errorf("one reader sees %d, then %d", before, after)
		}
		return nil
	})
}

func readOnly(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		return store.InsertAs(tx, &resource.Team{Name: "T"}, "teams-x")
	})
	if err == nil {
		t.Error("a read transaction wrote")
	}
}

func seedTwice(t *testing.T, db *store.DB) {
	t.Helper()
	Write(t, db, func(tx *store.Tx) error { return store.Seed(tx, store.Admin{Username: "other"}) })
	Read(t, db, func(tx *store.Tx) error {
		_, n, err := store.List[resource.User](tx, store.Query{})
		if n != 1 {
			t.Errorf("%d users", n)
		}
		return err
	})
}

func races(t *testing.T, db *store.DB) {
	t.Helper()
	p := Project(t, db, "P")
	var mu sync.Mutex
	won, lost := 0, 0
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			set := &resource.VariableSet{ID: p.VariableSetID, OwnerID: p.ID, Variables: []resource.Variable{{Name: fmt.Sprint("V", i)}}}
			err := db.Write(t.Context(), func(tx *store.Tx) error { return store.Update(tx, set) })
			mu.Lock()
			defer mu.Unlock()
			code := resource.CodeOf(err)
			if err == nil {
				won++
			} else if lost++; code != resource.Conflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("%d won, %d lost", won, lost)
	}
}
