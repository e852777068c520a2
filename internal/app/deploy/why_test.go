package deploy_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// node drives the rig's rollouts; agents are played by the test.
func (r *rig) node() *engine.Engine {
	r.t.Helper()
	e := engine.New(engine.Config{DB: r.db, Node: "node", Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	check(r.t, e.Begin(r.t.Context()))
	return e
}

// ends plays the agent: the machine's first attempt in the task's first step
// ends.
func (r *rig) ends(task string, m *resource.Machine, outcome rollout.Outcome, reason string) {
	r.t.Helper()
	attempt := task + ".0.0." + m.ID + ".1"
	r.write(func(tx *store.Tx) error {
		if _, err := store.MarkSent(tx, attempt); err != nil {
			return err
		}
		return store.Post(tx, task, "ended/"+attempt, rollout.Event{
			At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: attempt, End: &rollout.End{Outcome: outcome, Reason: reason},
		}, nil)
	})
}

func (r *rig) why(m *resource.Machine) *deploy.Why {
	r.t.Helper()
	why, err := r.Why(r.t.Context(), r.who, space, m.Name)
	check(r.t, err)
	return why
}

// saysWaits are the kinds and sentences of what the machine waits for.
func saysWaits(why *deploy.Why) string {
	var lines []string
	for _, w := range why.Waits {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", w.Kind, w.TaskID, w.Holder, w.Text))
	}
	return strings.Join(lines, "\n")
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}

// A machine's story, told by why at each turn of it.
func TestWhyTellsTheTruthAboutAMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	step := webStep("Hello", bash("Hello", "true"))
	r.process(step)
	one, two := r.machine("one", r.staging, "web"), r.machine("two", r.staging, "web")
	r.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: one.ID, Node: "node", State: store.SessionConnected, Incarnation: 1})
	})
	e := r.node()
	if why := r.why(two); why.Link.State != "" || len(why.Runs) != 0 {
		t.Errorf("a machine that nobody has seen: %+v", why)
	}
	contains(t, "two", saysWaits(r.why(two)), "Its agent has never connected", "Its health is Unknown")

	r.release("1.0.0")
	first, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	task := first[0].TaskID
	contains(t, "queued", saysWaits(r.why(one)), "Lock "+task, "is queued for it")
	check(t, e.Round(t.Context()))

	second, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	script, err := r.RunScript(t.Context(), r.who, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Machines: []string{one.ID}})
	check(t, err)
	check(t, e.Round(t.Context()))
	contains(t, "beside others", saysWaits(r.why(one)),
		"Lock "+second[0].TaskID+" "+task+": "+second[0].TaskID+" is queued: "+task+" deploys the same project",
		"Slot "+script.ID+" "+task+": "+script.ID+" waits for the machine since", "in place 1: "+task+" works on it since")
	if why := r.why(one); why.Parts[0].TaskID != script.ID || why.Parts[1].Outcome != "Running" {
		t.Errorf("parts: %+v", why.Parts)
	}

	r.ends(task, one, rollout.OutcomeSucceeded, "")
	r.write(func(tx *store.Tx) error { return store.MachineGone(tx, two.ID, "its cloud says so") })
	check(t, e.Round(t.Context()))
	why := r.why(one)
	if len(why.Runs) != 1 || why.Runs[0].TaskID != task || why.Runs[0].Release.Name != "1.0.0" || why.Runs[0].Wanted.Name != "1.0.0" || why.Runs[0].Since == 0 {
		t.Fatalf("runs: %+v", why.Runs)
	}
	contains(t, "runs", why.Runs[0].Text, "It runs Shop in Staging 1.0.0 since ", ", by "+task+".")
	gone := r.why(two)
	last := gone.Parts[len(gone.Parts)-1]
	if last.TaskID != task || last.Outcome != "Superseded" || last.Text != "It was superseded: its cloud says so" {
		t.Errorf("a machine that left: %+v", last)
	}
	contains(t, "what it lacks", fmt.Sprint(gone.Runs), "was not proved to run any release of Shop in Staging; 1.0.0 is wanted there")

	r.write(func(tx *store.Tx) error { return store.Owe(tx, two.ID, two.EnvironmentIDs, "it registered anew") })
	contains(t, "debt", saysWaits(r.why(two)), "Release", "owed the current release of Shop in Staging", "it registered anew")
}

// abuse 30: what the caller may not see is left out, and so is the machine.
func TestWhyHidesWhatTheCallerMayNotSee(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.process(webStep("Hello", bash("Hello", "true")))
	one := r.machine("one", r.staging, "web")
	e := r.node()
	r.release("1.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	check(t, e.Round(t.Context()))
	r.ends(made[0].TaskID, one, rollout.OutcomeSucceeded, "")
	check(t, e.Round(t.Context()))
	grant := authz.Grant{
		Space: space, Permissions: authz.SetOf(authz.MachineView),
		Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Only(r.staging.ID), Tenants: authz.Any(),
	}
	r.who.Subject = authz.Subject{UserID: "Users-9", Grants: []authz.Grant{grant}}
	if why := r.why(one); len(why.Runs) != 0 || len(why.Parts) != 0 {
		t.Errorf("told too much: %+v", why)
	}
	r.who.Subject.Grants[0].Environments = authz.Only(r.production.ID)
	if _, err := r.Why(t.Context(), r.who, space, one.ID); resource.CodeOf(err) != resource.NotFound {
		t.Errorf("a machine of another environment: %v", err)
	}
}

// The board tells the wanted release from what each machine has proved.
func TestBoardShowsTheReleaseOfEachMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.process(webStep("Hello", bash("Hello", "true")))
	one, two := r.machine("one", r.staging, "web"), r.machine("two", r.staging, "web")
	r.machine("db", r.staging, "db")
	e := r.node()
	r.release("1.0.0")
	in := deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}}
	first, err := r.deploy(in)
	check(t, err)
	check(t, e.Round(t.Context()))
	r.ends(first[0].TaskID, one, rollout.OutcomeSucceeded, "")
	r.ends(first[0].TaskID, two, rollout.OutcomeSucceeded, "")
	check(t, e.Round(t.Context()))
	r.release("1.1.0")
	in.Release = "1.1.0"
	second, err := r.deploy(in)
	check(t, err)
	check(t, e.Round(t.Context()))
	r.ends(second[0].TaskID, one, rollout.OutcomeSucceeded, "")
	r.ends(second[0].TaskID, two, rollout.OutcomeFailed, "broken")
	check(t, e.Round(t.Context()))

	board, err := r.Board(t.Context(), r.who, space, []string{"shop"}, nil)
	check(t, err)
	if len(board.Cells) != 1 {
		t.Fatalf("%+v", board.Cells)
	}
	cell := board.Cells[0]
	got := fmt.Sprintf("wants %s by %v, latest %s %s:", cell.Wanted.Name, cell.TaskID == first[0].TaskID, cell.LatestVersion, cell.Latest.Task.State)
	for _, m := range cell.Machines {
		got += fmt.Sprintf(" %s %q", m.Name, m.Release.Name)
	}
	if want := `wants 1.0.0 by true, latest 1.1.0 Failed: one "1.1.0" two ""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := r.Board(t.Context(), r.who, space, nil, []string{"Moon"}); resource.CodeOf(err) != resource.NotFound {
		t.Errorf("an unknown environment: %v", err)
	}
	r.who.Subject = authz.Subject{UserID: "Users-9"}
	board, err = r.Board(t.Context(), r.who, space, nil, nil)
	if err != nil || len(board.Cells) != 0 {
		t.Errorf("nobody sees %+v, %v", board, err)
	}
}
