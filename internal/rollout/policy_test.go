package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// Steps that start together run at the same time, see the outcome before them,
// and the next step waits for all of them.
func TestParallelSteps(t *testing.T) {
	t.Parallel()
	with := step("metrics", "db")
	with.WithPrevious = true
	onFailure := step("alarm", "web")
	onFailure.Condition, onFailure.WithPrevious = rollout.ConditionFailure, true
	p := plan(step("first", "web"), with, onFailure, step("last", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, append(machines("web", 1), machines("db", 1)...)...)
	batch := m.send(p, 10)
	want(t, "together", membersOf(m, batch), "db1 web1")
	if m.steps[2].State != rollout.StepSkipped {
		t.Errorf("the step on failure is %s: nothing had failed before the group", m.steps[2].State)
	}
	for _, id := range batch {
		if m.attempts[id].Cell.Member == "Machines-db1" {
			m.end(p, 20, id, rollout.OutcomeFailed)
		}
	}
	if len(m.starts) != 0 || len(m.finished) != 0 {
		t.Fatal("it went on before the group had ended")
	}
	for _, id := range batch {
		m.end(p, 30, id, rollout.OutcomeSucceeded)
	}
	want(t, "states", fmt.Sprintf("%s %s %s %v", m.steps[0].State, m.steps[1].State, m.steps[3].State, m.finished), "Succeeded Failed Skipped [Failed]")
}

// A machine in two steps at once is worked on by one of them at a time.
func TestParallelStepsShareAMachine(t *testing.T) {
	t.Parallel()
	with := step("two", "web")
	with.WithPrevious = true
	p := plan(step("one", "web"), with)
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	first := m.send(p, 10)
	if len(first) != 1 {
		t.Fatalf("%d attempts at once on one machine", len(first))
	}
	m.end(p, 20, first[0], rollout.OutcomeSucceeded)
	m.end(p, 40, m.send(p, 30)[0], rollout.OutcomeSucceeded)
	want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
}

func TestRetriesWithBackOff(t *testing.T) {
	t.Parallel()
	a := action("deploy")
	a.Retries, a.Backoff = 2, 15_000
	p := plan(step("deploy", "web", a))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	at := int64(0)
	for _, pause := range []int64{15_000, 30_000} {
		m.end(p, at, m.send(p, at)[0], rollout.OutcomeFailed)
		m.fold(p, rollout.Event{At: at + pause - 1, Kind: rollout.Timer})
		if len(m.starts) != 0 {
			t.Fatalf("tried again before %d ms", pause)
		}
		at += pause
		m.fold(p, rollout.Event{At: at, Kind: rollout.Timer})
	}
	m.end(p, at, m.send(p, at)[0], rollout.OutcomeTimedOut)
	if got := m.state(0, 0, "web1"); got != rollout.CellTimedOut || len(m.attempts) != 3 {
		t.Errorf("%s after %d attempts", got, len(m.attempts))
	}
}

func TestActionTimeLimit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end   func(*memory, *rollout.Plan, string)
		state rollout.CellState
	}{
		"ended":         {func(m *memory, p *rollout.Plan, id string) { m.end(p, 61_100, id, rollout.OutcomeCanceled) }, rollout.CellTimedOut},
		"in time after": {func(m *memory, p *rollout.Plan, id string) { m.end(p, 61_100, id, rollout.OutcomeSucceeded) }, rollout.CellSucceeded},
		"does not end":  {func(m *memory, p *rollout.Plan, _ string) { m.fold(p, rollout.Event{At: 160_000, Kind: rollout.Timer}) }, rollout.CellUnknown},
	} {
		a := action("deploy")
		a.Limit = 60_000
		p := plan(step("deploy", "web", a))
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		id := m.send(p, 1000)[0]
		m.fold(p, rollout.Event{At: 60_999, Kind: rollout.Timer})
		if len(m.cancels) != 0 {
			t.Fatalf("%s: ended before its limit", name)
		}
		m.fold(p, rollout.Event{At: 61_001, Kind: rollout.Timer})
		want(t, name, strings.Join(m.cancels, " "), id)
		tc.end(m, p, id)
		if got := m.state(0, 0, "web1"); got != tc.state || m.members[0].State != rollout.MemberLive {
			t.Errorf("%s: cell %s, member %s", name, got, m.members[0].State)
		}
	}
}

// A step whose time is up admits nobody, closes what waits and ends what runs,
// however many machines it has.
func TestStepTimeLimit(t *testing.T) {
	t.Parallel()
	s := step("deploy", "web")
	s.Limit = 60_000
	p := plan(s)
	p.Guided = true // nobody is asked about machines of a step whose time is up
	m := newMemory("ServerTasks-1")
	fleet := machines("web", 200)
	for i := range fleet {
		fleet[i].Patience = 120_000
	}
	m.join(p, fleet...)
	running := m.starts[:100]
	rest := m.starts[100:]
	m.starts = running
	m.send(p, 10)
	m.starts = rest
	m.fold(p, rollout.Event{At: 60_001, Kind: rollout.Timer})
	if len(m.cancels) != 100 {
		t.Fatalf("%d running attempts were asked to end, want 100", len(m.cancels))
	}
	for _, id := range m.cancels {
		m.end(p, 60_100, id, rollout.OutcomeCanceled)
	}
	want(t, "end", fmt.Sprintf("%v %s %d %d", m.finished, m.steps[0].State, m.row.OpenCells, len(m.asked)), "[Failed] Failed 0 0")
	for k, c := range m.cells {
		if c.State != rollout.CellTimedOut {
			t.Fatalf("cell %v is %s", k, c.State)
		}
	}
}

