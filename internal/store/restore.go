package store

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// Restored says that the data were put back from a backup. What happened
// between the backup and then, they do not know: so what was unfinished in them
// is closed, and until a person confirms, nothing starts by itself (fault 33).
// Times are unix milliseconds.
type Restored struct {
	Epoch       int64 // 1 for the first time
	BackupAt    int64
	RestoredAt  int64
	Tasks       []string // that were closed
	ConfirmedAt int64    // 0: held
	ConfirmedBy string
}

const (
	// restoreStep is what each restore adds to the epochs of rollouts and nodes:
	// more than a rollout ever has owners, so that agents know what comes from
	// after it.
	restoreStep = 1 << 20
	// idsApart and tasksApart are how far counters jump, so that nothing new has
	// the id of something that came after the backup and that agents, links or
	// people still know.
	idsApart   = 10_000
	tasksApart = 1_000_000
)

// Restore marks the data as put back from a backup that was made then, closes
// what was unfinished in them, and says so. It is called once, before any server
// starts on them; done again it only marks them once more (invariant I14).
func Restore(tx *Tx, backup time.Time) (*Restored, error) {
	last, err := LastRestored(tx)
	if err != nil {
		return nil, err
	}
	r := &Restored{Epoch: 1, BackupAt: backup.UnixMilli(), RestoredAt: tx.Now().UnixMilli()}
	if last != nil {
		r.Epoch = last.Epoch + 1
	}
	if r.Tasks, err = readRows(tx, "unfinished tasks", `SELECT id FROM task WHERE state IN ('Queued', 'Executing', 'Cancelling') ORDER BY ord`, scanText); err != nil {
		return nil, err
	}
	err = Audit(tx, AuditRecord{
		Category: resource.EventModified, Related: r.Tasks,
		Message: fmt.Sprintf("The server was restored from a backup of %s; %d unfinished tasks were closed", backup.UTC().Format(time.RFC3339), len(r.Tasks)),
	})
	if err != nil {
		return nil, err
	}
	why := fmt.Sprintf("the server was restored from a backup of %s, and what happened after that is not known", backup.UTC().Format(time.RFC3339))
	c := &closer{tx: tx, now: r.RestoredAt, why: why}
	c.run(`UPDATE counter SET next = next + $1 WHERE name <> 'ServerTasks'`, idsApart)
	c.run(`UPDATE counter SET next = next + $1 WHERE name = 'ServerTasks'`, tasksApart)
	c.run(`UPDATE rollout SET epoch = epoch + $1`, restoreStep)
	c.run(`UPDATE node SET epoch = epoch + $1`, restoreStep)
	c.rollouts()
	c.tasks()
	c.run(`INSERT INTO restored (epoch, backup_at, restored_at, tasks, confirmed_at, confirmed_by) VALUES ($1,$2,$3,$4,0,'')`,
		r.Epoch, r.BackupAt, r.RestoredAt, jsonOrEmpty(r.Tasks))
	if c.err != nil {
		return nil, fmt.Errorf("mark as restored: %w", c.err)
	}
	if err := dropTokens(tx); err != nil {
		return nil, err
	}
	tx.db.ids.drop() // last: nothing that follows may need an id from before
	return r, nil
}

// closer runs statements until one fails.
type closer struct {
	tx  *Tx
	now int64
	why string
	err error
}

func (c *closer) run(query string, args ...any) {
	if c.err == nil {
		_, c.err = c.tx.exec(query, args...)
	}
}

// unfinished are the rollouts that may have gone on after the backup.
const unfinished = `(SELECT id FROM rollout WHERE state IN ('Running', 'Canceling'))`

// rollouts ends what ran: every open cell may have run to any end since.
func (c *closer) rollouts() {
	c.run(`DELETE FROM deployed WHERE EXISTS (SELECT 1 FROM task JOIN member ON member.rollout_id = task.id
		WHERE task.id IN ` + unfinished + ` AND member.id = deployed.machine_id AND task.project_id = deployed.project_id
		AND task.environment_id = deployed.environment_id AND task.tenant_id = deployed.tenant_id)`)
	c.run(`UPDATE member SET failed = 1 WHERE EXISTS (SELECT 1 FROM cell WHERE cell.rollout_id = member.rollout_id AND cell.member = member.id AND cell.is_open = 1)`)
	c.run(`UPDATE attempt SET outcome = $1, reason = $2, ended_at = $3 WHERE outcome = ''`, rollout.OutcomeUnknown, c.why, c.now)
	c.run(`UPDATE cell SET state = $1, is_open = 0, reason = $2, ended_at = $3, due_at = 0, silent_at = 0, limit_at = 0 WHERE is_open = 1`, rollout.CellUnknown, c.why, c.now)
	c.run(`UPDATE step_state SET state = CASE state WHEN 'Open' THEN 'Failed' ELSE 'Canceled' END, reason = $1, ended_at = $2, due_at = 0
		WHERE state IN ('Pending', 'Open') AND rollout_id IN `+unfinished, c.why, c.now)
	c.run(`UPDATE interruption SET closed_at = $1, closed_why = $2 WHERE closed_at = 0`, c.now, c.why)
	c.run(`UPDATE rollout SET state = $1, failures = failures + open_cells, open_cells = 0, error = $2, wake_at = 0, due_at = 0 WHERE id IN `+unfinished,
		rollout.Failed, c.runningError())
	c.run(`UPDATE rollout SET state = $1, error = $2, wake_at = 0 WHERE state = 'Queued'`, rollout.Canceled, c.queuedError())
	for _, table := range []string{"inbox", "effect", "slot", "task_lock", "roll_back"} {
		c.run(`DELETE FROM ` + table)
	}
}

