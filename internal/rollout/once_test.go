package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

func runOnce(name string) rollout.Action {
	a := action(name)
	a.RunOnce = true
	return a
}

// design 5.2: the member that runs a run-once action leaves before it has
// started: another one is elected, also among those that have gone past it.
func TestAnotherMemberRunsOnceWhenTheFirstLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*memory, *rollout.Plan){
		"deleted": func(m *memory, p *rollout.Plan) {
			m.fold(p, rollout.Event{At: 40, Kind: rollout.Gone, Member: "Machines-db1", By: "deleted by ann"})
		},
		"silent": func(m *memory, p *rollout.Plan) { m.fold(p, rollout.Event{At: 9000, Kind: rollout.Timer}) },
	} {
		for _, window := range []int{0, 1, 2} {
			t.Run(fmt.Sprintf("%s, window %d", name, window), func(t *testing.T) {
				t.Parallel()
				s := step("deploy", "db", runOnce("migrate"), action("deploy"))
				s.Window.Number = window
				p := plan(s)
				p.SkipUnavailable = true
				m := newMemory("ServerTasks-1")
				m.join(p, machines("db", 3)...)
				held := m.starts[0] // of db1: never sent
				m.starts = m.starts[1:]
				for len(m.starts) > 0 {
					for _, id := range m.send(p, 20) {
						m.end(p, 30, id, rollout.OutcomeSucceeded)
					}
				}
				leave(m, p)
				for at := int64(10_000); len(m.starts) > 0; at += 10 {
					for _, id := range m.send(p, at) {
						m.end(p, at+5, id, rollout.OutcomeSucceeded)
					}
				}
				want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
				ran := 0
				for _, member := range []string{"Machines-db2", "Machines-db3"} {
					if m.cells[rollout.CellKey{Member: member}].State == rollout.CellSucceeded {
						ran++
					}
					if got := m.cells[rollout.CellKey{Action: 1, Member: member}]; got.State != rollout.CellSucceeded || got.Tries != 1 {
						t.Errorf("the action after it on %s: %+v", member, got)
					}
				}
				if ran != 1 {
					t.Errorf("it ran on %d members; %s never started", ran, held)
				}
				if s := m.steps[0]; s.Active != 0 || s.Done > s.Scope {
					t.Errorf("counters %+v", s)
				}
			})
		}
	}
}

// P1: a run-once action that may have run on a machine that is gone, or that
// nobody is left to run, is no success.
func TestARunOnceActionThatIsLostIsNotGreen(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"may have run": 2, "nobody is left": 1} {
		p := plan(step("migrate", "db", runOnce("migrate")), step("deploy", "web"))
		m := newMemory("ServerTasks-1")
		m.join(p, append(machines("db", n), machines("web", 1)...)...)
		if n == 2 {
			m.send(p, 10)
		}
		m.fold(p, rollout.Event{At: 20, Kind: rollout.Gone, Member: "Machines-db1", By: "terminated"})
		for len(m.starts) > 0 {
			for _, id := range m.send(p, 30) {
				m.end(p, 40, id, rollout.OutcomeSucceeded)
			}
		}
		if got := fmt.Sprint(m.finished); got != "[Failed]" {
			t.Errorf("%s: ended %s", name, got)
		}
		said := false
		for _, note := range m.notes {
			said = said || note.Category == "Error" && strings.Contains(note.Text, "once")
		}
		if !said {
			t.Errorf("%s: not said why: %+v", name, m.notes)
		}
	}
}
