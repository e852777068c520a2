package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// recorded are the rows of a rollout as its history gives them.
type recorded struct {
	row      rollout.Row
	steps    map[int]rollout.StepRow
	members  map[string]rollout.Member
	cells    map[rollout.CellKey]rollout.Cell
	attempts map[string]rollout.Attempt
	outputs  []rollout.Output
}

var _ rollout.Rows = (*recorded)(nil)

// replayed folds the stored history of a rollout again, with nothing but its
// plan, and compares what comes out with what is stored (I15).
func (t *truth) replayed(e *expected, view *store.RolloutView) error {
	m := &recorded{
		row: rollout.Row{ID: e.id, State: rollout.Queued}, steps: map[int]rollout.StepRow{}, members: map[string]rollout.Member{},
		cells: map[rollout.CellKey]rollout.Cell{}, attempts: map[string]rollout.Attempt{},
	}
	rows, err := t.w.files[0].conn.QueryContext(t.ctx, `SELECT seq, kind, json FROM main.rollout_event WHERE rollout_id = $1 ORDER BY seq`, e.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := int64(0)
	for rows.Next() {
		var seq int64
		var kind, text string
		if err := rows.Scan(&seq, &kind, &text); err != nil {
			return err
		}
		if seq != last+1 {
			t.w.violated("I15", "the history of %s goes from %d to %d", e.id, last, seq)
		}
		last = seq
		if rollout.EffectKind(kind) == rollout.Say {
			continue
		}
		var event rollout.Event
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			return err
		}
		for id, after := range t.ledger.sent {
			if a, known := m.attempts[id]; known && a.SentAt == 0 && after < seq {
				a.SentAt = 1
				m.attempts[id] = a
			}
		}
		work := rollout.NewWorking(m.row, m)
		rollout.Next(view.Plan, work, event)
		m.take(work.Changes())
	}
	t.compare(e, view, m)
	return rows.Err()
}

func (t *truth) compare(e *expected, view *store.RolloutView, m *recorded) {
	attempts := maps.Clone(m.attempts)
	stored := map[string]rollout.Attempt{}
	for i := range view.Attempts {
		a := view.Attempts[i]
		b := attempts[a.ID]
		b.SentAt = a.SentAt
		attempts[a.ID], stored[a.ID] = b, a
	}
	cells := map[rollout.CellKey]rollout.Cell{}
	for i := range view.Cells {
		cells[view.Cells[i].CellKey] = view.Cells[i]
	}
	for what, pair := range map[string][2]any{
		"row": {m.row, view.Row}, "attempts": {attempts, stored}, "cells": {m.cells, cells},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.w.violated("I15", "the history of %s gives other %s:\n%s\nare stored:\n%s", e.id, what, asText(pair[0]), asText(pair[1]))
		}
	}
}

func asText(v any) string { return fmt.Sprintf("%+v", v) }

func (m *recorded) take(c rollout.Changes) {
	m.row = c.Row
	for _, s := range c.Steps {
		m.steps[s.Index] = *s
	}
	for _, member := range c.Members {
		m.members[member.ID] = *member
	}
	for _, cell := range c.Cells {
		m.cells[cell.CellKey] = *cell
	}
	for _, a := range c.Attempts {
		m.attempts[a.ID] = *a
	}
	m.outputs = append(m.outputs, c.Outputs...)
}

// Step implements rollout.Rows.
func (m *recorded) Step(index int) rollout.StepRow { return m.steps[index] }

// Member implements rollout.Rows.
func (m *recorded) Member(id string) (rollout.Member, bool) {
	member, ok := m.members[id]
	return member, ok
}

// Members implements rollout.Rows.
func (m *recorded) Members(after int64, n int) []rollout.Member {
	list := slices.SortedFunc(maps.Values(m.members), func(a, b rollout.Member) int { return cmp.Compare(a.Ord, b.Ord) })
	list = slices.DeleteFunc(list, func(a rollout.Member) bool { return a.Ord <= after })
	return list[:min(n, len(list))]
}

// Cell implements rollout.Rows.
func (m *recorded) Cell(key rollout.CellKey) (rollout.Cell, bool) {
	c, ok := m.cells[key]
	return c, ok
}

func byKey(a, b rollout.Cell) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Member, b.Member))
}

func (m *recorded) some(n int, keep func(*rollout.Cell) bool, order func(a, b rollout.Cell) int) (list []rollout.Cell) {
	for _, c := range m.cells {
		if c.State.Open() && keep(&c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, order)
	return list[:min(n, len(list))]
}

// OpenCells implements rollout.Rows.
func (m *recorded) OpenCells(of rollout.Filter, after *rollout.CellKey, n int) []rollout.Cell {
	return m.some(n, func(c *rollout.Cell) bool {
		return (of.Member == "" || of.Member == c.Member) && (of.Executor == "" || of.Executor == c.Executor) && (after == nil || after.Less(c.CellKey))
	}, byKey)
}

// DueCells implements rollout.Rows.
func (m *recorded) DueCells(at int64, n int) []rollout.Cell {
	return m.some(n, func(c *rollout.Cell) bool { return c.DueAt > 0 && c.DueAt <= at },
		func(a, b rollout.Cell) int { return cmp.Or(cmp.Compare(a.DueAt, b.DueAt), byKey(a, b)) })
}

// Attempt implements rollout.Rows.
func (m *recorded) Attempt(id string) (rollout.Attempt, bool) {
	a, ok := m.attempts[id]
	return a, ok
}

// Outputs implements rollout.Rows.
func (m *recorded) Outputs(n int) []rollout.Output { return m.outputs[:min(n, len(m.outputs))] }
