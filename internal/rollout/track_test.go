package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

func late(m *memory, p *rollout.Plan, name, role string) {
	m.fold(p, rollout.Event{At: 100, Kind: rollout.Joined, Join: &rollout.Member{
		ID: "Machines-" + name, Name: name, Roles: []string{role}, Patience: 5000,
	}})
}

// fault 35: a machine that comes while the rollout runs goes through the closed
// steps of its roles by itself, run-once actions excepted, then queues for the
// open one within its window; the end waits for it.
func TestANewcomerJoins(t *testing.T) {
	t.Parallel()
	rolling := step("rolling", "web")
	rolling.Window.Number = 1
	p := plan(step("prepare", "web", runOnce("migrate"), action("prepare")), step("other", "db"), rolling)
	m := newMemory("ServerTasks-1")
	m.join(p, append(machines("web", 2), machines("db", 1)...)...)
	finishAll := func(n int) {
		for range n {
			for _, id := range m.send(p, 10) {
				m.end(p, 20, id, rollout.OutcomeSucceeded)
			}
		}
	}
	for m.row.Step < 2 {
		finishAll(1)
	}
	running := m.send(p, 30) // web1 in the rolling step
	late(m, p, "late", "web")
	want(t, "its own track", membersOf(m, m.starts), "late")
	if c := m.cells[rollout.CellKey{Step: 0, Member: "Machines-late"}]; c.State != rollout.CellSkipped || !strings.Contains(c.Reason, "once") {
		t.Errorf("the run-once action: %+v", c)
	}
	for _, id := range running {
		m.end(p, 40, id, rollout.OutcomeSucceeded)
	}
	finishAll(1) // late: prepare; web2: rolling
	want(t, "behind all others, one at a time", membersOf(m, m.starts), "late")
	if len(m.finished) != 0 {
		t.Fatal("the end did not wait")
	}
	finishAll(1)
	want(t, "end", fmt.Sprint(m.finished, m.steps[2].Done, m.steps[2].Scope), fmt.Sprint([]rollout.State{rollout.Succeeded}, 3, 3))
	if m.steps[0].Done != 2 || m.row.Members != 4 {
		t.Errorf("the closed step counts %d, the rollout %d members", m.steps[0].Done, m.row.Members)
	}
}

// Joining closes with the last step and with the first failure; a newcomer that
// fails makes the rollout red and stops nobody; one that leaves is waited for
// no longer.
func TestNewcomersThatDoNotMakeIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		happens func(*memory, *rollout.Plan)
		end     rollout.State
	}{
		"fails": {func(m *memory, p *rollout.Plan) {
			late(m, p, "late", "web")
			m.end(p, 110, m.send(p, 100)[0], rollout.OutcomeFailed)
		}, rollout.Failed},
		"leaves": {func(m *memory, p *rollout.Plan) {
			late(m, p, "late", "web")
			m.fold(p, rollout.Event{At: 110, Kind: rollout.Gone, Member: "Machines-late", By: "disabled"})
		}, rollout.Succeeded},
	} {
		p := plan(step("one", "web"), step("two", "db"), step("three", "db"))
		m := newMemory("ServerTasks-1")
		m.join(p, append(machines("web", 1), machines("db", 1)...)...)
		m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeSucceeded)
		second := m.send(p, 30)
		tc.happens(m, p)
		m.end(p, 120, second[0], rollout.OutcomeSucceeded)
		want(t, name+": the others go on", membersOf(m, m.starts), "db1")
		m.end(p, 130, m.send(p, 125)[0], rollout.OutcomeSucceeded)
		want(t, name, fmt.Sprint(m.finished), fmt.Sprintf("[%s]", tc.end))
	}
	p := plan(step("one", "web"), step("two", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 2)...)
	batch := m.send(p, 10)
	m.end(p, 20, batch[0], rollout.OutcomeFailed)
	late(m, p, "late", "web")
	if len(m.members) != 2 {
		t.Error("it joined a rollout that has failed")
	}
}

