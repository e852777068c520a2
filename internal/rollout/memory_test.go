package rollout_test

import (
	"cmp"
	"slices"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// memory is Rows in maps, which counts what Next reads; it carries the local
// effects out as the engine does.
type memory struct {
	row      rollout.Row
	steps    map[int]rollout.StepRow
	members  []rollout.Member
	byID     map[string]int
	cells    map[rollout.CellKey]rollout.Cell
	openKeys map[rollout.CellKey]bool
	unsorted bool // members
	attempts map[string]rollout.Attempt
	outputs  []rollout.Output
	slots    map[string][]rollout.CellKey

	read, written int
	outputReads   int      // calls of Outputs
	starts        []string // attempts whose start was asked for
	cancels       []string
	notes         []rollout.Note
	finished      []rollout.State
	asked         []*rollout.Interruption
	open          map[int]*rollout.Interruption // not answered or withdrawn yet
}

func newMemory(task string) *memory {
	return &memory{
		row:      rollout.Row{ID: task, State: rollout.Queued},
		steps:    map[int]rollout.StepRow{},
		byID:     map[string]int{},
		cells:    map[rollout.CellKey]rollout.Cell{},
		openKeys: map[rollout.CellKey]bool{},
		attempts: map[string]rollout.Attempt{},
		slots:    map[string][]rollout.CellKey{},
		open:     map[int]*rollout.Interruption{},
	}
}

func (m *memory) Step(i int) rollout.StepRow { m.read++; return m.steps[i] }

func (m *memory) Member(id string) (rollout.Member, bool) {
	m.read++
	i, ok := m.byID[id]
	if !ok {
		return rollout.Member{}, false
	}
	return m.members[i], true
}

func (m *memory) Members(after int64, n int) []rollout.Member {
	ordered := m.members
	if byOrd := func(a, b rollout.Member) int { return cmp.Compare(a.Ord, b.Ord) }; m.unsorted {
		ordered = slices.SortedFunc(slices.Values(ordered), byOrd)
	}
	i, _ := slices.BinarySearchFunc(ordered, after+1, func(a rollout.Member, ord int64) int { return cmp.Compare(a.Ord, ord) })
	page := slices.Clone(ordered[i:min(i+n, len(ordered))])
	m.read += len(page)
	return page
}

func (m *memory) Cell(k rollout.CellKey) (rollout.Cell, bool) {
	m.read++
	c, ok := m.cells[k]
	return c, ok
}

func (m *memory) pick(n int, match func(rollout.Cell) bool, order func(a, b rollout.Cell) int) []rollout.Cell {
	var list []rollout.Cell
	for k := range m.openKeys {
		if c := m.cells[k]; match(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, order)
	list = list[:min(n, len(list))]
	m.read += len(list)
	return list
}

func byKey(a, b rollout.Cell) int {
	switch {
	case a.Less(b.CellKey):
		return -1
	case b.Less(a.CellKey):
		return 1
	}
	return 0
}

func (m *memory) OpenCells(of rollout.Filter, after *rollout.CellKey, n int) []rollout.Cell {
	return m.pick(n, func(c rollout.Cell) bool {
		return (of.Member == "" || c.Member == of.Member) && (of.Executor == "" || c.Executor == of.Executor) && (after == nil || after.Less(c.CellKey))
	}, byKey)
}

func (m *memory) DueCells(at int64, n int) []rollout.Cell {
	return m.pick(n, func(c rollout.Cell) bool { return c.DueAt > 0 && c.DueAt <= at },
		func(a, b rollout.Cell) int { return cmp.Or(cmp.Compare(a.DueAt, b.DueAt), byKey(a, b)) })
}

func (m *memory) Attempt(id string) (rollout.Attempt, bool) {
	m.read++
	a, ok := m.attempts[id]
	return a, ok
}

func (m *memory) Outputs(n int) []rollout.Output {
	m.outputReads++
	return slices.Clone(m.outputs[:n])
}

// fold is one turn of one event, with those that its local effects bring back.
func (m *memory) fold(p *rollout.Plan, event rollout.Event) {
	queue := []rollout.Event{event}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		queue = append(queue, m.apply(p, next)...)
	}
}

// apply is Next once, committed at once.
func (m *memory) apply(p *rollout.Plan, event rollout.Event) (back []rollout.Event) {
	w := rollout.NewWorking(m.row, m)
	effects := rollout.Next(p, w, event)
	m.save(w.Changes())
	grant := func(machine string) {
		if queue := m.slots[machine]; len(queue) > 0 {
			key := queue[0]
			back = append(back, rollout.Event{At: event.At, Kind: rollout.SlotGranted, Cell: &key})
		}
	}
	for _, e := range effects {
		switch e.Kind {
		case rollout.WantSlot:
			if m.slots[e.Machine] = append(m.slots[e.Machine], *e.Cell); len(m.slots[e.Machine]) == 1 {
				grant(e.Machine)
			}
		case rollout.FreeSlot:
			machine := e.Cell.Member
			if i := slices.Index(m.slots[machine], *e.Cell); i >= 0 {
				m.slots[machine] = slices.Delete(m.slots[machine], i, i+1)
				if i == 0 {
					grant(machine)
				}
			}
		case rollout.Again:
			back = append(back, rollout.Event{At: event.At, Kind: rollout.Continue})
		case rollout.StartAttempt:
			m.starts = append(m.starts, e.Attempt)
		case rollout.CancelAttempt:
			m.cancels = append(m.cancels, e.Attempt)
		case rollout.Withdraw:
			m.starts = slices.DeleteFunc(m.starts, func(a string) bool { return a == e.Attempt })
		case rollout.Finish:
			m.finished = append(m.finished, e.State)
		case rollout.Say:
			m.notes = append(m.notes, *e.Note)
		case rollout.ForgetAttempt:
		}
	}
	return back
}

func (m *memory) save(c rollout.Changes) {
	m.row = c.Row
	m.written += 1 + len(c.Steps) + len(c.Members) + len(c.Cells) + len(c.Attempts) + len(c.Outputs)
	for _, s := range c.Steps {
		m.steps[s.Index] = *s
	}
	for _, member := range c.Members {
		if i, ok := m.byID[member.ID]; ok {
			m.unsorted = m.unsorted || m.members[i].Ord != member.Ord
			m.members[i] = *member
			continue // one that has changed its order is found by it in Members
		}
		m.unsorted = m.unsorted || len(m.members) > 0 && m.members[len(m.members)-1].Ord > member.Ord
		m.byID[member.ID] = len(m.members)
		m.members = append(m.members, *member)
	}
	for _, cell := range c.Cells {
		m.cells[cell.CellKey] = *cell
		if delete(m.openKeys, cell.CellKey); cell.State.Open() {
			m.openKeys[cell.CellKey] = true
		}
	}
	for _, a := range c.Attempts {
		sent := m.attempts[a.ID].SentAt
		m.attempts[a.ID] = *a
		if stored := m.attempts[a.ID]; sent != 0 {
			stored.SentAt = sent
			m.attempts[a.ID] = stored
		}
	}
	m.outputs = append(m.outputs, c.Outputs...)
	m.asked = append(m.asked, c.Asked...)
	m.written += len(c.Asked) + len(c.Closed)
	for _, q := range c.Asked {
		m.open[q.N] = q
	}
	for _, closed := range c.Closed {
		delete(m.open, closed.N)
	}
}

// send marks every waiting start as sent and accepted, and returns them.
func (m *memory) send(p *rollout.Plan, at int64) []string {
	batch := m.starts
	m.starts = nil
	for _, id := range batch {
		a := m.attempts[id]
		a.SentAt = at
		m.attempts[id] = a
		m.fold(p, rollout.Event{At: at, Kind: rollout.Started, Attempt: id})
	}
	return batch
}

func (m *memory) end(p *rollout.Plan, at int64, id string, outcome rollout.Outcome) {
	m.fold(p, rollout.Event{At: at, Kind: rollout.Ended, Attempt: id, End: &rollout.End{
		Outcome: outcome, Reason: string(outcome), Retry: outcome == rollout.OutcomeNotStarted,
	}})
}

// answer is what a person says to the only open question.
func (m *memory) answer(p *rollout.Plan, at int64, guidance rollout.Guidance) {
	for _, q := range m.open {
		m.answerTo(p, at, q, guidance)
		return
	}
}

func (m *memory) answerTo(p *rollout.Plan, at int64, q *rollout.Interruption, guidance rollout.Guidance) {
	m.fold(p, rollout.Event{At: at, Kind: rollout.Answered, Cell: &q.Cell, Answer: &rollout.Answer{
		Interruption: q.N, Guidance: guidance, By: "ann", ByID: "Users-2", Notes: "checked",
	}})
}

func (m *memory) state(step, action int, member string) rollout.CellState {
	return m.cells[rollout.CellKey{Step: step, Action: action, Member: "Machines-" + member}].State
}

func (m *memory) join(p *rollout.Plan, machines ...rollout.Member) {
	for i := range machines {
		m.fold(p, rollout.Event{At: 1, Kind: rollout.Joined, Join: &machines[i]})
	}
	m.fold(p, rollout.Event{At: 1, Kind: rollout.Begin})
}
