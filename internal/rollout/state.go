package rollout

import (
	"cmp"
	"maps"
	"slices"
)

// Working is a rollout's rows as a turn sees them: what Rows holds, overlaid
// with what the events folded so far have changed. One Working serves one turn.
type Working struct {
	Row  Row
	rows Rows

	steps     map[int]*StepRow
	members   map[string]*Member
	cells     map[CellKey]*Cell
	attempts  map[string]*Attempt
	outputs   []Output // those of this turn
	known     []Output // all so far, once they were asked for: the stored ones and
	merged    int      // the first so many of this turn
	asked     bool
	joined    []*Member // in this turn, or went to the end of the queue in it
	questions []*Interruption
	closed    []Closing

	dirty Changes
	seen  map[any]bool
}

// Changes are the rows that a turn writes, in the order of their first change.
type Changes struct {
	Row      Row
	Steps    []*StepRow
	Members  []*Member
	Cells    []*Cell
	Attempts []*Attempt
	Outputs  []Output // appended
	Asked    []*Interruption
	Closed   []Closing
}

// NewWorking begins a turn over the rows.
func NewWorking(row Row, rows Rows) *Working {
	return &Working{
		Row: row, rows: rows,
		steps:    map[int]*StepRow{},
		members:  map[string]*Member{},
		cells:    map[CellKey]*Cell{},
		attempts: map[string]*Attempt{},
		seen:     map[any]bool{},
	}
}

// Changes returns what has changed since NewWorking.
func (w *Working) Changes() Changes {
	changes := w.dirty
	changes.Row = w.Row
	changes.Outputs = w.outputs
	changes.Asked, changes.Closed = w.questions, w.closed
	return changes
}

func (w *Working) step(index int) *StepRow {
	if row, ok := w.steps[index]; ok {
		return row
	}
	row := w.rows.Step(index)
	row.Index = index
	if row.State == "" {
		row.State = StepPending
	}
	w.steps[index] = &row
	return &row
}

func (w *Working) saveStep(row *StepRow) {
	if !w.seen[row.Index] {
		w.seen[row.Index] = true
		w.dirty.Steps = append(w.dirty.Steps, row)
	}
}

func (w *Working) member(id string) *Member {
	if m, ok := w.members[id]; ok {
		return m
	}
	m, ok := w.rows.Member(id)
	if !ok {
		return nil
	}
	w.members[id] = &m
	return &m
}

type memberMark string

func (w *Working) saveMember(m *Member) {
	if mark := memberMark(m.ID); !w.seen[mark] {
		w.seen[mark] = true
		w.dirty.Members = append(w.dirty.Members, m)
	}
}

// membersAfter are up to n members above after, those that joined or went to
// the end of the queue in this turn included.
func (w *Working) membersAfter(after int64, n int) []*Member {
	var found []*Member
	for len(found) < n {
		want := n - len(found)
		page := w.rows.Members(after, want)
		for i := range page {
			after = page[i].Ord
			if m := w.member(page[i].ID); m != nil && m.Ord == after {
				found = append(found, m)
			}
		}
		if len(page) < want {
			return append(found, w.behind(after, n-len(found))...)
		}
	}
	return found
}

// behind are up to n of the members that this turn has put at the end.
func (w *Working) behind(after int64, n int) []*Member {
	var list []*Member
	for _, m := range w.joined {
		if m.Ord > after {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *Member) int { return cmp.Compare(a.Ord, b.Ord) })
	return list[:min(n, len(list))]
}

func (w *Working) cell(key CellKey) *Cell {
	if c, ok := w.cells[key]; ok {
		return c
	}
	c, ok := w.rows.Cell(key)
	if !ok {
		return nil
	}
	w.cells[key] = &c
	return &c
}

func (w *Working) saveCell(c *Cell) {
	w.cells[c.CellKey] = c
	if !w.seen[c.CellKey] {
		w.seen[c.CellKey] = true
		w.dirty.Cells = append(w.dirty.Cells, c)
	}
}

// openCells are a page of open cells above after. next is where the following
// page begins, nil after the last one.
func (w *Working) openCells(of Filter, after *CellKey, n int) (page []*Cell, next *CellKey) {
	stored := w.rows.OpenCells(of, after, n)
	if len(stored) == n {
		next = &stored[n-1].CellKey
	}
	return w.overlay(stored, func(c *Cell) bool {
		return c.State.Open() && of.matches(c) &&
			(after == nil || after.Less(c.CellKey)) && (next == nil || !next.Less(c.CellKey))
	}, compareCells), next
}

func (f Filter) matches(c *Cell) bool {
	return (f.Member == "" || f.Member == c.Member) && (f.Executor == "" || f.Executor == c.Executor)
}

// dueCells are about n open cells whose DueAt is not after at.
func (w *Working) dueCells(at int64, n int) []*Cell {
	return w.overlay(w.rows.DueCells(at, n),
		func(c *Cell) bool { return c.State.Open() && c.DueAt > 0 && c.DueAt <= at },
		func(a, b *Cell) int { return cmp.Or(cmp.Compare(a.DueAt, b.DueAt), compareCells(a, b)) })
}

func compareCells(a, b *Cell) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Member, b.Member))
}

// overlay merges stored cells with those that this turn has changed.
func (w *Working) overlay(stored []Cell, match func(*Cell) bool, order func(a, b *Cell) int) []*Cell {
	found := map[CellKey]*Cell{}
	for i := range stored {
		if c := w.cell(stored[i].CellKey); c != nil && match(c) {
			found[c.CellKey] = c
		}
	}
	for _, c := range w.dirty.Cells {
		if match(c) {
			found[c.CellKey] = c
		}
	}
	//guard:same-order I15: cells are worked on in one order; less `slices.SortedFunc(maps.Values(found), order)`, with `slices.Collect(maps.Values(found))`; seen by ./internal/rollout TestTheSameHistoryGivesTheSameState
	return slices.SortedFunc(maps.Values(found), order)
}

func (w *Working) attempt(id string) *Attempt {
	if a, ok := w.attempts[id]; ok {
		return a
	}
	a, ok := w.rows.Attempt(id)
	if !ok {
		return nil
	}
	w.attempts[id] = &a
	return &a
}

type attemptMark string

func (w *Working) saveAttempt(a *Attempt) {
	w.attempts[a.ID] = a
	if mark := attemptMark(a.ID); !w.seen[mark] {
		w.seen[mark] = true
		w.dirty.Attempts = append(w.dirty.Attempts, a)
	}
}

// allOutputs are the output variables stored so far and in this turn.
func (w *Working) allOutputs() []Output {
	if !w.asked {
		w.asked, w.known = true, w.rows.Outputs(w.Row.Outputs-len(w.outputs))
	}
	w.known = append(w.known, w.outputs[w.merged:]...)
	w.merged = len(w.outputs)
	return w.known
}

// AttemptOf returns an attempt as this turn sees it, for the engine.
func (w *Working) AttemptOf(id string) *Attempt { return w.attempt(id) }

// MemberOf returns a member as this turn sees it, for the engine.
func (w *Working) MemberOf(id string) *Member { return w.member(id) }

// OutputsUpTo returns the first n output variables, for a payload.
func (w *Working) OutputsUpTo(n int) []Output {
	all := w.allOutputs()
	return all[:min(n, len(all))]
}
