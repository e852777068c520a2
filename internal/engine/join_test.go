package engine_test

import (
	"errors"
	"fmt"
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

// fault 35: a machine that connects while the rollout runs joins it with the
// same release, gets it once a batch is verified (design 8), and the end waits
// for it.
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
	n.settled(id)
	if list := n.deliveries(newcomer); len(list) != 0 {
		t.Errorf("before any machine has proved the release it is sent %+v", list)
	}
	n.end(first, rollout.OutcomeSucceeded)
	second := n.awaitStart(newcomer)
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

// fault 36: the machines of a running rollout follow the facts. One that gets
// the role joins, one that loses it or is moved leaves with the reason, and the
// counts and the success say so.
func TestRetaggedMachinesJoinAndLeave(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web, out, moved := n.machine("web1", "web"), n.machine("web22", "web"), n.machine("web333", "web")
	in := n.machine("db4444", "db")
	e, s := n.lives(), scripts{}
	n.connect(in)
	id := n.deployWith("Projects-1", func(p *rollout.Plan) { p.Steps[0].Window.Number = 1 })
	n.round(e)
	change := func(machine string, edit func(m *resource.Machine)) {
		n.write(func(tx *store.Tx) error {
			m, err := store.Get[resource.Machine](tx, machine)
			if err != nil {
				return err
			}
			before := m.EnvironmentIDs
			edit(m)
			return errors.Join(store.Update(tx, m), store.MachineChanged(tx, machine, before))
		})
		n.round(e)
	}
	change(in, func(m *resource.Machine) { m.Roles = []string{"web"} })
	change(out, func(m *resource.Machine) { m.Roles = []string{"cache"} })
	change(moved, func(m *resource.Machine) { m.EnvironmentIDs = []string{n.other} })
	n.finish(id, e, s, web, out, moved, in)
	view := n.view(id)
	reasons := map[string]string{}
	for _, m := range view.Members {
		reasons[m.ID] = string(m.State) + " " + m.Reason
	}
	for machine, want := range map[string]string{
		web: "Live ", in: "Live ", out: "Superseded its target tags have changed", moved: "Superseded it was moved out of ",
	} {
		if reasons[machine] != want {
			t.Errorf("%s is %q, want %q", machine, reasons[machine], want)
		}
	}
	if got, want := s.String(), fmt.Sprintf("0.0.%s.1×1 0.0.%s.1×1", web, in); got != want {
		t.Errorf("started %s, want %s", got, want)
	}
	if view.Row.State != rollout.Succeeded || view.Row.Warnings != 2 || view.Row.Gone != 2 || view.Steps[0].Scope != 2 {
		t.Errorf("rollout %+v, step %+v", view.Row, view.Steps[0])
	}
	if !n.task(id).HasWarnings {
		t.Error("a success without warning")
	}
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
