package store

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// readRows scans every row of a query; the error is wrapped with what was read.
func readRows[T any](tx *Tx, what, query string, scan func(*sql.Rows, *T) error, args ...any) ([]T, error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var item T
		if err := scan(rows, &item); err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		list = append(list, item)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return list, nil
}

// turnRows is readRows under a turn's sticky error.
func turnRows[T any](t *Turn, what, query string, scan func(*sql.Rows, *T) error, args ...any) []T {
	if t.err != nil {
		return nil
	}
	list, err := readRows(t.tx, what, query, scan, args...)
	t.fail("read", err)
	return list
}

const stepQuery = `SELECT idx, state, scope, cursor_ord, exhausted, active, done, failed, once, started_at, ended_at, reason,
	stopped, due_at, ending, end_after, zone, opened_ord, late_ord FROM step_state `

func scanStep(r *sql.Rows, s *rollout.StepRow) error {
	var once, after string
	if err := r.Scan(&s.Index, &s.State, &s.Scope, &s.Cursor, &s.Exhausted, &s.Active, &s.Done, &s.Failed, &once, &s.StartedAt, &s.EndedAt, &s.Reason,
		&s.Stopped, &s.DueAt, &s.Ending, &after, &s.Zone, &s.Opened, &s.Late); err != nil {
		return err
	}
	if err := fromJSON(after, &s.EndAfter); err != nil {
		return err
	}
	return fromJSON(once, &s.Once)
}

func readSteps(t *Turn, where string, args ...any) []rollout.StepRow {
	return turnRows(t, "steps", stepQuery+where, scanStep, args...)
}

const memberQuery = `SELECT id, ord, name, roles, worker, state, reason, failed, patience, facts, failed_in, track, zone FROM member `

func scanMember(r *sql.Rows, m *rollout.Member) error {
	var roles, facts string
	if err := r.Scan(&m.ID, &m.Ord, &m.Name, &roles, &m.Worker, &m.State, &m.Reason, &m.Failed, &m.Patience, &facts, &m.FailedIn, &m.Track, &m.Zone); err != nil {
		return err
	}
	if err := fromJSON(roles, &m.Roles); err != nil {
		return err
	}
	return fromJSON(facts, &m.Facts)
}

func readMembers(t *Turn, where string, args ...any) []rollout.Member {
	return turnRows(t, "members", memberQuery+where, scanMember, args...)
}

const cellQuery = `SELECT step, action, member, state, tries, attempt, executor, patience, reason, due_at, started_at, ended_at,
	silent_at, limit_at, ending, held, retried, ran, interruption FROM cell `

func scanCell(r *sql.Rows, c *rollout.Cell) error {
	return r.Scan(&c.Step, &c.Action, &c.Member, &c.State, &c.Tries, &c.Attempt, &c.Executor, &c.Patience, &c.Reason, &c.DueAt, &c.StartedAt, &c.EndedAt,
		&c.SilentAt, &c.LimitAt, &c.Ending, &c.Held, &c.Retried, &c.Ran, &c.Interruption)
}

func readCells(t *Turn, where string, args ...any) []rollout.Cell {
	return turnRows(t, "cells", cellQuery+where, scanCell, args...)
}

const attemptQuery = `SELECT id, step, action, member, executor, try, outputs, payload_hash, created_at, sent_at, started_at, ended_at, outcome, exit_code, reason, log_length, warnings FROM attempt `

func scanAttempt(r *sql.Rows, a *rollout.Attempt) error {
	return r.Scan(&a.ID, &a.Cell.Step, &a.Cell.Action, &a.Cell.Member, &a.Executor, &a.Try, &a.Outputs, &a.PayloadHash, &a.CreatedAt, &a.SentAt,
		&a.StartedAt, &a.EndedAt, &a.Outcome, &a.ExitCode, &a.Reason, &a.LogLength, &a.Warnings)
}

func readAttempts(t *Turn, where string, args ...any) []rollout.Attempt {
	return turnRows(t, "attempts", attemptQuery+where, scanAttempt, args...)
}

const outputQuery = `SELECT n, step, action, member, member_name, name, value, secret, source FROM output_variable `

func scanOutput(r *sql.Rows, o *rollout.Output) error {
	return r.Scan(&o.N, &o.Step, &o.Action, &o.Member, &o.MemberName, &o.Name, &o.Value, &o.Secret, &o.Source)
}

func readOutputs(t *Turn, where string, args ...any) []rollout.Output {
	return turnRows(t, "outputs", outputQuery+where, scanOutput, args...)
}

// RolloutView is everything the store knows of a rollout, for a task's details.
type RolloutView struct {
	Row      rollout.Row
	Plan     *rollout.Plan
	Steps    []rollout.StepRow
	Members  []rollout.Member
	Cells    []rollout.Cell
	Attempts []rollout.Attempt
	Notes    []TimedNote
	// Waits says of each cell in a machine's queue what it waits for.
	Waits map[rollout.CellKey]SlotWait
}

// SlotWait is a cell's wait for its machine. Times are unix milliseconds.
type SlotWait struct {
	Since int64
	// Holder is the task whose attempt has the machine, since HeldSince; "" when
	// it is about to be given away.
	Holder    string
	HeldSince int64
}

// TimedNote is a line of the task's own log with its time, unix milliseconds.
type TimedNote struct {
	At int64
	rollout.Note
}

// ViewRollout reads a rollout as a whole; NotFound when the task has none.
func ViewRollout(tx *Tx, id string) (*RolloutView, error) {
	row, _, err := loadRow(tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, resource.Missing(id)
	}
	if err != nil {
		return nil, err
	}
	t := &Turn{tx: tx, id: id, row: row}
	view := &RolloutView{Row: row}
	view.Plan, err = LoadPlan(tx, id)
	t.fail("read plan", err)
	view.Steps = readSteps(t, `WHERE rollout_id = $1 ORDER BY idx`, id)
	view.Members = readMembers(t, `WHERE rollout_id = $1 ORDER BY ord`, id)
	view.Cells = readCells(t, `WHERE rollout_id = $1 ORDER BY step, action, member`, id)
	view.Attempts = readAttempts(t, `WHERE rollout_id = $1 ORDER BY step, action, member, try`, id)
	view.Notes = turnRows(t, "notes", `SELECT at, json FROM rollout_event WHERE rollout_id = $1 AND kind = 'Say' ORDER BY seq`, scanNote, id)
	view.Waits = t.waits()
	return view, t.err
}

// waits reads what the rollout's cells in the queues of machines wait for.
func (t *Turn) waits() map[rollout.CellKey]SlotWait {
	type waiting struct {
		key rollout.CellKey
		SlotWait
	}
	waits := map[rollout.CellKey]SlotWait{}
	for _, w := range turnRows(t, "queue", `SELECT q.step, q.action, q.member, q.since, COALESCE(h.rollout_id, ''), COALESCE(h.granted_at, 0)
		FROM slot q LEFT JOIN slot h ON h.machine = q.machine AND h.granted_at > 0 WHERE q.rollout_id = $1 AND q.granted_at = 0`,
		func(r *sql.Rows, w *waiting) error {
			return r.Scan(&w.key.Step, &w.key.Action, &w.key.Member, &w.Since, &w.Holder, &w.HeldSince)
		}, t.id) {
		waits[w.key] = w.SlotWait
	}
	return waits
}
