package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// restored marks the rig's data as put back from a backup, as the command does.
func (r *rig) restored() (last *store.Restored) {
	r.t.Helper()
	r.write(func(tx *store.Tx) (err error) {
		last, err = store.Restore(tx, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		return err
	})
	return last
}

// fault 33: data from a backup start nothing by themselves, whatever they were
// at; fault 54: marked again they end the same.
func TestRestoreClosesWhatWasUnfinished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.process(webStep("Hello", bash("Hello", "true")), webStep("Last", bash("Last", "true")))
	one, two := r.machine("one", r.staging, "web"), r.machine("two", r.staging, "web")
	e := r.node()
	r.release("1.0.0")
	in := deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}}
	first, err := r.deploy(in)
	check(t, err)
	check(t, e.Round(t.Context()))
	r.ends(first[0].TaskID, one, rollout.OutcomeSucceeded, "")
	r.write(func(tx *store.Tx) error {
		return store.SetDesired(tx, &store.Desired{SpaceID: space, ProjectID: r.project.ID, EnvironmentID: r.staging.ID, ReleaseID: first[0].ReleaseID, TaskID: "ServerTasks-0"})
	})
	r.write(func(tx *store.Tx) error { return store.Owe(tx, two.ID, two.EnvironmentIDs, "it came late") })
	second, err := r.deploy(in)
	check(t, err)
	token := &resource.AgentToken{Name: "late", TokenHash: strings.Repeat("0", 64), UsesLeft: 1, Expires: resource.TimeOf(time.Now().Add(time.Hour))}
	token.SpaceID = space
	r.write(func(tx *store.Tx) error { return store.Insert(tx, token) })

	last := r.restored()
	if len(last.Tasks) != 2 || last.Epoch != 1 {
		t.Errorf("closed %v, epoch %d", last.Tasks, last.Epoch)
	}
	r.restored() // the command was cut off and run again
	e = r.node()
	check(t, e.Round(t.Context()))
	for id, want := range map[string]store.TaskState{first[0].TaskID: store.TaskFailed, second[0].TaskID: store.TaskCanceled} {
		details, err := r.TaskDetails(t.Context(), r.who, space, id)
		check(t, err)
		if details.Task.State != want {
			t.Errorf("%s is %s, want %s", id, details.Task.State, want)
		}
		if !details.Rollout.Row.State.Terminal() || details.Rollout.Row.OpenCells != 0 {
			t.Errorf("rollout %+v", details.Rollout.Row)
		}
		for _, a := range details.Rollout.Attempts {
			if a.Outcome != rollout.OutcomeUnknown {
				t.Errorf("attempt %s is %q", a.ID, a.Outcome) // the report of the one that succeeded was not folded yet
			}
		}
	}
	r.write(func(tx *store.Tx) error {
		for _, m := range []*resource.Machine{one, two} {
			if list, err := store.Deliveries(tx, m.ID, 9); err != nil || len(list) > 0 {
				t.Errorf("%s has deliveries %v, %v", m.Name, list, err)
			}
			if list, err := store.RunningAttempts(tx, m.ID); err != nil || len(list) > 0 {
				t.Errorf("%s has attempts %v, %v", m.Name, list, err)
			}
		}
		spent, err := store.Get[resource.AgentToken](tx, token.ID)
		if err == nil && spent.UsesLeft != 0 {
			t.Errorf("a one-time token is good for %d more", spent.UsesLeft) // abuse 5
		}
		return err
	})
	if !r.held() {
		t.Error("nothing holds the catch-ups")
	}
	third, err := r.deploy(in)
	check(t, err)
	if far := resource.Ordinal(third[0].TaskID) - resource.Ordinal(second[0].TaskID); far < 1_000_000 {
		t.Errorf("the next task has an id %d further", far)
	}
	check(t, e.Round(t.Context()))
	r.ends(third[0].TaskID, one, rollout.OutcomeSucceeded, "")
	check(t, e.Round(t.Context()))
}

func (r *rig) held() (held bool) {
	r.t.Helper()
	check(r.t, r.db.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		held, err = store.Held(tx)
		return err
	}))
	return held
}

// A person ends the hold, once; nobody but an administrator may.
func TestRestoreIsConfirmed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.LastRestored(t.Context(), r.who); resource.CodeOf(err) != resource.NotFound {
		t.Errorf("data that were never restored: %v", err)
	}
	one := r.machine("one", r.staging, "web")
	r.restored()
	r.write(func(tx *store.Tx) error {
		u := store.UnmatchedAttempt{Machine: one.ID, Attempt: "ServerTasks-9.0.0.Machines-1.1", State: "Running"}
		if err := store.SaveUnmatched(tx, &u); err != nil {
			return err
		}
		u.State, u.Outcome = "Ended", "Succeeded"
		return store.SaveUnmatched(tx, &u)
	})
	last, err := r.LastRestored(t.Context(), r.who)
	check(t, err)
	if len(last.Unmatched) != 1 || last.Unmatched[0].Outcome != "Succeeded" || last.Machines[one.ID] != "one" || last.ConfirmedAt != 0 {
		t.Errorf("%+v", last)
	}
	who := r.who
	who.Subject = authz.Subject{UserID: "Users-9"}
	if err := r.ConfirmRestored(t.Context(), who); resource.CodeOf(err) != resource.Forbidden {
		t.Errorf("confirmed by anybody: %v", err)
	}
	check(t, r.ConfirmRestored(t.Context(), r.who))
	if r.held() {
		t.Error("still held")
	}
	if err := r.ConfirmRestored(t.Context(), r.who); resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("confirmed twice: %v", err)
	}
}