// design 8: a machine that comes while a release is rolled out gets it once one
// batch is verified, and then before the machines that serve the release
// before. A batch is as many machines as the window admits.
func TestANewcomerWaitsForAVerifiedBatch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		window rollout.Window
		fleet  int
		ends   int    // machines that succeed before the newcomer may begin
		next   string // who is begun then
	}{
		"one at a time":          {rollout.Window{Number: 1}, 3, 1, "late"},
		"two at a time":          {rollout.Window{Number: 2}, 6, 2, "late"},
		"a quarter at a time":    {rollout.Window{Percent: 25}, 11, 3, "late"}, // of 12
		"all at once":            {rollout.Window{}, 3, 3, "late"},
		"more room than members": {rollout.Window{Number: 9}, 3, 3, "late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := step("rolling", "web")
			s.Window = tc.window
			p := plan(s)
			m := newMemory("ServerTasks-1")
			m.join(p, machines("web", tc.fleet)...)
			running := m.send(p, 10)
			late(m, p, "late", "web")
			for range tc.ends {
				if strings.Contains(membersOf(m, append(running, m.starts...)), "late") {
					t.Fatal("it was begun before a batch was verified")
				}
				running = append(running, m.send(p, 15)...)
				m.end(p, 20, running[0], rollout.OutcomeSucceeded)
				running = running[1:]
			}
			want(t, "then", membersOf(m, m.starts), tc.next)
			for len(m.starts) > 0 || len(running) > 0 {
				running = append(running, m.send(p, 30)...)
				m.end(p, 40, running[0], rollout.OutcomeSucceeded)
				running = running[1:]
			}
			want(t, "end", fmt.Sprint(m.finished, m.steps[0].Done, m.steps[0].Scope), fmt.Sprint([]rollout.State{rollout.Succeeded}, tc.fleet+1, tc.fleet+1))
			if len(m.attempts) != tc.fleet+1 {
				t.Errorf("%d attempts for %d machines", len(m.attempts), tc.fleet+1)
			}
			if said := fmt.Sprint(m.notes); !strings.Contains(said, "late waits until a batch of rolling is verified.") {
				t.Errorf("said %s", said)
			}
		})
	}
}

// A failure in the first batch leaves the newcomer without the release; where
// failures are tolerated, or nobody is left to prove it, it does not wait for
// ever.
func TestANewcomerWithoutAVerifiedBatch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tolerate rollout.Tolerance
		gone     bool
		begun    bool
		end      rollout.State
	}{
		"failed":                {rollout.Tolerance{}, false, false, rollout.Failed},
		"failed, and tolerated": {rollout.Tolerance{All: true}, false, true, rollout.Failed},
		"gone":                  {rollout.Tolerance{}, true, true, rollout.Succeeded},
	} {
		s := step("rolling", "web")
		s.Tolerate = tc.tolerate
		p := plan(s)
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 2)...)
		running := m.send(p, 10)
		late(m, p, "late", "web")
		for i, id := range running {
			if tc.gone {
				m.fold(p, rollout.Event{At: 20, Kind: rollout.Gone, Member: fmt.Sprintf("Machines-web%d", i+1), By: "deleted"})
				continue
			}
			m.end(p, 20, id, rollout.OutcomeFailed)
		}
		if begun := len(m.starts) == 1; begun != tc.begun {
			t.Errorf("%s: begun %v", name, begun)
		}
		for _, id := range m.send(p, 30) {
			m.end(p, 40, id, rollout.OutcomeSucceeded)
		}
		want(t, name, fmt.Sprint(m.finished), fmt.Sprintf("[%s]", tc.end))
	}
}

// fault 35: a step that was skipped because no machine had its roles is not
// skipped for the machine that brings them: else the rollout would be green
// without it (I3; found by the simulation).
func TestANewcomerDoesWhatFoundNoMachine(t *testing.T) {
	t.Parallel()
	never := step("never", "db")
	never.Condition = rollout.ConditionFailure
	p := plan(step("database", "db"), never, step("web", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	web := m.send(p, 10)
	want(t, "the step without machine", string(m.steps[0].State), string(rollout.StepSkipped))
	late(m, p, "late", "db")
	want(t, "its own track", membersOf(m, m.starts), "late")
	m.end(p, 20, web[0], rollout.OutcomeSucceeded)
	if len(m.finished) != 0 {
		t.Fatal("green without the newcomer")
	}
	m.end(p, 30, m.send(p, 25)[0], rollout.OutcomeSucceeded)
	want(t, "end", fmt.Sprint(m.finished), fmt.Sprint([]rollout.State{rollout.Succeeded}))
	if _, there := m.cells[rollout.CellKey{Step: 1, Member: "Machines-late"}]; there {
		t.Error("it ran a step whose condition did not hold")
	}
}

// A newcomer that has caught up is admitted although the open step had looked
// at all others before, and at it while it was on its own way (I3; found by the
// simulation).
func TestANewcomerIsAdmittedAfterAllOthers(t *testing.T) {
	t.Parallel()
	rolling := step("rolling", "web")
	rolling.Window.Number = 2
	p := plan(step("prepare", "web"), rolling)
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 3)...)
	for _, id := range m.send(p, 10) {
		m.end(p, 20, id, rollout.OutcomeSucceeded)
	}
	first := m.send(p, 30)
	late(m, p, "late", "web")
	prepare := m.send(p, 110)
	m.end(p, 120, first[0], rollout.OutcomeSucceeded)
	third := m.send(p, 130)
	m.end(p, 140, first[1], rollout.OutcomeSucceeded) // looks at the newcomer, which is not there yet
	m.end(p, 150, prepare[0], rollout.OutcomeSucceeded)
	want(t, "as soon as it has caught up", membersOf(m, m.starts), "late")
	m.end(p, 160, third[0], rollout.OutcomeSucceeded)
	if len(m.finished) != 0 {
		t.Fatal("green without the newcomer")
	}
}
