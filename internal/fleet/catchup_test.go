package fleet_test

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// A machine that is new in an environment and role gets the release that last
// succeeded there before it counts as healthy, at once.
func TestANewcomerGetsTheRelease(t *testing.T) {
	story(t, func(w *world) {
		w.machines(2)
		release, task := w.ship(w.project)
		w.ends(task, store.TaskSuccess)
		w.quiet()
		id := w.register("new", "web")
		w.isWithin(soon, id, resource.HealthUnavailable)
		w.connect(id)
		w.isWithin(soon, id, resource.Healthy)
		if got := w.runs(id, w.project); got != release.ID {
			t.Errorf("it runs %q, want %s", got, release.ID)
		}
		if list := w.catchUps(); len(list) != 1 || list[0].State != store.TaskSuccess {
			t.Errorf("catch-ups: %+v", list)
		}
	})
}
