package rollout_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/rollout"
)

func action(name string) rollout.Action {
	return rollout.Action{ID: name, Name: name, Type: "Octopus.Script", Condition: rollout.ConditionSuccess}
}

func step(name, role string, actions ...rollout.Action) rollout.Step {
	s := rollout.Step{ID: name, Name: name, Condition: rollout.ConditionSuccess, Actions: actions}
	if role != "" {
		s.Roles = []string{role}
	}
	if len(actions) == 0 {
		s.Actions = []rollout.Action{action(name)}
	}
	return s
}

func plan(steps ...rollout.Step) *rollout.Plan {
	return &rollout.Plan{Rules: rollout.Rules, Kind: rollout.Deploy, Task: "ServerTasks-1", Worker: rollout.Ref{ID: "Workers-1"}, Steps: steps}
}

func machines(role string, n int) []rollout.Member {
	var list []rollout.Member
	for i := range n {
		list = append(list, rollout.Member{ID: fmt.Sprintf("Machines-%s%d", role, i+1), Name: fmt.Sprintf("%s%d", role, i+1), Roles: []string{role}, Patience: 5000})
	}
	return list
}

// membersOf names the machines of attempts, in order.
func membersOf(m *memory, attempts []string) string {
	var names []string
	for _, id := range attempts {
		names = append(names, strings.TrimPrefix(m.attempts[id].Cell.Member, "Machines-"))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestStepsRunInSequenceAndMachinesInParallel(t *testing.T) {
	t.Parallel()
	p := plan(step("migrate", "db"), step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, append(machines("web", 3), machines("db", 1)...)...)

	first := m.send(p, 10)
	want(t, "first", membersOf(m, first), "db1")
	m.end(p, 20, first[0], rollout.OutcomeSucceeded)

	second := m.send(p, 30)
	want(t, "second", membersOf(m, second), "web1 web2 web3")
	for _, id := range second {
		m.end(p, 40, id, rollout.OutcomeSucceeded)
	}
	want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
}

func TestRollingWindowRunsAllActionsOnAMachineBeforeTheNext(t *testing.T) {
	t.Parallel()
	rolling := step("rolling", "web", action("out"), action("deploy"), action("in"))
	rolling.Window = rollout.Window{Number: 2}
	p := plan(rolling)
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 3)...)

	batch := m.send(p, 10)
	want(t, "window", membersOf(m, batch), "web1 web2")
	for range 3 { // web1 goes through its three actions while web2 stays in its first
		m.end(p, 20, batch[0], rollout.OutcomeSucceeded)
		next := m.send(p, 30)
		if len(next) == 1 {
			batch[0] = next[0]
		}
	}
	want(t, "admitted after web1", membersOf(m, batch[:1]), "web3")
}

func TestAFailedMachineStopsTheRemainingWindows(t *testing.T) {
	t.Parallel()
	rolling := step("rolling", "web")
	rolling.Window = rollout.Window{Percent: 34}
	always := step("holding page off", "web")
	always.Condition = rollout.ConditionAlways
	p := plan(rolling, step("after", "web"), always)
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 3)...)

	batch := m.send(p, 10)
	want(t, "34 % of 3, rounded down", membersOf(m, batch), "web1")
	m.end(p, 20, batch[0], rollout.OutcomeFailed)

	if m.steps[0].State != rollout.StepFailed || m.steps[1].State != rollout.StepSkipped {
		t.Fatalf("steps: %v, %v", m.steps[0].State, m.steps[1].State)
	}
	batch = m.send(p, 30)
	want(t, "always", membersOf(m, batch), "web1 web2 web3")
	for _, id := range batch {
		m.end(p, 40, id, rollout.OutcomeSucceeded)
	}
	want(t, "end", fmt.Sprint(m.finished), "[Failed]")
}

