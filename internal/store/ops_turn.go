package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// ErrFenced says that the rollout is no longer owned under the epoch the
// caller holds: it rolls back and steps down at once (design 5.4, 5.5).
var ErrFenced = errors.New("rollout is owned elsewhere")

// Turn is one rollout's rows inside one write transaction, opened by its
// owner. It is the rollout.Rows that Next reads; after the first database
// error it gives zero values, and Err says why.
type Turn struct {
	tx    *Tx
	id    string
	owner string
	epoch int64
	seq   int64
	row   rollout.Row // as it was when the turn was opened
	err   error
}

var _ rollout.Rows = (*Turn)(nil)

// OpenTurn fences the rollout for the owner: the first statement of a turn's
// transaction. ErrFenced means that nothing may be written.
func OpenTurn(tx *Tx, id, owner string, epoch int64) (*Turn, error) {
	//guard:owner I4: a rollout is written by the node that owns it; less `owner = $2 AND epoch = $3`, with `(owner = $2 AND epoch = $3 OR 1 = 1)`
	//guard:epoch-turn I4: nor by its owner under another epoch; less `epoch = $3`, with `epoch + $3 = $3 + epoch`; seen by ./internal/store TestOnlyTheOwnerTakesATurn
	result, err := tx.exec(`UPDATE rollout SET wake_at = 0 WHERE id = $1 AND owner = $2 AND epoch = $3`, id, owner, epoch)
	if err != nil {
		return nil, fmt.Errorf("fence rollout %s: %w", id, err)
	}
	//guard:step-down I4: who finds no row of his own steps down; less `n != 1`, with `n < 0`
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return nil, errors.Join(ErrFenced, err)
	}
	t := &Turn{tx: tx, id: id, owner: owner, epoch: epoch}
	t.row, t.seq, err = loadRow(tx, id)
	if err != nil {
		return nil, err
	}
	return t, nil
}

const rolloutColumns = `id, seq, state, step, members, next_ord, failures, stopped, unavailable, gone, warnings, open_cells, outputs, canceled_by, cancel_after, cancel_done, error, interruptions, due_at, tracking`

func loadRow(tx *Tx, id string) (row rollout.Row, seq int64, err error) {
	var after string
	err = tx.queryRow(`SELECT `+rolloutColumns+` FROM rollout WHERE id = $1`, id).Scan(
		&row.ID, &seq, &row.State, &row.Step, &row.Members, &row.NextOrd, &row.Failures, &row.Stopped, &row.Unavailable, &row.Gone,
		&row.Warnings, &row.OpenCells, &row.Outputs, &row.CanceledBy, &after, &row.CancelDone, &row.Error,
		&row.Interruptions, &row.DueAt, &row.Tracking)
	if err == nil && after != "" {
		err = json.Unmarshal([]byte(after), &row.CancelAfter)
	}
	if err != nil {
		err = fmt.Errorf("read rollout %s: %w", id, err)
	}
	return row, seq, err
}

// Row is the rollout's own row, as it was when the turn was opened.
func (t *Turn) Row() rollout.Row { return t.row }

// Now is the database's time, unix milliseconds.
func (t *Turn) Now() int64 { return t.tx.Now().UnixMilli() }

// Since is when the turn's owner began, unix milliseconds.
func (t *Turn) Since() (at int64) {
	if t.err == nil {
		t.fail("read start", t.tx.queryRow(`SELECT started_at FROM node WHERE id || '/' || epoch = $1`, t.owner).Scan(&at))
	}
	return at
}

// Err is the first error that reading or writing met.
func (t *Turn) Err() error { return t.err }

func (t *Turn) fail(what string, err error) {
	if err != nil && !errors.Is(err, sql.ErrNoRows) && t.err == nil {
		t.err = fmt.Errorf("%s of rollout %s: %w", what, t.id, err)
	}
}

func (t *Turn) exec(what, query string, args ...any) {
	if t.err == nil {
		_, err := t.tx.exec(query, args...)
		t.fail(what, err)
	}
}

// Step implements rollout.Rows.
func (t *Turn) Step(index int) rollout.StepRow {
	steps := readSteps(t, `WHERE rollout_id = $1 AND idx = $2`, t.id, index)
	if len(steps) == 0 {
		return rollout.StepRow{}
	}
	return steps[0]
}

// Member implements rollout.Rows.
func (t *Turn) Member(id string) (rollout.Member, bool) {
	return first(readMembers(t, `WHERE rollout_id = $1 AND id = $2`, t.id, id))
}

