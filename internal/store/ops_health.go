package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// Say appends a line to the own log of a task that has no rollout.
func Say(tx *Tx, task string, note rollout.Note) error {
	text, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("marshal note of %s: %w", task, err)
	}
	_, err = tx.exec(`INSERT INTO rollout_event (rollout_id, seq, at, kind, json)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM rollout_event WHERE rollout_id = $1), $2, 'Say', $3)`,
		task, tx.Now().UnixMilli(), string(text))
	if err != nil {
		return fmt.Errorf("note for %s: %w", task, err)
	}
	notifyTask(tx, task)
	return nil
}

// Notes are the lines of a task's own log, in order.
func Notes(tx *Tx, task string) ([]TimedNote, error) {
	return readRows(tx, "notes", `SELECT at, json FROM rollout_event WHERE rollout_id = $1 AND kind = 'Say' ORDER BY seq`, scanNote, task)
}

func scanNote(r *sql.Rows, n *TimedNote) error {
	var text string
	if err := r.Scan(&n.At, &text); err != nil {
		return err
	}
	return fromJSON(text, &n.Note)
}

// MachineFact is what the fleet remembers of a machine between checks. Times
// are unix milliseconds.
type MachineFact struct {
	Machine   string
	CheckedAt int64
	DueAt     int64 // when its next health check is due
	// SilentMS is how long it has been silent, counting only time in which the
	// server ran and heard other machines (fleets.md 3b).
	SilentMS int64
}

// MachineFacts reads the facts of all machines, by machine.
func MachineFacts(tx *Tx) (map[string]MachineFact, error) {
	list, err := readRows(tx, "machine facts", `SELECT machine_id, checked_at, due_at, silent_ms FROM machine_fact`,
		func(r *sql.Rows, f *MachineFact) error {
			return r.Scan(&f.Machine, &f.CheckedAt, &f.DueAt, &f.SilentMS)
		})
	facts := make(map[string]MachineFact, len(list))
	for _, f := range list {
		facts[f.Machine] = f
	}
	return facts, err
}

// SaveMachineFact writes them.
func SaveMachineFact(tx *Tx, f MachineFact) error {
	_, err := tx.exec(`INSERT INTO machine_fact (machine_id, checked_at, due_at, silent_ms) VALUES ($1,$2,$3,$4)
		ON CONFLICT (machine_id) DO UPDATE SET checked_at = excluded.checked_at, due_at = excluded.due_at, silent_ms = excluded.silent_ms`,
		f.Machine, f.CheckedAt, f.DueAt, f.SilentMS)
	if err != nil {
		return fmt.Errorf("save facts of %s: %w", f.Machine, err)
	}
	return nil
}

// lostFor is how long a link has to be lost, in milliseconds, before the
// machine's health is looked at: an agent that restarts is back sooner.
const lostFor = 3000

// Relinked are the machines and workers whose link was opened, or lost for good
// measure, after their last health check began.
func Relinked(tx *Tx) ([]string, error) {
	return readRows(tx, "relinked machines", `SELECT s.machine_id FROM agent_session s LEFT JOIN machine_fact f ON f.machine_id = s.machine_id
		WHERE (s.state = 'Connected' AND s.connected_at >= COALESCE(f.checked_at, 0))
		OR (s.state <> 'Connected' AND s.lost_at >= COALESCE(f.checked_at, 0) AND s.lost_at <= $1) ORDER BY s.machine_id`,
		scanText, tx.Now().UnixMilli()-lostFor)
}

// ForgetMachine drops what the operations know of a deleted machine and tells
// its rollouts. Call it in the transaction that deletes the document.
func ForgetMachine(tx *Tx, machine, why string) error {
	err := MachineGone(tx, machine, why)
	for _, table := range []string{"machine_fact", "owed", "deployed", "agent_session"} {
		if _, e := tx.exec(`DELETE FROM `+table+` WHERE machine_id = $1`, machine); e != nil {
			err = errors.Join(err, fmt.Errorf("forget %s: %w", machine, e))
		}
	}
	return err
}

// LockHolder is the task that holds a lock; "" when it is free.
func LockHolder(tx *Tx, key string) (holder string, err error) {
	err = tx.queryRow(`SELECT task_id FROM task_lock WHERE lock_key = $1`, key).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return holder, err
}

// AuditedSince says whether an event with that category and message was
// recorded in the space at or after a time, in unix milliseconds.
func AuditedSince(tx *Tx, space, category, message string, at int64) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT COUNT(*) FROM audit WHERE space_id = $1 AND category = $2 AND message = $3 AND occurred >= $4`, space, category, message, at).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for an event: %w", err)
	}
	return n > 0, nil
}