func TestActionConditionsLookAtTheMachinesOwnTrack(t *testing.T) {
	t.Parallel()
	clean := action("clean")
	clean.Condition = rollout.ConditionFailure
	back := action("back")
	back.Condition = rollout.ConditionAlways
	p := plan(step("rolling", "web", action("deploy"), action("verify"), clean, back))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)

	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeFailed)
	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeSucceeded)
	m.end(p, 20, m.send(p, 10)[0], rollout.OutcomeSucceeded)
	var states []string
	for i := range 4 {
		states = append(states, string(m.cells[rollout.CellKey{Action: i, Member: "Machines-web1"}].State))
	}
	want(t, "cells", strings.Join(states, " "), "Failed Skipped Succeeded Succeeded")
	want(t, "end", fmt.Sprint(m.finished), "[Failed]")
}

func TestRunOnceRunsOnOneMember(t *testing.T) {
	t.Parallel()
	once := action("migrate")
	once.RunOnce = true
	p := plan(step("migrate", "db", once))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("db", 3)...)
	batch := m.send(p, 10)
	want(t, "chosen", membersOf(m, batch), "db1")
	m.end(p, 20, batch[0], rollout.OutcomeSucceeded)
	want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
}

// fault 15: a machine that is silent is given up after its patience, and the
// others go on.
func TestASilentMachineDoesNotHangTheRollout(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		started, skip bool
		state         rollout.CellState
		end           rollout.State
	}{
		{"never sent", false, false, rollout.CellNotDeployed, rollout.Failed},
		{"never sent, may be skipped", false, true, rollout.CellNotDeployed, rollout.Succeeded},
		{"running", true, false, rollout.CellUnknown, rollout.Failed},
		{"running, may be skipped", true, true, rollout.CellUnknown, rollout.Succeeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rolling := step("rolling", "web")
			rolling.Window = rollout.Window{Number: 1}
			p := plan(rolling)
			p.SkipUnavailable = tc.skip
			m := newMemory("ServerTasks-1")
			m.join(p, machines("web", 2)...)
			if tc.started {
				m.send(p, 10)
				m.fold(p, rollout.Event{At: 1000, Kind: rollout.Lost, Member: "Machines-web1"})
			}
			m.fold(p, rollout.Event{At: 5000, Kind: rollout.Timer})
			if tc.started && m.cells[rollout.CellKey{Member: "Machines-web1"}].State != rollout.CellRunning {
				t.Fatal("given up before its patience ran out")
			}
			m.fold(p, rollout.Event{At: 6001, Kind: rollout.Timer})
			m.end(p, 7000, m.send(p, 6500)[0], rollout.OutcomeSucceeded)

			if got := m.cells[rollout.CellKey{Member: "Machines-web1"}].State; got != tc.state {
				t.Errorf("cell is %s, want %s", got, tc.state)
			}
			if got := m.members[0].State; got != rollout.MemberNotDeployed {
				t.Errorf("member is %s", got)
			}
			if m.row.Warnings == 0 {
				t.Error("no warning")
			}
			want(t, "I3: end", fmt.Sprint(m.finished), fmt.Sprintf("[%s]", tc.end))
		})
	}
}

func TestAMachineThatComesBackInTimeGoesOn(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	id := m.send(p, 10)[0]
	m.fold(p, rollout.Event{At: 1000, Kind: rollout.Lost, Member: "Machines-web1"})
	m.fold(p, rollout.Event{At: 3000, Kind: rollout.Back, Member: "Machines-web1"})
	m.fold(p, rollout.Event{At: 60_000, Kind: rollout.Timer})
	m.end(p, 70_000, id, rollout.OutcomeSucceeded)
	want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
}

// A package that travels for longer than the machine may be silent does not
// make it silent; a lost link does.
func TestLongTransfersAreNotSilence(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		p := plan(step("deploy", "web"))
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		m.fold(p, rollout.Event{At: 1000, Kind: rollout.Sending, Attempt: m.starts[0]})
		if lost {
			m.fold(p, rollout.Event{At: 2000, Kind: rollout.Lost, Member: "Machines-web1"})
		}
		m.fold(p, rollout.Event{At: 60_000, Kind: rollout.Timer})
		if got := m.cells[rollout.CellKey{Member: "Machines-web1"}].State; (got == rollout.CellNotDeployed) != lost {
			t.Errorf("link lost %v: cell is %s", lost, got)
		}
	}
}

