package engine_test

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

func (n *node) connect(machine string) {
	n.t.Helper()
	n.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: machine, Node: "node-1", State: store.SessionConnected, Incarnation: 1})
	})
}

// fault 35: a machine that connects while the rollout runs joins it, and the
// end waits for it.
func TestAMachineThatConnectsJoins(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	first := n.awaitStart(web)
	newcomer := n.machine("web22", "web")
	n.connect(newcomer)
	stranger := n.machine("db", "db")
	n.connect(stranger)
	second := n.awaitStart(newcomer)
	n.end(first, rollout.OutcomeSucceeded)
	n.settled(id)
	n.read(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, id)
		if err == nil && task.State != store.TaskExecuting {
			t.Errorf("the end did not wait: %s", task.State)
		}
		return err
	})
	n.end(second, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		for machine, want := range map[string]int{newcomer: 1, stranger: 0} {
			deployed, err := store.DeployedOn(tx, machine)
			if err != nil || len(deployed) != want {
				t.Errorf("%s runs %+v, %v", machine, deployed, err)
			}
		}
		return nil
	})
}

// fault 36: a machine that is disabled while the rollout runs leaves it with
// the reason, and a success names it.
func TestAMachineThatIsDisabledLeaves(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web, other := n.machine("web1", "web"), n.machine("web22", "web")
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	first := n.awaitStart(web)
	n.settled(id)
	n.write(func(tx *store.Tx) error {
		m, err := store.Get[resource.Machine](tx, other)
		if err != nil {
			return err
		}
		m.IsDisabled = true
		if err := store.Update(tx, m); err != nil {
			return err
		}
		return store.MachineChanged(tx, m.ID, m.EnvironmentIDs)
	})
	n.settled(id)
	n.end(first, rollout.OutcomeSucceeded)
	n.awaitState(id, store.TaskSuccess)
	n.read(func(tx *store.Tx) error {
		view, err := store.ViewRollout(tx, id)
		if err != nil {
			return err
		}
		if m := view.Members[1]; m.State != rollout.MemberSuperseded || m.Reason != "it was disabled" || view.Row.Warnings == 0 {
			t.Errorf("member %+v, %d warnings", m, view.Row.Warnings)
		}
		return nil
	})
}

// Machines join in the order of the zones that their target tags name.
func TestMembersAreOrderedByZone(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	names := []string{"web1", "web22", "web333"}
	for i, zone := range []string{"zone:b", "Zone:a", "zone:"} {
		id := n.machine(names[i], "web")
		n.write(func(tx *store.Tx) error {
			m, err := store.Get[resource.Machine](tx, id)
			if err != nil {
				return err
			}
			m.Roles = append(m.Roles, zone)
			return store.Update(tx, m)
		})
	}
	n.start()
	id := n.deploy(rollout.Deploy, "Projects-1", "Releases-1", "web")
	n.awaitState(id, store.TaskExecuting)
	n.settled(id)
	n.read(func(tx *store.Tx) error {
		view, err := store.ViewRollout(tx, id)
		var got []string
		for _, m := range view.Members {
			got = append(got, m.Name+"/"+m.Zone)
		}
		if len(got) != 3 || got[0] != "web333/" || got[1] != "web22/a" || got[2] != "web1/b" {
			t.Errorf("members %v", got)
		}
		return err
	})
}
