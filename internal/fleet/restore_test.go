package fleet_test

import (
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// fault 33: data from a backup may want an old release. A newcomer gets nothing
// by itself, and is not healthy, until a person has confirmed the restore.
func TestNothingCatchesUpAfterARestore(t *testing.T) {
	story(t, func(w *world) {
		w.neverHealthyInDebt()
		_, release := w.shipped(1)
		w.stop("engine")
		w.write(func(tx *store.Tx) error {
			_, err := store.Restore(tx, tx.Now())
			return err
		})
		w.startEngine()
		id := w.register("new", "web")
		w.connect(id)
		w.isWithin(soon, id, resource.HealthUnknown)
		w.pass(10 * time.Minute)
		w.is(id, resource.HealthUnknown)
		if list := w.catchUps(); len(list) != 0 || len(w.owed(id)) != 1 {
			w.t.Fatalf("caught up by itself: %+v, owed %+v", list, w.owed(id))
		}
		w.write(func(tx *store.Tx) error { return store.ConfirmRestored(tx, "admin") })
		w.caughtUp(soon, id, release)
	})
}
