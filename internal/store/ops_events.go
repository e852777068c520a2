package store

import (
	"database/sql"
	"fmt"
)

// NumberedNote is a line of a task's own log with its place in the history.
type NumberedNote struct {
	Seq int64
	TimedNote
}

// LastSeq is the number of the last event in a task's history; 0 before the
// first. What a rollout's rows say changes only together with it.
func LastSeq(tx *Tx, task string) (seq int64, err error) {
	if err := tx.queryRow(`SELECT COALESCE(MAX(seq), 0) FROM rollout_event WHERE rollout_id = $1`, task).Scan(&seq); err != nil {
		return 0, fmt.Errorf("read history of %s: %w", task, err)
	}
	return seq, nil
}

// NotesAfter are up to n lines of a task's own log behind an event.
func NotesAfter(tx *Tx, task string, seq int64, n int) ([]NumberedNote, error) {
	return readRows(tx, "notes", `SELECT seq, at, json FROM rollout_event WHERE rollout_id = $1 AND seq > $2 AND kind = 'Say' ORDER BY seq LIMIT $3`,
		func(r *sql.Rows, n *NumberedNote) error {
			var text string
			if err := r.Scan(&n.Seq, &n.At, &text); err != nil {
				return err
			}
			return fromJSON(text, &n.Note)
		}, task, seq, n)
}
