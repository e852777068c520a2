package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// What a person says about a failed machine, in a window of one: the next
// machine waits for it, and each question is about its own machine.
func TestGuidedFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer       rollout.Guidance
		first        rollout.CellState // of the machine that failed, at the end
		member       rollout.MemberState
		second       rollout.CellState // of the other machine
		end          rollout.State
		tries, warns int
	}{
		{rollout.Retry, rollout.CellSucceeded, rollout.MemberLive, rollout.CellSucceeded, rollout.Succeeded, 2, 0},
		{rollout.Ignore, rollout.CellIgnored, rollout.MemberLive, rollout.CellSucceeded, rollout.Succeeded, 1, 1},
		{rollout.Exclude, rollout.CellSuperseded, rollout.MemberExcluded, rollout.CellSucceeded, rollout.Succeeded, 1, 1},
		{rollout.Fail, rollout.CellFailed, rollout.MemberLive, "", rollout.Failed, 1, 0},
	} {
		t.Run(string(tc.answer), func(t *testing.T) {
			t.Parallel()
			rolling := step("rolling", "web")
			rolling.Window.Number = 1
			p := plan(rolling)
			p.Guided = true
			m := newMemory("ServerTasks-1")
			m.join(p, machines("web", 2)...)
			m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeFailed)
			if m.state(0, 0, "web1") != rollout.CellInterrupted || len(m.starts) != 0 || len(m.finished) != 0 {
				t.Fatalf("it does not wait: %+v, %d starts", m.cells, len(m.starts))
			}
			if len(m.slots["Machines-web1"]) != 0 {
				t.Error("the machine is held while people think")
			}
			q := m.asked[0]
			want(t, "question", fmt.Sprintf("%s %s %v", q.Kind, q.Text, q.Choices), "GuidedFailure Failed [Retry Ignore Exclude Fail]")
			m.answer(p, 30, tc.answer)
			m.answerTo(p, 31, q, rollout.Exclude) // said too late: changes nothing
			for range 2 {
				for _, id := range m.send(p, 40) {
					m.end(p, 50, id, rollout.OutcomeSucceeded)
				}
			}
			c := m.cells[rollout.CellKey{Member: "Machines-web1"}]
			want(t, "states", fmt.Sprint(c.State, m.members[0].State, m.state(0, 0, "web2"), m.finished, c.Tries),
				fmt.Sprint(tc.first, tc.member, tc.second, []rollout.State{tc.end}, tc.tries))
			if m.row.Warnings != tc.warns || len(m.asked) != 1 || len(m.open) != 0 {
				t.Errorf("%d warnings, %d questions, %d open", m.row.Warnings, len(m.asked), len(m.open))
			}
		})
	}
}

// An answer is for one machine; the same failure on another asks again.
func TestAnAnswerIsNotUsedForAnotherMachine(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	p.Guided = true
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 2)...)
	for _, id := range m.send(p, 10) {
		m.end(p, 20, id, rollout.OutcomeFailed)
	}
	first, second := m.asked[0], m.asked[1]
	crossed := *first
	crossed.Cell = second.Cell
	m.answerTo(p, 30, &crossed, rollout.Ignore)
	if len(m.open) != 2 {
		t.Fatal("the answer to one question was taken for another")
	}
	m.answerTo(p, 40, first, rollout.Ignore)
	if m.state(0, 0, "web1") != rollout.CellIgnored || m.state(0, 0, "web2") != rollout.CellInterrupted {
		t.Errorf("web1 %s, web2 %s", m.state(0, 0, "web1"), m.state(0, 0, "web2"))
	}
}

// design 5.8, fault 11: an attempt whose end is not known asks, is tried again
// where it may run twice, or has failed where the policy says so.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		ask, idempotent bool
		state           rollout.CellState
		attempts        int
	}{
		{"asks", true, false, rollout.CellInterrupted, 1},
		{"policy to fail", false, false, rollout.CellUnknown, 1},
		{"may run twice", true, true, rollout.CellRunning, 2},
	} {
		a := action("deploy")
		a.Idempotent = tc.idempotent
		p := plan(step("deploy", "web", a))
		p.AskUnknown = tc.ask
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeUnknown)
		m.fold(p, rollout.Event{At: 60_000, Kind: rollout.Timer})
		if got := m.state(0, 0, "web1"); got != tc.state || len(m.attempts) != tc.attempts {
			t.Errorf("%s: %s after %d attempts", tc.name, got, len(m.attempts))
		}
		if tc.ask && !tc.idempotent && m.asked[0].Kind != rollout.UnknownOutcome {
			t.Errorf("%s: asked as %s", tc.name, m.asked[0].Kind)
		}
	}
}