// fault 34: a machine that a person deleted is superseded and named.
func TestADeletedMachineIsSuperseded(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 2)...)
	batch := m.send(p, 10)
	m.fold(p, rollout.Event{At: 20, Kind: rollout.Gone, Member: "Machines-web1", By: "deleted by ann"})
	m.end(p, 30, batch[0], rollout.OutcomeSucceeded) // late: changes nothing
	m.end(p, 40, batch[1], rollout.OutcomeSucceeded)
	if got := m.cells[rollout.CellKey{Member: "Machines-web1"}].State; got != rollout.CellSuperseded {
		t.Errorf("cell is %s", got)
	}
	want(t, "end", fmt.Sprint(m.finished), "[Succeeded]")
	named := slices.ContainsFunc(m.notes, func(n rollout.Note) bool {
		return n.Category == "Warning" && n.Member == "Machines-web1" && strings.Contains(n.Text, "web1") && strings.Contains(n.Text, "deleted by ann")
	})
	if m.row.Warnings != 1 || !named {
		t.Errorf("success with %d warnings: %+v", m.row.Warnings, m.notes)
	}
}

// I2: only an attempt that provably never started is tried again by itself.
func TestOnlyNotStartedIsRetried(t *testing.T) {
	t.Parallel()
	for outcome, tries := range map[rollout.Outcome]int{
		rollout.OutcomeNotStarted: 2, rollout.OutcomeUnknown: 1, rollout.OutcomeFailed: 1, rollout.OutcomeTimedOut: 1,
	} {
		p := plan(step("deploy", "web"))
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		m.end(p, 20, m.send(p, 10)[0], outcome)
		m.fold(p, rollout.Event{At: 1020, Kind: rollout.Timer})
		m.send(p, 1030)
		if got := len(m.attempts); got != tries {
			t.Errorf("I2: %s: %d attempts, want %d", outcome, got, tries)
		}
	}
}

// fault 42: what will not pass by itself is not tried again.
func TestNotStartedForGoodHasFailed(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	id := m.send(p, 10)[0]
	m.fold(p, rollout.Event{At: 20, Kind: rollout.Ended, Attempt: id, End: &rollout.End{Outcome: rollout.OutcomeNotStarted, Reason: "the package is damaged"}})
	want(t, "end", fmt.Sprint(m.finished), "[Failed]")
	if c := m.cells[rollout.CellKey{Member: "Machines-web1"}]; c.State != rollout.CellFailed || c.Reason != "did not start: the package is damaged" || len(m.attempts) != 1 {
		t.Errorf("cell %+v after %d attempts", c, len(m.attempts))
	}
}

// P1: a package counts as installed only with the right receipt.
func TestSuccessNeedsTheRightReceipt(t *testing.T) {
	t.Parallel()
	good := func(attempt string) *rollout.Receipt {
		return &rollout.Receipt{Attempt: attempt, PackageSHA256: "abc", InstallDir: "/apps/1", Files: 3, Tree: "t"}
	}
	for _, tc := range []struct {
		name   string
		change func(*rollout.Receipt) *rollout.Receipt
		end    rollout.State
	}{
		{"right", func(r *rollout.Receipt) *rollout.Receipt { return r }, rollout.Succeeded},
		{"none", func(*rollout.Receipt) *rollout.Receipt { return nil }, rollout.Failed},
		{"other attempt", func(r *rollout.Receipt) *rollout.Receipt { r.Attempt = "other"; return r }, rollout.Failed},
		{"other digest", func(r *rollout.Receipt) *rollout.Receipt { r.PackageSHA256 = "def"; return r }, rollout.Failed},
		{"nothing installed", func(r *rollout.Receipt) *rollout.Receipt { r.Tree = ""; return r }, rollout.Failed},
		{"scripts only", func(r *rollout.Receipt) *rollout.Receipt { r.Files = 0; return r }, rollout.Succeeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			deploy := action("deploy")
			deploy.Receipt = true
			deploy.Packages = []rollout.Package{{PackageID: "Shop", Version: "1", SHA256: "abc"}}
			p := plan(step("deploy", "web", deploy))
			m := newMemory("ServerTasks-1")
			m.join(p, machines("web", 1)...)
			id := m.send(p, 10)[0]
			m.fold(p, rollout.Event{At: 20, Kind: rollout.Ended, Attempt: id, End: &rollout.End{Outcome: rollout.OutcomeSucceeded, Receipt: tc.change(good(id))}})
			want(t, "I3: end", fmt.Sprint(m.finished), fmt.Sprintf("[%s]", tc.end))
		})
	}
}

