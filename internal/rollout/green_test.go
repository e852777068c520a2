package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// P1: a script that somebody ended on the machine did not end with 0, whoever
// ended it; only a canceled rollout takes it as canceled.
func TestAScriptEndedOnItsMachineHasFailed(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web", action("deploy"), action("verify")))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeCanceled)
	want(t, "end", fmt.Sprint(m.finished), "[Failed]")
	if c := m.cells[rollout.CellKey{Member: "Machines-web1"}]; c.State != rollout.CellFailed || !strings.Contains(c.Reason, "on the machine") {
		t.Errorf("cell %+v", c)
	}
}

// P1: the worker is no machine. When every machine is gone nothing was
// deployed, though a step on the server ran.
func TestTheWorkerAloneIsNoDeployment(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"), step("announce", ""))
	m := newMemory("ServerTasks-1")
	m.join(p, append(machines("web", 1), rollout.Member{ID: "Workers-1", Name: "server", Worker: true})...)
	m.send(p, 10)
	m.fold(p, rollout.Event{At: 20, Kind: rollout.Gone, Member: "Machines-web1", By: "deleted by ann"})
	m.end(p, 40, m.send(p, 30)[0], rollout.OutcomeSucceeded)
	want(t, "I3: end", fmt.Sprint(m.finished), "[Failed]")
}

// A chosen machine that is no longer in scope at the start (deleted, disabled,
// moved) is named; where none is left, nothing was done and that is no success.
func TestChosenMachinesThatAreMissing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind    rollout.Kind
		present int
		end     rollout.State
	}{
		{rollout.Deploy, 1, rollout.Succeeded},
		{rollout.Deploy, 0, rollout.Failed},
		{rollout.Script, 0, rollout.Failed},
		{rollout.CatchUp, 0, rollout.Succeeded}, // nobody is left to catch up
	} {
		p := plan(step("deploy", "web"))
		p.Kind, p.Specific = tc.kind, []string{"Machines-web1", "Machines-web2"}
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", tc.present)...)
		for _, id := range m.send(p, 10) {
			m.end(p, 20, id, rollout.OutcomeSucceeded)
		}
		want(t, fmt.Sprintf("%s with %d", tc.kind, tc.present), fmt.Sprint(m.finished), fmt.Sprintf("[%s]", tc.end))
		var said []string
		for _, n := range m.notes {
			if strings.Contains(n.Text, "was chosen") {
				said = append(said, n.Member)
			}
		}
		if len(said) != 2-tc.present || m.row.Warnings < len(said) {
			t.Errorf("%s with %d: named %v, %d warnings", tc.kind, tc.present, said, m.row.Warnings)
		}
	}
}
