package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

func benchStore(b *testing.B, machines int) *store.DB {
	b.Helper()
	folder := b.TempDir()
	keys, err := secret.Load(folder)
	if err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(b.Context(), store.Config{Path: folder, Keys: keys, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	err = db.Write(b.Context(), func(tx *store.Tx) error {
		if err := store.Seed(tx, store.Admin{Username: "admin"}); err != nil {
			return err
		}
		e := &resource.Environment{Name: "Dev"}
		e.SpaceID = resource.DefaultSpace
		if err := store.Insert(tx, e); err != nil {
			return err
		}
		for i := range machines {
			m := storetest.Machine(fmt.Sprint("m", i), e.ID, "web", "db")
			m.SpaceID = resource.DefaultSpace
			if err := store.Insert(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

func BenchmarkInsert(b *testing.B) {
	db := benchStore(b, 0)
	for i := 0; b.Loop(); i++ {
		err := db.Write(b.Context(), func(tx *store.Tx) error {
			m := storetest.Machine(fmt.Sprint("m", i), "Environments-1", "web", "db")
			m.SpaceID = resource.DefaultSpace
			return store.Insert(tx, m)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	db := benchStore(b, 1000)
	for i := 0; b.Loop(); i++ {
		err := db.Write(b.Context(), func(tx *store.Tx) error {
			m, err := store.Get[resource.Machine](tx, "Machines-500")
			if err != nil {
				return err
			}
			m.StatusSummary = fmt.Sprint(i)
			return store.Update(tx, m)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	db := benchStore(b, 1000)
	for b.Loop() {
		err := db.Read(b.Context(), func(tx *store.Tx) error {
			_, err := store.Get[resource.Machine](tx, "Machines-500")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPageOf10000(b *testing.B) {
	db := benchStore(b, 10_000)
	for b.Loop() {
		err := db.Read(b.Context(), func(tx *store.Tx) error {
			_, _, err := store.List[resource.Machine](tx, store.Query{Space: resource.DefaultSpace, Where: map[string][]string{"Roles": {"web"}}, Take: 30})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogAppend(b *testing.B) {
	db := benchStore(b, 0)
	data := make([]byte, 4096)
	b.SetBytes(int64(len(data)))
	b.RunParallel(func(pb *testing.PB) {
		attempt := secret.Random(8)
		offset := int64(0)
		for pb.Next() {
			n, err := db.Logs().Append(b.Context(), []store.LogChunk{{Attempt: attempt, Offset: offset, Data: data}})
			if err != nil {
				b.Error(err)
				return
			}
			offset = n[attempt]
		}
	})
}