// I7, fault 17: what is said of an attempt after it has its outcome changes
// nothing.
func TestTheFirstOutcomeCounts(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 2)...)
	ids := m.send(p, 10)
	m.end(p, 20, ids[0], rollout.OutcomeFailed)
	m.end(p, 30, ids[0], rollout.OutcomeSucceeded)
	if got := m.attempts[ids[0]]; got.Outcome != rollout.OutcomeFailed {
		t.Errorf("I7: an attempt that had failed is %s", got.Outcome)
	}
	m.end(p, 40, ids[1], rollout.OutcomeSucceeded)
	want(t, "I7: end", fmt.Sprint(m.finished), "[Failed]")
}

// The same events give the same rows, effects and bytes to send, in the same
// order: on any node, at any time (I15).
func TestTheSameHistoryGivesTheSameState(t *testing.T) {
	t.Parallel()
	history := func() string {
		shout := action("shout")
		shout.Properties = map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6"}
		p := plan(step("deploy", "web", shout), step("announce", "web"))
		p.BuiltIns = map[string]string{"x": "1", "y": "2", "z": "3"}
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 100)...)
		sent := m.send(p, 10)
		for i, outcome := range []rollout.Outcome{rollout.OutcomeSucceeded, rollout.OutcomeFailed, rollout.OutcomeNotStarted, rollout.OutcomeUnknown} {
			m.end(p, 20, sent[i], outcome)
		}
		for _, at := range []int64{3000, 200_000} {
			m.fold(p, rollout.Event{At: at, Kind: rollout.Timer})
		}
		m.fold(p, rollout.Event{At: 300_000, Kind: rollout.Cancel, By: "ann"})
		var out strings.Builder
		fmt.Fprintln(&out, m.row, m.steps, m.members, m.starts, m.cancels, m.notes, m.cells)
		for _, id := range slices.Sorted(maps.Keys(m.attempts)) {
			fmt.Fprintln(&out, m.attempts[id])
		}
		return out.String()
	}
	first := history()
	for range 5 {
		if again := history(); again != first {
			t.Fatalf("I15: the same history gave\n%s\nand then\n%s", first, again)
		}
	}
}

func TestCancelEndsWhatRunsAndWhatWaits(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 200)...)
	running := m.starts[:100]
	rest := m.starts[100:]
	m.starts = running
	m.send(p, 10)
	m.starts = rest
	m.fold(p, rollout.Event{At: 20, Kind: rollout.Cancel, By: "ann"})
	if len(m.cancels) != 100 {
		t.Fatalf("%d running attempts were asked to end, want 100", len(m.cancels))
	}
	for _, id := range m.cancels {
		m.end(p, 30, id, rollout.OutcomeCanceled)
	}
	want(t, "end", fmt.Sprint(m.finished), "[Canceled]")
	if m.row.OpenCells != 0 || len(m.starts) != 0 {
		t.Errorf("%d open cells, %d starts left", m.row.OpenCells, len(m.starts))
	}
}

