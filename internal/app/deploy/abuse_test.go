package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// K19: the audit names the person who ran a script or canceled a task, not the
// server.
func TestTheAuditNamesWhoDidIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	web := r.machine("web-1", r.staging, "web")
	task, err := r.RunScript(t.Context(), r.who, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Machines: []string{web.ID}})
	check(t, err)
	_, err = r.CancelTask(t.Context(), r.who, space, task.ID)
	check(t, err)
	check(t, r.db.Read(t.Context(), func(tx *store.Tx) error {
		events, _, err := store.ListEvents(tx, store.EventQuery{AllSpaces: true, Regarding: []string{task.ID}})
		if len(events) != 2 {
			t.Errorf("events: %+v", events)
		}
		for i := range events {
			if events[i].UserID != r.who.UserID {
				t.Errorf("%s is said to be by %q", events[i].Category, events[i].UserID)
			}
		}
		return err
	}))
}

// A script for machines that are named one by one leaves none of them out in
// silence.
func TestAScriptLeavesNoNamedMachineOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	web, off := r.machine("web-1", r.staging, "web"), r.machine("web-2", r.staging, "web")
	off.IsDisabled = true
	r.write(func(tx *store.Tx) error { return store.Update(tx, off) })
	for named, why := range map[string]string{"Machines-404": "Machines-404", off.ID: "web-2"} {
		_, err := r.RunScript(t.Context(), r.who, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Machines: []string{web.ID, named}})
		refusedFor(t, err, resource.Invalid, why)
	}
	task, err := r.RunScript(t.Context(), r.who, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Machines: []string{web.ID, web.ID}})
	check(t, err)
	if got := r.plan(task.ID).Specific; len(got) != 1 {
		t.Errorf("it runs on %v", got)
	}
}

// A step that runs on the server is refused while there is no worker to run it:
// its attempts would wait for a machine without a name. A preview still shows it.
func TestStepsOnTheServerNeedAWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.process(resource.Step{Name: "Announce", Actions: []resource.Action{bash("Announce", "true")}})
	release := r.release("1.0.0")
	_, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	refusedFor(t, err, resource.Invalid, "Announce", "worker")
	_, err = r.PreviewDeployment(t.Context(), r.who, space, release.ID, "Staging", false)
	check(t, err)
}

// abuse 67: the tree of a task is bounded, however many machines wrote however
// much.
func TestATreeIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.process(webStep("Run", bash("Run", "true")))
	r.release("1.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	id := made[0].TaskID
	line := "1795468800000\tInfo\t" + strings.Repeat("x", 1000) + "\n"
	log := []byte(strings.Repeat(line, 900_000/len(line)))
	const machines = 60
	r.write(func(tx *store.Tx) error {
		epoch, err := store.Claim(tx, id, "node-1/1")
		if err != nil {
			return err
		}
		turn, err := store.OpenTurn(tx, id, "node-1/1", epoch)
		if err != nil {
			return err
		}
		changes := rollout.Changes{Row: turn.Row()}
		for i := range machines {
			key := rollout.CellKey{Member: fmt.Sprintf("Machines-%02d", i)}
			changes.Members = append(changes.Members, &rollout.Member{ID: key.Member, Ord: int64(i), Name: key.Member, State: rollout.MemberLive})
			changes.Cells = append(changes.Cells, &rollout.Cell{CellKey: key, State: rollout.CellSucceeded})
			changes.Attempts = append(changes.Attempts, &rollout.Attempt{ID: fmt.Sprint("attempt", i), Cell: key})
		}
		turn.Save(changes)
		return turn.Err()
	})
	for i := range machines {
		_, err := r.db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: fmt.Sprint("attempt", i), Data: log}})
		check(t, err)
	}
	_, tree, err := r.Tree(t.Context(), r.who, space, id, 0)
	check(t, err)
	size, said := 0, 0
	var walk func(*deploy.Activity)
	walk = func(a *deploy.Activity) {
		for _, l := range a.Log {
			size += len(l.Text)
			if strings.Contains(l.Text, "raw log") {
				said++
			}
		}
		for _, c := range a.Children {
			walk(c)
		}
	}
	walk(tree)
	if size > 33<<20 || size < 30<<20 {
		t.Errorf("it has %d MiB", size>>20)
	}
	if want := machines - size/len(log) - 1; said < want {
		t.Errorf("%d machines say that there is more, want %d", said, want)
	}
}
