package gateway_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/store"
)

// unmatched are what the agents have said of attempts, by attempt.
func (r *rig) unmatched() map[string]string {
	r.t.Helper()
	said := map[string]string{}
	r.read(func(tx *store.Tx) error {
		list, err := store.Unmatched(tx, "")
		for _, u := range list {
			said[u.Attempt] = u.State + " " + u.Outcome
		}
		return err
	})
	return said
}

// knowsMore is a machine whose agent has attempts that the data do not.
func (r *rig) knowsMore(ended, runs string) *fakeAgent {
	r.t.Helper()
	r.ping = 20 * time.Millisecond
	r.start()
	a := newAgent(r.t, "one")
	a.change(func() {
		a.epochs["ServerTasks-900"] = 7
		a.attempts[ended] = &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_ENDED, result: &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}}
		a.attempts[runs] = &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_RUNNING}
	})
	machine := r.machine("web-1", a)
	r.connect(a, unchanged)
	r.online(machine)
	return a
}

// fault 33: the data are older than what the agent did. Its attempts are listed
// with their ends, start nothing, and are forgotten once a person has confirmed.
func TestAgentKnowsMoreThanTheBackup(t *testing.T) {
	t.Parallel()
	const ended, runs = "ServerTasks-900.0.0.Machines-1.1", "ServerTasks-901.0.0.Machines-1.1"
	r := newRig(t)
	r.write(func(tx *store.Tx) error { // before a server starts on the data
		_, err := store.Restore(tx, time.Now())
		return err
	})
	a := r.knowsMore(ended, runs)
	r.eventually("both are listed", func() bool {
		said := r.unmatched()
		return said[ended] == "Ended Succeeded" && said[runs] == "Running "
	})
	a.change(func() {
		at := a.attempts[runs]
		at.state, at.result = agentrpc.AttemptState_ATTEMPT_STATE_ENDED, &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED, Reason: "exit code 3"}
	})
	r.eventually("the end of the other is known", func() bool { return r.unmatched()[runs] == "Ended Failed" })
	a.see(func() {
		if len(a.forgotten) != 0 || len(a.starts) != 0 {
			t.Errorf("fault 33: forgotten %v, started %v", a.forgotten, a.starts)
		}
	})
	r.write(func(tx *store.Tx) error { return store.ConfirmRestored(tx, "admin") })
	r.eventually("the machine forgets them", func() (done bool) {
		a.see(func() { done = slices.Contains(a.forgotten, ended) && slices.Contains(a.forgotten, runs) })
		return done
	})
	if said := r.unmatched(); said[ended] != "Ended Succeeded" {
		t.Errorf("the list is lost: %v", said)
	}
}

// Without a restore, what the data do not know is left alone: it is of a task
// that was deleted, say, and there is no epoch to ask under.
func TestAttemptsUnknownWithoutARestoreAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.knowsMore("ServerTasks-900.0.0.Machines-1.1", "ServerTasks-901.0.0.Machines-1.1")
	for range 3 {
		a.waitFor("Describe")
	}
	if said := r.unmatched(); len(said) != 0 {
		t.Errorf("listed: %v", said)
	}
	a.see(func() {
		if len(a.forgotten) != 0 || a.calls["Query"] != 0 {
			t.Errorf("forgotten %v, %d questions", a.forgotten, a.calls["Query"])
		}
	})
}

// fault 33: however many records a machine keeps, all are listed while nobody
// has confirmed the restore, and none is asked about again once its end is known.
func TestAgentKnowsMuchMoreThanTheBackup(t *testing.T) {
	t.Parallel()
	const many = 150 // more than one ping looks at
	r := newRig(t)
	r.write(func(tx *store.Tx) error {
		_, err := store.Restore(tx, time.Now())
		return err
	})
	r.ping = 20 * time.Millisecond
	r.start()
	a := newAgent(t, "one")
	a.change(func() {
		for i := range many {
			a.attempts[fmt.Sprintf("ServerTasks-900.0.%d.Machines-1.1", i)] = &fakeAttempt{state: agentrpc.AttemptState_ATTEMPT_STATE_ENDED, result: &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}}
		}
	})
	machine := r.machine("web-1", a)
	r.connect(a, unchanged)
	r.online(machine)
	r.eventually("all are listed", func() bool { return len(r.unmatched()) == many })
	for range 3 {
		a.waitFor("Describe")
	}
	a.see(func() {
		if a.calls["Query"] != many {
			t.Errorf("%d questions about %d records", a.calls["Query"], many)
		}
	})
}