// TestCostPerEventIsConstant holds design 5.3: rows read and written per event
// do not grow with the fleet.
func TestCostPerEventIsConstant(t *testing.T) {
	t.Parallel()
	cost := func(n int, fails bool) int {
		rolling := step("rolling", "web", action("out"), action("deploy"))
		rolling.Window = rollout.Window{Number: 5}
		rolling.Limit = 60_000
		p := plan(rolling)
		p.Guided = true
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", n)...)
		worst := 0
		event := func(f func()) {
			m.read, m.written = 0, 0
			f()
			worst = max(worst, m.read+m.written)
		}
		for i := range 20 {
			for _, id := range m.send(p, 10) {
				if i == 0 && fails { // asked and answered
					event(func() { m.end(p, 20, id, rollout.OutcomeFailed) })
					event(func() { m.answer(p, 20, rollout.Ignore) })
					continue
				}
				event(func() { m.end(p, 20, id, rollout.OutcomeSucceeded) })
			}
		}
		return worst
	}
	for _, fails := range []bool{false, true} {
		small, large := cost(10, fails), cost(10_000, fails)
		if large > small {
			t.Errorf("failures %v: an event touches %d rows with 10 members and %d with 10,000", fails, small, large)
		}
	}
}

// The output variables of a large fleet are read once for all the attempts that
// one turn makes, and each attempt sees those set before it.
func TestOutputsAreReadOnceATurn(t *testing.T) {
	t.Parallel()
	there := action("tell")
	there.OnServer = true // needs no slot, so that one event makes all attempts
	p := plan(step("ask", "web"), step("tell", "web", there))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 30)...)
	for _, id := range m.send(p, 10) {
		m.outputReads = 0
		m.fold(p, rollout.Event{At: 20, Kind: rollout.Ended, Attempt: id, End: &rollout.End{Outcome: rollout.OutcomeSucceeded, Outputs: []rollout.Set{{Name: "X", Value: id}}}})
	}
	if m.outputReads != 1 || len(m.starts) != 30 {
		t.Errorf("%d reads for %d attempts", m.outputReads, len(m.starts))
	}
	for _, id := range m.starts {
		if a := m.attempts[id]; a.Outputs != 30 {
			t.Errorf("%s sees %d outputs", id, a.Outputs)
		}
	}
}

// TestEveryHistoryEnds drives random plans with random outcomes, silences,
// deletions and cancels, and checks after every event what must always hold.
func TestEveryHistoryEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		m := newMemory("ServerTasks-1")
		fleet := append(machines("web", rapid.IntRange(0, 5).Draw(t, "web")), machines("db", rapid.IntRange(0, 3).Draw(t, "db"))...)
		for i := range fleet {
			fleet[i].Zone = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")
		}
		m.join(p, append(fleet, rollout.Member{ID: "Workers-1", Name: "server", Worker: true})...)
		now := int64(10)
		started := map[string]bool{}
		for range 400 {
			if len(m.finished) > 0 {
				break
			}
			now += 500
			drawEvent(t, p, m, now, started)
			check(t, p, m)
		}
		for range 100 { // whatever is left is silent from now on
			if len(m.finished) > 0 {
				break
			}
			now += 200_000
			for _, member := range m.members {
				m.fold(p, rollout.Event{At: now - 150_000, Kind: rollout.Lost, Member: member.ID})
			}
			m.fold(p, rollout.Event{At: now, Kind: rollout.Timer})
			for n := range len(m.asked) { // and people say no
				if q := m.asked[n]; m.open[q.N] != nil {
					m.answerTo(p, now, q, q.Choices[len(q.Choices)-1])
				}
			}
			check(t, p, m)
		}
		if len(m.finished) != 1 || len(m.open) != 0 || m.row.OpenCells != 0 {
			t.Fatalf("finished %v with %d open cells", m.finished, m.row.OpenCells)
		}
	})
}

