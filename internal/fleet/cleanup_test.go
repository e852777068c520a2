package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

const gracious = 10 * time.Minute // how long the stories' policy waits

// cleans makes the default policy remove machines that are silent for so long.
func (w *world) cleans(after time.Duration) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
		if err != nil {
			return err
		}
		policy.MachineCleanupPolicy = resource.MachineCleanupPolicy{
			DeleteMachinesBehavior: resource.DeleteUnavailable, DeleteMachinesElapsedTimeSpan: resource.TimeSpan(after),
		}
		return store.Update(tx, policy)
	})
}

// idle stops what the story does not need, so that its time passes quickly.
func (w *world) idle() { w.stop("engine"); w.stop("agents") }

func (w *world) there(id string) bool {
	w.t.Helper()
	there := false
	w.read(func(tx *store.Tx) (err error) {
		there, err = store.Exists(tx, resource.MachineKind, id)
		return err
	})
	return there
}

// goneBetween demands that the machine is removed, no sooner and no later.
func (w *world) goneBetween(id string, least, most time.Duration) {
	w.t.Helper()
	w.pass(least)
	if !w.there(id) {
		w.t.Fatalf("%s was removed before %s", id, least)
	}
	w.within(most-least, id+" is removed", func(tx *store.Tx) (bool, error) {
		there, err := store.Exists(tx, resource.MachineKind, id)
		return !there, err
	})
}

// asks are the questions about removals that were put to people.
func (w *world) asks() (list []string) {
	w.t.Helper()
	for _, text := range w.events(resource.EventMachineUnavailable) {
		if strings.Contains(text, "none was removed") {
			list = append(list, text)
		}
	}
	return list
}

// Removal of machines that stay away is off by default.
func TestRemovalIsOffByDefault(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(6)
		w.idle()
		w.disconnect(ids[0])
		w.pass(time.Hour)
		if !w.there(ids[0]) {
			t.Error("it was removed")
		}
	})
}

// Where a policy says so, a machine that stays away is removed, with what the
// server knew of it and an event; a rollout that waits for it goes on.
func TestAMachineIsRemoved(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(12)
		w.cleans(gracious)
		never := w.register("never-there", "database")
		w.disconnect(ids[0])
		w.pass(4 * time.Minute)
		w.connect(ids[0])
		w.pass(time.Second)
		w.disconnect(ids[0]) // the count begins anew, however short it was there
		w.pass(7 * time.Minute)
		if w.there(never) {
			t.Error("a machine that never came is still there")
		}
		w.write(func(tx *store.Tx) error { // one that waits long for its machines
			policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
			if err != nil {
				return err
			}
			policy.PollingRequestQueueTimeout = resource.TimeSpan(10 * time.Hour)
			return store.Update(tx, policy)
		})
		_, task := w.ship(w.project)
		w.goneBetween(ids[0], 2*time.Minute, 4*time.Minute)
		if ended := w.ends(task, store.TaskSuccess); !ended.HasWarnings {
			t.Error("the rollout does not warn of the machine that is gone")
		}
		for _, m := range w.members(task) {
			if want := map[bool]rollout.MemberState{true: rollout.MemberSuperseded, false: rollout.MemberLive}[m.ID == ids[0]]; m.State != want {
				t.Errorf("%s is %s", m.Name, m.State)
			}
		}
		if events := w.events(resource.EventMachineDeleted); len(events) != 2 || !strings.Contains(events[0], "web-01 was removed: it was silent") {
			t.Errorf("events: %q", events)
		}
		w.read(func(tx *store.Tx) error {
			session, err := store.GetSession(tx, ids[0])
			if session != nil {
				t.Error("its session is left")
			}
			return err
		})
	})
}

// Only time counts in which the server ran, and heard another machine: an
// outage of its own is no machine's silence (pain 2 of fleets.md, fault 28).
func TestOnlyHeardTimeCounts(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(6)
		w.idle()
		w.cleans(gracious)
		w.disconnect(ids[0])
		w.pass(5 * time.Minute)
		w.stop("fleet") // the server is down
		w.pass(time.Hour)
		w.startFleet()
		w.pass(2 * sweep)
		for _, id := range ids[1:] { // its network is down
			w.disconnect(id)
		}
		w.pass(time.Hour)
		for _, id := range ids {
			if !w.there(id) {
				t.Fatalf("%s was removed", id)
			}
		}
		for _, id := range ids[1:] {
			w.connect(id)
		}
		w.goneBetween(ids[0], 3*time.Minute, 5*time.Minute)
	})
}

// A machine that is switched off, or whose link is held back, is not silent.
func TestSwitchedOffAndHeldAreNotSilent(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(11)
		w.idle()
		w.cleans(gracious)
		w.change(ids[0], func(m *resource.Machine) { m.IsDisabled = true })
		w.disconnect(ids[0])
		w.write(func(tx *store.Tx) error {
			return store.HoldSession(tx, &store.Session{Machine: ids[1], Node: "node-1", State: store.SessionDuplicate, Reason: "Duplicate identity: two agents."})
		})
		w.pass(30 * time.Minute)
		if !w.there(ids[0]) || !w.there(ids[1]) {
			t.Errorf("switched off: there %v; held: there %v", w.there(ids[0]), w.there(ids[1]))
		}
		w.change(ids[0], func(m *resource.Machine) { m.IsDisabled = false }) // it is to be there from now on
		w.goneBetween(ids[0], gracious-time.Minute, gracious+time.Minute)
	})
}

// More than a fifth at once is a person's decision: it is asked for once, not
// with every look, and nothing is removed, also where the machines fell silent
// one after the other.
func TestTooManyAtOnceIsAQuestion(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(10)
		w.idle()
		w.cleans(gracious)
		for i, id := range ids[:3] {
			w.disconnect(id)
			w.pass(time.Duration(i) * time.Minute)
		}
		w.pass(time.Hour)
		for _, id := range ids {
			if !w.there(id) {
				t.Fatalf("%s was removed", id)
			}
		}
		want := "3 of 10 machines are silent for longer than their policies allow, or about to be. That is more than 20 % at once, so none was removed. Delete those that are gone."
		if asks := w.asks(); len(asks) != 1 || asks[0] != want {
			t.Errorf("asked: %q", asks)
		}
		w.disconnect(ids[3]) // another number is another question
		w.pass(30 * time.Minute)
		if asks := w.asks(); len(asks) != 2 || !strings.HasPrefix(asks[0], "4 of 10") {
			t.Errorf("asked: %q", asks)
		}
		for _, id := range ids[:2] { // a fifth is not too many
			w.connect(id)
		}
		w.within(time.Minute, "those who stay away are removed", func(tx *store.Tx) (bool, error) {
			_, n, err := store.List[resource.Machine](tx, store.Query{Space: space})
			return n == 8, err
		})
	})
}

// A machine that a policy removed and that registers again is new: it gets the
// release.
func TestARemovedMachineComesBack(t *testing.T) {
	story(t, func(w *world) {
		ids, release := w.shipped(6)
		w.cleans(gracious)
		w.disconnect(ids[0])
		w.goneBetween(ids[0], gracious-time.Minute, gracious+time.Minute)
		id := w.machine("web-01", "web")
		if id == ids[0] {
			t.Error("it has its old id")
		}
		w.caughtUp(soon, id, release)
		if n := len(w.agents.started(id)); n != 1 {
			t.Error(fmt.Sprint("started ", n, " times"))
		}
	})
}
