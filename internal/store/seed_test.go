package store_test

import (
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// clock is a moment that tests move by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// open opens a store in a folder, seeded.
func open(t *testing.T, folder string) *store.DB {
	t.Helper()
	keys, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: folder, Keys: keys, Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *store.Tx) error { return store.Seed(tx, store.Admin{Username: "admin"}) })
	return db
}

func newStore(t *testing.T) *store.DB {
	t.Helper()
	db := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func write(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// The ids that clients hard-code (octopus-api.md 2.0).
func TestSeed(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	write(t, db, func(tx *store.Tx) error { return store.Seed(tx, store.Admin{Username: "other"}) })
	read(t, db, func(tx *store.Tx) error {
		for id, kind := range map[string]*resource.Kind{
			"Spaces-1": resource.SpaceKind, "Lifecycles-1": resource.LifecycleKind, "ProjectGroups-1": resource.ProjectGroupKind,
			"MachinePolicies-1": resource.MachinePolicyKind, "WorkerPools-1": resource.WorkerPoolKind, "feeds-builtin": resource.FeedKind,
			"teams-spacemanagers-Spaces-1": resource.TeamKind, "teams-everyone": resource.TeamKind, "Users-1": resource.UserKind,
			"userroles-systemadministrator": resource.UserRoleKind,
		} {
			if ok, err := store.Exists(tx, kind, id); err != nil || !ok {
				t.Errorf("%s %s: exists %v, %v", kind.Name, id, ok, err)
			}
		}
		space, err := store.Get[resource.Space](tx, "Spaces-1")
		if err != nil {
			return err
		}
		if !space.IsDefault || space.Slug != "default" || len(space.SpaceManagersTeams) != 1 {
			t.Errorf("default space: %+v", space)
		}
		if _, n, err := store.List[resource.User](tx, store.Query{}); err != nil || n != 1 {
			t.Errorf("seeding twice: %d users, %v", n, err)
		}
		return nil
	})
}

// Counters are global: the second space gets Lifecycles-2.
func TestSeedSecondSpace(t *testing.T) {
	t.Parallel()
	db := newStore(t)
	space := &resource.Space{Name: "Second", SpaceManagersTeamMembers: []string{"Users-1"}}
	write(t, db, func(tx *store.Tx) error { return store.SeedSpace(tx, space) })
	if space.ID != "Spaces-2" {
		t.Errorf("second space is %s", space.ID)
	}
	read(t, db, func(tx *store.Tx) error {
		list, n, err := store.List[resource.Lifecycle](tx, store.Query{Space: "Spaces-2"})
		if err != nil || n != 1 || list[0].ID != "Lifecycles-2" {
			t.Errorf("lifecycles of the second space: %v, %v", list, err)
		}
		return nil
	})
}