func drawPlan(t *rapid.T) *rollout.Plan {
	conditions := []rollout.Condition{rollout.ConditionSuccess, rollout.ConditionSuccess, rollout.ConditionFailure, rollout.ConditionAlways}
	var steps []rollout.Step
	for i := range rapid.IntRange(1, 4).Draw(t, "steps") {
		var actions []rollout.Action
		for j := range rapid.IntRange(1, 3).Draw(t, "actions") {
			a := action(fmt.Sprintf("a%d.%d", i, j))
			a.Condition = rapid.SampledFrom(conditions).Draw(t, "condition")
			a.OnServer = rapid.Bool().Draw(t, "on server")
			a.RunOnce = rapid.IntRange(0, 5).Draw(t, "once") == 0
			a.Retries = rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "retries")
			a.Idempotent = rapid.IntRange(0, 3).Draw(t, "idempotent") == 0
			a.Limit = rapid.SampledFrom([]int64{0, 0, 700}).Draw(t, "limit")
			if rapid.IntRange(0, 9).Draw(t, "manual") == 0 {
				a.Manual = &rollout.Manual{Instructions: "Look.", Within: rapid.SampledFrom([]int64{0, 3000}).Draw(t, "within")}
			}
			actions = append(actions, a)
		}
		s := step(fmt.Sprintf("s%d", i), rapid.SampledFrom([]string{"web", "db", "none", ""}).Draw(t, "role"), actions...)
		s.Condition = rapid.SampledFrom(conditions).Draw(t, "step condition")
		s.Window.Number = rapid.IntRange(0, 2).Draw(t, "window")
		s.Zonal = rapid.IntRange(0, 3).Draw(t, "zonal") == 0
		s.WithPrevious = i > 0 && rapid.IntRange(0, 2).Draw(t, "with previous") == 0
		s.Tolerate = rapid.SampledFrom([]rollout.Tolerance{{}, {}, {All: true}, {Number: 1}, {Percent: 40}}).Draw(t, "tolerate")
		s.Limit = rapid.SampledFrom([]int64{0, 0, 0, 5000}).Draw(t, "step limit")
		steps = append(steps, s)
	}
	p := plan(steps...)
	p.SkipUnavailable = rapid.Bool().Draw(t, "skip unavailable")
	p.Guided, p.AskUnknown = rapid.Bool().Draw(t, "guided"), rapid.Bool().Draw(t, "ask unknown")
	p.AnswerWithin = rapid.SampledFrom([]int64{0, 4000}).Draw(t, "answer within")
	return p
}

func drawEvent(t *rapid.T, p *rollout.Plan, m *memory, now int64, started map[string]bool) {
	var running []string
	for id, a := range m.attempts {
		if a.SentAt != 0 && a.Outcome == rollout.OutcomeNone {
			running = append(running, id)
		}
	}
	slices.Sort(running)
	roll := rapid.IntRange(0, 99).Draw(t, "event")
	switch {
	case roll < 40:
		for _, id := range m.send(p, now) {
			if started[id] {
				t.Fatalf("attempt %s started twice", id) // I1
			}
			started[id] = true
		}
	case roll < 85 && len(running) > 0:
		outcome := rapid.SampledFrom([]rollout.Outcome{
			rollout.OutcomeSucceeded, rollout.OutcomeSucceeded, rollout.OutcomeSucceeded, rollout.OutcomeFailed, rollout.OutcomeUnknown,
			rollout.OutcomeNotStarted, rollout.OutcomeTimedOut, rollout.OutcomeCanceled,
		}).Draw(t, "outcome")
		m.end(p, now, rapid.SampledFrom(running).Draw(t, "attempt"), outcome)
	case roll < 90 && len(m.members) > 0:
		kind := rapid.SampledFrom([]rollout.EventKind{rollout.Lost, rollout.Back}).Draw(t, "link")
		m.fold(p, rollout.Event{At: now, Kind: kind, Member: rapid.SampledFrom(m.members).Draw(t, "member").ID})
	case roll < 92 && len(m.members) > 0:
		if member := rapid.SampledFrom(m.members).Draw(t, "gone"); !member.Worker {
			m.fold(p, rollout.Event{At: now, Kind: rollout.Gone, Member: member.ID, By: "test"})
		}
	case roll == 92 && len(m.members) < 12:
		role := rapid.SampledFrom([]string{"web", "db"}).Draw(t, "newcomer")
		m.fold(p, rollout.Event{At: now, Kind: rollout.Joined, Join: &rollout.Member{
			ID: fmt.Sprintf("Machines-late%d", len(m.members)), Name: fmt.Sprintf("late%d", len(m.members)), Roles: []string{role}, Patience: 5000,
		}})
	case roll < 97 && len(m.asked) > 0: // also a second answer, and one to a question that is not asked any more
		q := rapid.SampledFrom(m.asked).Draw(t, "question")
		m.answerTo(p, now, q, rapid.SampledFrom(q.Choices).Draw(t, "answer"))
	case roll == 99:
		m.fold(p, rollout.Event{At: now, Kind: rollout.Cancel, By: "test"})
	default:
		m.fold(p, rollout.Event{At: now, Kind: rollout.Timer})
	}
}

