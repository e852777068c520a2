package storetest

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func secretTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"secrets are sealed, kept, replaced and cleared": secretLife,
		"a snapshot's secrets are its own":               snapshotSecrets,
		"a sealed value of elsewhere is refused":         foreignBox,
		"loose values are sealed for their place":        looseBoxes,
	}
}

func feed(t *testing.T, db *store.DB) *resource.Feed {
	t.Helper()
	f := &resource.Feed{Name: "NuGet", FeedType: resource.FeedNuGet, FeedURI: "https://example.com/v3/index.json", Password: resource.Plain("hunter2")}
	Insert(t, db, f)
	return f
}

func reveal(t *testing.T, db *store.DB, id string) string {
	t.Helper()
	text := ""
	Read(t, db, func(tx *store.Tx) error {
		f, err := store.Get[resource.Feed](tx, id)
		if err != nil {
			return err
		}
		if _, ok := f.Password.Reveal(); ok {
			t.Error("a secret is read in the open")
		}
		if err := store.Unseal(tx, f); err != nil {
			return err
		}
		text, _ = f.Password.Reveal()
		return nil
	})
	return text
}

func secretLife(t *testing.T, db *store.DB) {
	t.Helper()
	f := feed(t, db)
	update := func(s resource.Sensitive) {
		t.Helper()
		f.Password = s
		Write(t, db, func(tx *store.Tx) error { return store.Update(tx, f) })
	}
	if got := reveal(t, db, f.ID); got != "hunter2" {
		t.Errorf("sealed: %q", got)
	}
	update(resource.Kept())
	if got := reveal(t, db, f.ID); got != "hunter2" {
		t.Errorf("kept: %q", got)
	}
	Write(t, db, func(tx *store.Tx) error { // read, change something else, write
		doc, err := store.Get[resource.Feed](tx, f.ID)
		if err != nil {
			return err
		}
		doc.Username = "me"
		return store.Update(tx, doc)
	})
	if got := reveal(t, db, f.ID); got != "hunter2" {
		t.Errorf("after another change: %q", got)
	}
	update(resource.Plain("next"))
	if got := reveal(t, db, f.ID); got != "next" {
		t.Errorf("replaced: %q", got)
	}
	update(resource.Sensitive{})
	update(resource.Kept())
	Read(t, db, func(tx *store.Tx) error {
		doc, err := store.Get[resource.Feed](tx, f.ID)
		if err == nil && doc.Password.HasValue() {
			t.Error("a cleared secret came back")
		}
		return err
	})
	if f.Password.HasValue() {
		t.Error("what was kept but is not there still shows a value")
	}
}

func snapshotSecrets(t *testing.T, db *store.DB) {
	t.Helper()
	p := Project(t, db, "P")
	id := resource.SnapshotID(p.VariableSetID, 1, "ABCDE")
	Write(t, db, func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, p.VariableSetID)
		if err != nil {
			return err
		}
		set.Variables = []resource.Variable{{Name: "Password", IsSensitive: true, Type: resource.TypeSensitive, Secret: resource.Plain("hunter2")}}
		return store.Update(tx, set)
	})
	Write(t, db, func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, p.VariableSetID)
		if err != nil {
			return err
		}
		return store.Reseal(tx, set, id)
	})
	Read(t, db, func(tx *store.Tx) error {
		original, err := store.Get[resource.VariableSet](tx, p.VariableSetID)
		if err != nil {
			return err
		}
		snapshot, err := store.Get[resource.VariableSet](tx, id)
		if err != nil {
			return err
		}
		if snapshot.Version != original.Version || snapshot.OwnerID != p.ID {
			t.Errorf("snapshot: %+v", snapshot)
		}
		box, _ := original.Variables[0].Secret.Box()
		field := "Variables/" + original.Variables[0].ID
		if _, err := tx.OpenBox("VariableSet", id, field, box); err == nil {
			t.Error("the original's box opens for the snapshot") // abuse 75
		}
		if err := store.Unseal(tx, snapshot); err != nil {
			return err
		}
		if plain, _ := snapshot.Variables[0].Secret.Reveal(); plain != "hunter2" {
			t.Errorf("snapshot's secret: %q", plain)
		}
		return nil
	})
}

func foreignBox(t *testing.T, db *store.DB) {
	t.Helper()
	f := feed(t, db)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		doc, err := store.Get[resource.Feed](tx, f.ID)
		if err != nil {
			return err
		}
		doc.Name = "Copy"
		return store.Insert(tx, doc)
	})
	if err == nil {
		t.Error("a copy took over a box that is bound to the original")
	}
}

func looseBoxes(t *testing.T, db *store.DB) {
	t.Helper()
	var box []byte
	Write(t, db, func(tx *store.Tx) (err error) {
		box, err = tx.SealBox("Spaces-7", "output", "ServerTasks-1", "1", "hunter2")
		return err
	})
	Read(t, db, func(tx *store.Tx) error {
		if plain, err := tx.OpenBox("output", "ServerTasks-1", "1", box); err != nil || plain != "hunter2" {
			t.Errorf("%q, %v", plain, err)
		}
		if _, err := tx.OpenBox("output", "ServerTasks-2", "1", box); err == nil {
			t.Error("it opens for another task")
		}
		return nil
	})
}