// Members implements rollout.Rows.
func (t *Turn) Members(after int64, n int) []rollout.Member {
	return readMembers(t, `WHERE rollout_id = $1 AND ord > $2 ORDER BY ord LIMIT $3`, t.id, after, n)
}

// Cell implements rollout.Rows.
func (t *Turn) Cell(k rollout.CellKey) (rollout.Cell, bool) {
	return first(readCells(t, `WHERE rollout_id = $1 AND step = $2 AND action = $3 AND member = $4`, t.id, k.Step, k.Action, k.Member))
}

// OpenCells implements rollout.Rows.
func (t *Turn) OpenCells(of rollout.Filter, after *rollout.CellKey, n int) []rollout.Cell {
	if after == nil {
		after = &rollout.CellKey{Step: -1}
	}
	return readCells(t, `WHERE rollout_id = $1 AND is_open = 1
		AND ($2 = '' OR member = $2) AND ($3 = '' OR executor = $3)
		AND (step, action, member) > ($4, $5, $6)
		ORDER BY step, action, member LIMIT $7`,
		t.id, of.Member, of.Executor, after.Step, after.Action, after.Member, n)
}

// DueCells implements rollout.Rows.
func (t *Turn) DueCells(at int64, n int) []rollout.Cell {
	return readCells(t, `WHERE rollout_id = $1 AND is_open = 1 AND due_at > 0 AND due_at <= $2
		ORDER BY due_at, step, action, member LIMIT $3`, t.id, at, n)
}

// Attempt implements rollout.Rows.
func (t *Turn) Attempt(id string) (rollout.Attempt, bool) {
	return first(readAttempts(t, `WHERE id = $1`, id))
}

// Outputs implements rollout.Rows.
func (t *Turn) Outputs(n int) []rollout.Output {
	if n <= 0 {
		return nil
	}
	return readOutputs(t, `WHERE rollout_id = $1 AND n <= $2 ORDER BY n`, t.id, n)
}

func first[T any](list []T) (T, bool) {
	if len(list) == 0 {
		var zero T
		return zero, false
	}
	return list[0], true
}

// Save writes what a turn has changed and asks to be woken when the first open
// cell is due.
func (t *Turn) Save(c rollout.Changes) {
	t.tx.Notify(TopicTasks + "/" + t.id)
	for _, s := range c.Steps {
		t.saveStep(s)
	}
	for _, m := range c.Members {
		t.saveMember(m)
	}
	for _, cell := range c.Cells {
		t.saveCell(cell)
	}
	for _, a := range c.Attempts {
		t.saveAttempt(a)
	}
	for i := range c.Outputs {
		t.saveOutput(&c.Outputs[i])
	}
	for _, q := range c.Asked {
		t.saveInterruption(q)
	}
	for _, closed := range c.Closed {
		t.closeInterruption(&closed)
	}
	t.saveRow(&c.Row)
}

func (t *Turn) saveRow(r *rollout.Row) {
	t.exec("save row", `UPDATE rollout SET seq = $2, state = $3, step = $4, members = $5, next_ord = $6, failures = $7,
		unavailable = $8, gone = $9, warnings = $10, open_cells = $11, outputs = $12, canceled_by = $13,
		cancel_after = $14, cancel_done = $15, error = $16, stopped = $17, interruptions = $18, due_at = $19, tracking = $20,
		wake_at = COALESCE((SELECT MIN(CASE WHEN CAST($19 AS BIGINT) > 0 AND CAST($19 AS BIGINT) < due_at THEN CAST($19 AS BIGINT) ELSE due_at END)
		FROM cell WHERE rollout_id = $1 AND is_open = 1 AND due_at > 0), CAST($19 AS BIGINT))
		WHERE id = $1`,
		t.id, t.seq, r.State, r.Step, r.Members, r.NextOrd, r.Failures, r.Unavailable, r.Gone, r.Warnings, r.OpenCells,
		r.Outputs, r.CanceledBy, jsonOrEmpty(r.CancelAfter), flag(r.CancelDone), r.Error, r.Stopped, r.Interruptions, r.DueAt, r.Tracking)
}