// check holds what must be true after every event.
func check(t *rapid.T, p *rollout.Plan, m *memory) {
	open := 0
	active := map[int]map[string]bool{}
	for k, c := range m.cells {
		if !c.State.Open() {
			continue
		}
		open++
		if active[k.Step] == nil {
			active[k.Step] = map[string]bool{}
		}
		if active[k.Step][k.Member] {
			t.Fatalf("member %s has two open cells in step %d", k.Member, k.Step)
		}
		active[k.Step][k.Member] = true
		if member := m.members[m.byID[k.Member]]; member.Track > 0 {
			if member.Track != k.Step+1 || m.steps[k.Step].State == rollout.StepOpen {
				t.Fatalf("member %+v has the open cell %v", member, k)
			}
			delete(active[k.Step], k.Member)
		} else if m.steps[k.Step].State != rollout.StepOpen && m.steps[k.Step].State != rollout.StepCanceled {
			t.Fatalf("open cell %v while step %d is open", k, m.row.Step)
		}
		if q := m.open[c.Interruption]; (c.State == rollout.CellInterrupted) != (q != nil && q.Cell == k) {
			t.Fatalf("cell %+v and its question %+v", c, q)
		}
	}
	if waiting := len(m.open); waiting > open {
		t.Fatalf("%d questions, %d open cells", waiting, open)
	}
	if open != m.row.OpenCells {
		t.Fatalf("%d open cells, the row counts %d", open, m.row.OpenCells)
	}
	for i := range p.Steps {
		if w := p.Steps[i].Window.Number; w > 0 && len(active[i]) > w {
			t.Fatalf("step %d works on %d machines, window %d", i, len(active[i]), w) // I8
		}
		zones := map[string]bool{}
		for member := range active[i] {
			zones[m.members[m.byID[member]].Zone] = true
		}
		if p.Steps[i].Zonal && len(zones) > 1 {
			t.Fatalf("step %d works in the zones %v at once", i, zones)
		}
		if m.steps[i].Active != len(active[i]) {
			t.Fatalf("step %d counts %d active, %d are", i, m.steps[i].Active, len(active[i]))
		}
	}
	tracking := 0
	for i := range m.members {
		if m.members[i].Track > 0 {
			tracking++
		}
	}
	if tracking != m.row.Tracking {
		t.Fatalf("%d members on their own track, the row counts %d", tracking, m.row.Tracking)
	}
	checkOnce(t, p, m)
	if len(m.finished) == 1 && m.finished[0] == rollout.Succeeded {
		checkGreen(t, p, m)
	}
}

