package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// branches writes the first step of a task's tree: "one Running; two Pending:
// waits …".
func (r *rig) branches(task string) string {
	r.t.Helper()
	_, root, err := r.Tree(r.t.Context(), r.who, space, task, deploy.NoOutput)
	check(r.t, err)
	var list []string
	for _, m := range root.Children[0].Children {
		list = append(list, strings.TrimSuffix(fmt.Sprintf("%s %s: %s", m.Name, m.Status, m.Reason), ": "))
	}
	return strings.Join(list, "; ")
}

// The tree has every machine of the open step, also those whose turn has not
// come, and why says what each waits for.
func TestMachinesThatWaitForTheirTurnAreShown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	step := webStep("Hello", bash("Hello", "true"))
	step.Properties[steps.MaxParallelism] = resource.Text("34%")
	r.process(step)
	one, two := r.machine("one", r.staging, "web"), r.machine("two", r.staging, "web")
	e := r.node()
	r.release("1.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	task := made[0].TaskID
	check(t, e.Round(t.Context()))
	if got, want := r.branches(task), "one Running; two Pending: waits for its turn, 34 % of 2 machines is less than one: 1 at a time"; got != want {
		t.Errorf("tree %q, want %q", got, want)
	}
	contains(t, "two", saysWaits(r.why(two)), "Turn "+task, "In step 1 (Hello) of "+task+" it waits for its turn, 34 % of 2 machines is less than one: 1 at a time; 0 of 2 machines are done.")

	late := r.machine("late", r.staging, "web")
	r.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: late.ID, Node: "node", State: store.SessionConnected, Incarnation: 1})
	})
	check(t, e.Round(t.Context()))
	if got, want := r.branches(task), "one Running; two Pending: waits for its turn, 34 % of 3 machines, rounded down: 1 at a time; late Pending: came while the step ran, and waits until a batch of it is verified"; got != want {
		t.Errorf("tree %q, want %q", got, want)
	}
	contains(t, "late", saysWaits(r.why(late)), "it came while the step ran, and waits until a batch of it is verified; 0 of 3 machines are done")

	r.ends(task, one, rollout.OutcomeSucceeded, "")
	check(t, e.Round(t.Context()))
	if got := r.branches(task); !strings.HasPrefix(got, "one Success; late Running; two Pending: waits for its turn, ") {
		t.Errorf("tree %q", got)
	}
	contains(t, "one", saysWaits(r.why(one)), "It is through step 1 (Hello) of "+task+"; the other machines are waited for: 1 of 3 are done.")
}

// The plan shows how a share of the machines is rounded, and zones in their
// order, whichever way a rollout would go.
func TestPlanShowsRoundingAndZones(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rolling, zonal, all := webStep("Rolling", bash("a", "true")), webStep("Zonal", bash("b", "true")), webStep("All", bash("c", "true"))
	rolling.Properties[steps.MaxParallelism] = resource.Text("50%")
	zonal.Properties[steps.MaxParallelism] = resource.Text("2")
	zonal.Properties[steps.ZoneByZone] = resource.Text("True")
	r.process(rolling, zonal, all)
	for i, zone := range []string{"zone:b", "zone:a", "zone:b", "zone:a", "zone:b"} {
		r.machine(fmt.Sprintf("web-%d", i+1), r.staging, "web", zone)
	}
	r.release("1.0.0")
	view := r.planned(deploy.NewDeployment{Release: "1.0.0"})
	for i, want := range []struct{ batches, says string }{
		{"web-2 web-4 | web-1 web-3 | web-5", "50 % of 5 machines, rounded down: 2 at a time"},
		{"web-2 web-4 | web-1 web-3 | web-5", "2 at a time"},
		{"web-2 web-4 web-1 web-3 web-5", ""},
	} {
		if got := view.Steps[i]; batchesOf(got) != want.batches || got.WindowSays != want.says || got.ZoneByZone != (i == 1) {
			t.Errorf("%s: %q, %q, zone by zone %v", got.Name, batchesOf(got), got.WindowSays, got.ZoneByZone)
		}
	}
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	check(t, r.node().Round(t.Context()))
	if got := r.branches(made[0].TaskID); !strings.HasPrefix(got, "web-2 Running; web-4 Running; web-1 Pending: ") {
		t.Errorf("it went as %q", got)
	}
}