// fault 48: the stop rule is exact, and what it tolerates neither stops later
// steps nor makes the rollout green.
func TestFailureThreshold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		policy       string
		fail, worked int // of 10 machines, one after the other
		later        string
	}{
		{"", 1, 1, ""},
		{"Stop", 1, 1, ""},
		{"2", 2, 10, "web10 web3 web4 web5 web6 web7 web8 web9"},
		{"2", 3, 3, ""},
		{"20%", 2, 10, "web10 web3 web4 web5 web6 web7 web8 web9"},
		{"20%", 3, 3, ""},
		{"Continue", 10, 10, ""},
	} {
		t.Run(fmt.Sprintf("%s with %d", tc.policy, tc.fail), func(t *testing.T) {
			t.Parallel()
			rolling := step("rolling", "web", action("deploy"), action("verify"))
			rolling.Window.Number = 1
			var err error
			if rolling.Tolerate, err = rollout.ParseTolerance(tc.policy); err != nil {
				t.Fatal(err)
			}
			rolling.Actions[1].Condition = rollout.ConditionAlways // fails too: the machine counts once
			p := plan(rolling, step("after", "web"))
			m := newMemory("ServerTasks-1")
			m.join(p, machines("web", 10)...)
			worked := map[string]bool{}
			var later []string
			for len(m.starts) > 0 {
				for _, id := range m.send(p, 10) {
					a := m.attempts[id]
					if a.Cell.Step == 1 {
						later = append(later, id)
						m.end(p, 20, id, rollout.OutcomeSucceeded)
						continue
					}
					worked[a.Cell.Member] = true
					outcome := rollout.OutcomeSucceeded
					if len(worked) <= tc.fail {
						outcome = rollout.OutcomeFailed
					}
					m.end(p, 20, id, outcome)
				}
			}
			if len(worked) != tc.worked {
				t.Errorf("%d machines were worked on, want %d", len(worked), tc.worked)
			}
			want(t, "later step", membersOf(m, later), tc.later)
			want(t, "end", fmt.Sprint(m.finished), "[Failed]")
		})
	}
}

func TestBadTolerances(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"-1", "101%", "some", "%", "1.5"} {
		if _, err := rollout.ParseTolerance(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// Conditions see the outcome so far.
func TestExpressionsOnTheOutcome(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		steps := []rollout.Step{step("deploy", "web")}
		for name, expression := range map[string]string{
			"on error":    "#{Octopus.Deployment.Error}",
			"no error":    "#{unless Octopus.Deployment.Error}true#{/unless}",
			"step failed": `#{if Octopus.Step[deploy].Status.Code == "Failed"}true#{/if}`,
		} {
			s := step(name, "web")
			s.Condition, s.Expression = rollout.ConditionVariable, expression
			steps = append(steps, s)
		}
		p := plan(steps...)
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		outcome := rollout.OutcomeSucceeded
		if fails {
			outcome = rollout.OutcomeFailed
		}
		m.end(p, 20, m.send(p, 10)[0], outcome)
		for len(m.starts) > 0 {
			m.end(p, 40, m.send(p, 30)[0], rollout.OutcomeSucceeded)
		}
		for i, s := range p.Steps[1:] {
			ran := m.steps[i+1].State == rollout.StepSucceeded
			if ran != (fails == (s.Name != "no error")) {
				t.Errorf("failed %v: step %q is %s", fails, s.Name, m.steps[i+1].State)
			}
		}
	}
}

// The share of the live machines is rounded down and said.
func TestPercentWindowIsShown(t *testing.T) {
	t.Parallel()
	s := step("rolling", "web")
	s.Window.Percent = 25
	p := plan(s)
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 10)...)
	want(t, "at once", fmt.Sprint(len(m.starts)), "2")
	if len(m.notes) == 0 || m.notes[0].Text != "Window: 25 % of 10 machines, rounded down: 2 at a time." {
		t.Errorf("said %+v", m.notes)
	}
}

// A step by zones ends one before it begins the next, whatever its window.
func TestZoneByZone(t *testing.T) {
	t.Parallel()
	s := step("rolling", "web")
	s.Zonal, s.Window.Number = true, 3
	p := plan(s)
	m := newMemory("ServerTasks-1")
	fleet := machines("web", 4)
	fleet[2].Zone, fleet[3].Zone = "b", "b"
	fleet[0].Zone, fleet[1].Zone = "a", "a"
	m.join(p, fleet...)
	first := m.send(p, 10)
	want(t, "first zone", membersOf(m, first), "web1 web2")
	m.end(p, 20, first[0], rollout.OutcomeSucceeded)
	want(t, "while one is left", membersOf(m, m.starts), "")
	m.end(p, 30, first[1], rollout.OutcomeSucceeded)
	want(t, "second zone", membersOf(m, m.starts), "web3 web4")
}