func (c *closer) runningError() string {
	return "It ran when the backup was made: " + c.why + ". Look at its machines, then deploy again."
}

func (c *closer) queuedError() string {
	return "It waited when the backup was made: " + c.why + ". Start it again if it is still wanted."
}

// tasks ends the tasks with their rollouts, and those that had none.
func (c *closer) tasks() {
	c.run(`UPDATE owed SET task_id = '' WHERE task_id <> $1`, Settled)
	c.run(`UPDATE task SET state = CASE WHEN state <> 'Queued' AND EXISTS (SELECT 1 FROM rollout WHERE rollout.id = task.id) THEN 'Failed' ELSE 'Canceled' END,
		error = CASE state WHEN 'Queued' THEN $1 ELSE $2 END, completed_time = $3, updated_time = $3, waits_for = ''
		WHERE state IN ('Queued', 'Executing', 'Cancelling')`, c.queuedError(), c.runningError(), c.now)
}

// dropTokens revokes the one-time tokens of machines: one that was used since
// would be good once more (abuse 5).
func dropTokens(tx *Tx) error {
	tokens, _, err := List[resource.AgentToken](tx, Query{AllSpaces: true})
	for i := range tokens {
		if tokens[i].UsesLeft > 0 {
			tokens[i].UsesLeft = 0
			err = errors.Join(err, Update(tx, &tokens[i]))
		}
	}
	return err
}

const restoredQuery = `SELECT epoch, backup_at, restored_at, tasks, confirmed_at, confirmed_by FROM restored `

func scanRestored(r *sql.Rows, s *Restored) error {
	var tasks string
	if err := r.Scan(&s.Epoch, &s.BackupAt, &s.RestoredAt, &tasks, &s.ConfirmedAt, &s.ConfirmedBy); err != nil {
		return err
	}
	return fromJSON(tasks, &s.Tasks)
}

// LastRestored is the last time that the data were put back from a backup; nil
// when they never were.
func LastRestored(tx *Tx) (*Restored, error) {
	list, err := readRows(tx, "restores", restoredQuery+`ORDER BY epoch DESC LIMIT 1`, scanRestored)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Held says that the data were put back from a backup and that nobody has
// confirmed it: nothing may start by itself.
func Held(tx *Tx) (bool, error) {
	last, err := LastRestored(tx)
	return last != nil && last.ConfirmedAt == 0, err
}

// ConfirmRestored ends the hold.
func ConfirmRestored(tx *Tx, by string) error {
	result, err := tx.exec(`UPDATE restored SET confirmed_at = $1, confirmed_by = $2 WHERE confirmed_at = 0`, tx.Now().UnixMilli(), by)
	if err != nil {
		return fmt.Errorf("confirm restore: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, resource.Errorf(resource.PreconditionFailed, "No restore waits to be confirmed."))
	}
	tx.Notify(TopicSessions)
	return nil
}

// UnmatchedAttempt is what an agent keeps of an attempt that the data do not
// know, or know no end of: they are older than it.
type UnmatchedAttempt struct {
	Machine string
	Attempt string
	SeenAt  int64  // first, unix milliseconds
	State   string // what the agent says: Running, Ended, or "" when it was not asked
	Outcome string
	Reason  string
}

// AttemptKnown says whether there is an attempt of that id on that machine,
// open or closed.
func AttemptKnown(tx *Tx, machine, attempt string) (known bool, err error) {
	if err := tx.queryRow(`SELECT EXISTS (SELECT 1 FROM attempt WHERE id = $1 AND executor = $2)`, attempt, machine).Scan(&known); err != nil {
		return false, fmt.Errorf("look for attempt %s: %w", attempt, err)
	}
	return known, nil
}

// SaveUnmatched notes what the agent says of the attempt now.
func SaveUnmatched(tx *Tx, u *UnmatchedAttempt) error {
	_, err := tx.exec(`INSERT INTO unmatched_attempt (machine_id, attempt_id, seen_at, state, outcome, reason) VALUES ($1,$2,$3,$4,$5,$6)
		ON CONFLICT (machine_id, attempt_id) DO UPDATE SET state = excluded.state, outcome = excluded.outcome, reason = excluded.reason`,
		u.Machine, u.Attempt, tx.Now().UnixMilli(), u.State, u.Outcome, u.Reason)
	if err != nil {
		return fmt.Errorf("note attempt %s of %s: %w", u.Attempt, u.Machine, err)
	}
	return nil
}

// Unmatched are the attempts that agents have reported, by machine; of one
// machine, or of all where it is "".
func Unmatched(tx *Tx, machine string) ([]UnmatchedAttempt, error) {
	var where conditions
	where.equal("machine_id", machine)
	return readRows(tx, "unmatched attempts", `SELECT machine_id, attempt_id, seen_at, state, outcome, reason FROM unmatched_attempt`+where.sql()+` ORDER BY machine_id, attempt_id`,
		func(r *sql.Rows, u *UnmatchedAttempt) error {
			return r.Scan(&u.Machine, &u.Attempt, &u.SeenAt, &u.State, &u.Outcome, &u.Reason)
		}, where.args...)
}

// AskingEpoch is the epoch under which an agent is asked about a rollout that
// the data do not know: above all that came before the last restore, below all
// that comes after the next. 0 without a restore: then nobody is asked.
func AskingEpoch(tx *Tx) (int64, error) {
	last, err := LastRestored(tx)
	if err != nil || last == nil {
		return 0, err
	}
	return last.Epoch*restoreStep + restoreStep/2, nil
}

// drop forgets the numbers claimed, which stay a gap.
func (b *idBlocks) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by = nil
}