// checkOnce holds design 5.2: a run-once action is started on one member at
// most, unless it provably has not started there, and a green rollout in which
// a member left it to another has it done.
func checkOnce(t *rapid.T, p *rollout.Plan, m *memory) {
	ran, left := map[[2]int]map[string]bool{}, map[[2]int]bool{}
	for k, c := range m.cells {
		once := [2]int{k.Step, k.Action}
		if !p.Steps[k.Step].Actions[k.Action].RunOnce {
			continue
		}
		if strings.HasPrefix(c.Reason, "runs once") {
			left[once] = true
		}
		answered := p.Steps[k.Step].Actions[k.Action].Manual != nil && c.State == rollout.CellSucceeded
		if a := m.attempts[c.Attempt]; c.Ran || answered || c.Attempt != "" && a.Outcome != rollout.OutcomeNotStarted {
			if ran[once] == nil {
				ran[once] = map[string]bool{}
			}
			ran[once][k.Member] = true
		}
	}
	for once, members := range ran {
		if len(members) > 1 {
			t.Fatalf("action %v runs once and may have run on %v", once, members)
		}
	}
	if len(m.finished) == 1 && m.finished[0] == rollout.Succeeded {
		for once := range left {
			if len(ran[once]) != 1 {
				t.Fatalf("green, and nobody ran action %v", once)
			}
		}
	}
}

// checkGreen holds I3: green only if no live member has a cell that failed or
// whose end is not known.
func checkGreen(t *rapid.T, p *rollout.Plan, m *memory) {
	for i := range m.members {
		member := &m.members[i]
		for s := range p.Steps {
			if member.State != rollout.MemberLive || !p.Steps[s].Covers(member) || m.steps[s].State != rollout.StepSucceeded {
				continue
			}
			for a := range p.Steps[s].Actions {
				if m.cells[rollout.CellKey{Step: s, Action: a, Member: member.ID}].State == "" {
					t.Fatalf("green, and %s never came to step %d, action %d", member.ID, s, a)
				}
			}
		}
	}
	for k, c := range m.cells {
		member := m.members[m.byID[k.Member]]
		if member.State == rollout.MemberLive && c.State != rollout.CellSucceeded && c.State != rollout.CellSkipped && c.State != rollout.CellIgnored {
			t.Fatalf("green with cell %v in state %s", k, c.State)
		}
	}
}

// A transfer that is cut off and begun again and again is at last the silence
// of its machine: no rollout hangs for ever (I13).
func TestATransferThatNeverArrivesEnds(t *testing.T) {
	t.Parallel()
	p := plan(step("deploy", "web"))
	m := newMemory("ServerTasks-1")
	m.join(p, machines("web", 1)...)
	id := m.starts[0]
	for at := int64(1000); at < 24*3_600_000 && len(m.finished) == 0; at += 90_000 {
		m.fold(p, rollout.Event{At: at, Kind: rollout.Sending, Attempt: id})
		m.fold(p, rollout.Event{At: at, Kind: rollout.Timer})
	}
	want(t, "after a day", fmt.Sprint(m.finished), "[Failed]")
}

// P2: the time in which no server ran is nobody's silence.
func TestSilenceCountsOnlyWhileAServerRuns(t *testing.T) {
	t.Parallel()
	for _, started := range []bool{false, true} {
		p := plan(step("deploy", "web"))
		m := newMemory("ServerTasks-1")
		m.join(p, machines("web", 1)...)
		if started {
			m.send(p, 10)
			m.fold(p, rollout.Event{At: 1000, Kind: rollout.Lost, Member: "Machines-web1"})
		}
		state := func() rollout.CellState { return m.cells[rollout.CellKey{Member: "Machines-web1"}].State }
		m.fold(p, rollout.Event{At: 600_000, Kind: rollout.Timer, Since: 599_000})
		m.fold(p, rollout.Event{At: 603_000, Kind: rollout.Timer, Since: 599_000})
		if state() != rollout.CellRunning {
			t.Errorf("started %v: given up %s after a restart", started, state())
		}
		m.fold(p, rollout.Event{At: 604_000, Kind: rollout.Timer, Since: 599_000})
		if state() == rollout.CellRunning {
			t.Errorf("started %v: never given up", started)
		}
	}
}