// fault 12: an action that declares that it restarts its machine goes on with
// the next one when that has happened, and is not run again; for any other
// unknown end, for a package without its receipt, and where nothing is declared,
// people are asked.
func TestRebootsExpected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		declared, restarted, receipt bool
		want, next                   rollout.CellState
	}{
		"declared, restarted":     {true, true, false, rollout.CellSucceeded, rollout.CellRunning},
		"declared, not restarted": {true, false, false, rollout.CellInterrupted, ""},
		"not declared":            {false, true, false, rollout.CellInterrupted, ""},
		"no receipt":              {true, true, true, rollout.CellInterrupted, ""},
	} {
		restart := action("restart")
		restart.RebootsExpected, restart.Receipt = tc.declared, tc.receipt
		p := plan(step("update", "web", restart, action("after")))
		p.AskUnknown = true
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		first := m.send(p, 10)[0]
		m.fold(p, rollout.Event{At: 20, Kind: rollout.Ended, Attempt: first, End: &rollout.End{
			Outcome: rollout.OutcomeUnknown, Reason: "restarted", Restarted: tc.restarted,
		}})
		if got := m.state(0, 0, "web1"); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
		m.send(p, 30)
		if got := m.state(0, 1, "web1"); got != tc.next {
			t.Errorf("%s: the next action is %q", name, got)
		}
		if at := m.attempts[first]; at.Outcome != rollout.OutcomeUnknown {
			t.Errorf("%s: the attempt is said to have ended %s", name, at.Outcome)
		}
	}
}

// P1: what proves that the package is on the machine cannot be waved through.
func TestAPackagesProofCannotBeIgnored(t *testing.T) {
	t.Parallel()
	deploy := action("deploy")
	deploy.Receipt = true
	p := plan(step("deploy", "web", deploy))
	p.Guided = true
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeFailed)
	want(t, "choices", fmt.Sprint(m.asked[0].Choices), "[Retry Exclude Fail]")
	m.answer(p, 30, rollout.Ignore)
	if m.state(0, 0, "web1") != rollout.CellInterrupted {
		t.Error("ignored all the same")
	}
}

// A question ends with its machine, its deadline and its rollout.
func TestQuestionsAreWithdrawn(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]rollout.Event{
		"machine gone": {At: 100, Kind: rollout.Gone, Member: "Machines-web1", By: "deleted"},
		"canceled":     {At: 100, Kind: rollout.Cancel, By: "ann"},
		"deadline":     {At: 5100, Kind: rollout.Timer},
	} {
		p := plan(step("deploy", "web"))
		p.Guided, p.AnswerWithin = true, 5000
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeFailed)
		m.fold(p, rollout.Event{At: 90, Kind: rollout.Timer})
		if len(m.open) != 1 {
			t.Fatalf("%s: not asked", name)
		}
		m.fold(p, event)
		if len(m.open) != 0 || len(m.finished) != 1 || m.finished[0] == rollout.Succeeded {
			t.Errorf("%s: %d open, %v", name, len(m.open), m.finished)
		}
	}
}

func manual(within int64) rollout.Action {
	a := action("approve")
	a.Manual = &rollout.Manual{Instructions: "Look at #{Octopus.Release.Number} and #{Nothing}.", Teams: []string{"Teams-1"}, Within: within}
	return a
}

func TestManualIntervention(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer rollout.Guidance
		state  rollout.CellState
		end    string
	}{
		{rollout.Proceed, rollout.CellSucceeded, "[]"},
		{rollout.Abort, rollout.CellFailed, "[Failed]"},
		{"", rollout.CellFailed, "[Failed]"}, // nobody answered in time
	} {
		approve := step("approve", "", manual(604_800_000))
		p := plan(approve, step("deploy", "web"))
		p.BuiltIns = map[string]string{"Octopus.Release.Number": "1.2.3"}
		m := newMemory("ServerTasks-1")
		m.join(p, append(machines("web", 1), rollout.Member{ID: "Workers-1", Name: "server", Worker: true})...)
		if len(m.starts) != 0 || len(m.attempts) != 0 || len(m.open) != 1 {
			t.Fatalf("%d starts, %d questions", len(m.starts), len(m.open))
		}
		want(t, "text", m.asked[0].Text, "Look at 1.2.3 and #{Nothing}.")
		m.fold(p, rollout.Event{At: 604_000_000, Kind: rollout.Timer}) // fault 49: 7 days
		if tc.answer != "" {
			m.answer(p, 604_000_001, tc.answer)
		} else {
			m.fold(p, rollout.Event{At: 604_800_002, Kind: rollout.Timer})
		}
		c := m.cells[rollout.CellKey{Member: "Workers-1"}]
		want(t, string(tc.answer), fmt.Sprint(c.State, m.finished), fmt.Sprint(tc.state, tc.end))
		if tc.answer != rollout.Proceed {
			continue
		}
		id := m.send(p, 700_000_000)[0]
		a := m.attempts[id]
		payload := rollout.Render(p, &m.members[0], &a, m.outputs)
		if text := fmt.Sprint(payload.Variables); !strings.Contains(text, "Octopus.Action[approve].Output.Manual.Notes checked") {
			t.Errorf("the notes are not handed on: %s", text)
		}
	}
}

// A run-once action that has run and failed is not given to another machine
// when a person excludes the one.
func TestExcludedAfterARunOnceAction(t *testing.T) {
	t.Parallel()
	p := plan(step("migrate", "db", runOnce("migrate")))
	p.Guided = true
	m := newMemory("ServerTasks-1")
	m.join(p, machines("db", 2)...)
	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeFailed)
	m.answer(p, 30, rollout.Exclude)
	if len(m.attempts) != 1 {
		t.Errorf("%d attempts", len(m.attempts))
	}
	want(t, "end", fmt.Sprint(m.finished), "[Failed]")
}