func (t *Turn) saveStep(s *rollout.StepRow) {
	t.exec("save step", `INSERT INTO step_state (rollout_id, idx, state, scope, cursor_ord, exhausted, active, done, failed, once, started_at, ended_at, reason, stopped, due_at, ending, end_after, zone, opened_ord, late_ord)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20)
		ON CONFLICT (rollout_id, idx) DO UPDATE SET state = excluded.state, scope = excluded.scope, cursor_ord = excluded.cursor_ord,
		exhausted = excluded.exhausted, active = excluded.active, done = excluded.done, failed = excluded.failed, once = excluded.once,
		started_at = excluded.started_at, ended_at = excluded.ended_at, reason = excluded.reason, stopped = excluded.stopped,
		due_at = excluded.due_at, ending = excluded.ending, end_after = excluded.end_after, zone = excluded.zone,
		opened_ord = excluded.opened_ord, late_ord = excluded.late_ord`,
		t.id, s.Index, s.State, s.Scope, s.Cursor, flag(s.Exhausted), s.Active, s.Done, s.Failed, jsonOrEmpty(s.Once), s.StartedAt, s.EndedAt, s.Reason,
		flag(s.Stopped), s.DueAt, flag(s.Ending), jsonOrEmpty(s.EndAfter), s.Zone, s.Opened, s.Late)
}

func (t *Turn) saveMember(m *rollout.Member) {
	t.exec("save member", `INSERT INTO member (rollout_id, id, ord, name, roles, worker, state, reason, failed, patience, facts, failed_in, track, zone)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)
		ON CONFLICT (rollout_id, id) DO UPDATE SET ord = excluded.ord, track = excluded.track, state = excluded.state, reason = excluded.reason, failed = excluded.failed, failed_in = excluded.failed_in`,
		t.id, m.ID, m.Ord, m.Name, jsonOrEmpty(m.Roles), flag(m.Worker), m.State, m.Reason, flag(m.Failed), m.Patience, jsonOrEmpty(m.Facts), m.FailedIn, m.Track, m.Zone)
}

func (t *Turn) saveCell(c *rollout.Cell) {
	t.exec("save cell", `INSERT INTO cell (rollout_id, step, action, member, state, is_open, tries, attempt, executor, patience, reason, due_at, started_at, ended_at,
		silent_at, limit_at, ending, held, retried, ran, interruption)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21)
		ON CONFLICT (rollout_id, step, action, member) DO UPDATE SET state = excluded.state, is_open = excluded.is_open, tries = excluded.tries,
		attempt = excluded.attempt, executor = excluded.executor, patience = excluded.patience, reason = excluded.reason, due_at = excluded.due_at, started_at = excluded.started_at, ended_at = excluded.ended_at,
		silent_at = excluded.silent_at, limit_at = excluded.limit_at, ending = excluded.ending, held = excluded.held, retried = excluded.retried, ran = excluded.ran,
		interruption = excluded.interruption`,
		t.id, c.Step, c.Action, c.Member, c.State, flag(c.State.Open()), c.Tries, c.Attempt, c.Executor, c.Patience, c.Reason, c.DueAt, c.StartedAt, c.EndedAt,
		c.SilentAt, c.LimitAt, flag(c.Ending), c.Held, c.Retried, flag(c.Ran), c.Interruption)
}

// saveAttempt leaves sent_at alone: that column is the deliverer's.
func (t *Turn) saveAttempt(a *rollout.Attempt) {
	t.exec("save attempt", `INSERT INTO attempt (id, rollout_id, step, action, member, executor, try, outputs, payload_hash, created_at, sent_at,
		started_at, ended_at, outcome, exit_code, reason, log_length, warnings)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,0,$11,$12,$13,$14,$15,$16,$17)
		ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
		exit_code = excluded.exit_code, reason = excluded.reason, log_length = excluded.log_length, warnings = excluded.warnings`,
		a.ID, t.id, a.Cell.Step, a.Cell.Action, a.Cell.Member, a.Executor, a.Try, a.Outputs, a.PayloadHash, a.CreatedAt,
		a.StartedAt, a.EndedAt, a.Outcome, a.ExitCode, a.Reason, a.LogLength, flag(a.Warnings))
}

func (t *Turn) saveOutput(o *rollout.Output) {
	t.exec("save output", `INSERT INTO output_variable (rollout_id, n, step, action, member, member_name, name, value, secret, box, source)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)`,
		t.id, o.N, o.Step, o.Action, o.Member, o.MemberName, o.Name, o.Value, flag(o.Secret), o.Box, o.Source)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// jsonOrEmpty marshals what is not nil or empty.
func jsonOrEmpty(v any) string {
	text, err := json.Marshal(v)
	if err != nil || string(text) == "null" || string(text) == "{}" || string(text) == "[]" {
		return ""
	}
	return string(text)
}

func fromJSON(text string, into any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}
