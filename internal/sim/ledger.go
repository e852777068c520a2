package sim

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// entry is a rollout as the database has it after a commit.
type entry struct {
	owner, state, task string
	epoch, seq         int64
}

// ledger is what the database said after the last commit, whoever made it, so
// that each commit can be held against what was there before it.
type ledger struct {
	rollouts map[string]entry
	effects  int64
	// sent says after which event of its rollout an attempt was marked sent: the
	// only row that Next reads and no event has written (I15).
	sent map[string]int64
}

// version changes exactly when another connection has committed something.
func (f *file) version() (n int64, err error) {
	err = f.conn.QueryRowContext(context.Background(), `PRAGMA data_version`).Scan(&n)
	return n, err
}

// each runs a prepared query.
func (t *truth) each(stmt *sql.Stmt, scan func(*sql.Rows) error, args ...any) error {
	rows, err := stmt.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// written holds a commit against the one before: n is the node that made it, nil
// a person.
func (t *truth) written(n *node) {
	var now ledger
	if err := t.open(&now); err != nil {
		t.w.violated("database", "%v", err)
		return
	}
	was := t.ledger
	now.sent = was.sent
	for id, e := range now.rollouts {
		t.moved(n, id, was.rollouts[id], e)
	}
	if n.recovers() && was.effects > now.effects {
		t.w.violated("I14", "%s begins, and %d effects are gone", n.name, was.effects-now.effects)
	}
	t.ledger = now
}

// moved looks at one rollout after a commit.
func (t *truth) moved(n *node, id string, was, now entry) {
	if was.task != now.task {
		t.audited(n, id, was, now)
	}
	switch {
	case was.seq == now.seq || n == nil:
		return
	case n.recovers():
		t.w.violated("I14", "%s takes over %s and takes a turn of it, from %d to %d", n.name, id, was.seq, now.seq)
	case now.seq < was.seq:
		t.w.violated("I7", "the history of %s goes back from %d to %d", id, was.seq, now.seq)
	case was.owner != "" && was.owner != n.owner:
		t.w.violated("I4", "%s takes a turn of %s, which %s owns", n.owner, id, was.owner)
	case was.owner == "" && now.epoch == was.epoch:
		t.w.violated("I4", "%s takes a turn of %s, which nobody owns, under its old epoch %d", n.owner, id, was.epoch)
	case now.owner != "" && now.owner != n.owner:
		t.w.violated("I4", "%s takes a turn of %s, and %s owns it then", n.owner, id, now.owner)
	case now.epoch < was.epoch:
		t.w.violated("I4", "the epoch of %s goes back from %d to %d", id, was.epoch, now.epoch)
	}
}

// audited: a task has changed its state, and its end is in the audit once.
func (t *truth) audited(n *node, id string, was, now entry) {
	if store.TaskState(was.task).Completed() {
		t.w.violated("I7", "%s was %s and is %s", id, was.task, now.task)
	}
	count := 0
	err := t.each(t.w.look.audit, func(r *sql.Rows) error { return r.Scan(&count) }, id)
	if err != nil {
		t.w.violated("database", "%v", err)
	}
	before := t.records[id]
	t.records[id] = count
	if n != nil && store.TaskState(now.task).Completed() && count != before+1 {
		t.w.violated("I11", "%s goes from %s to %s with %d records in the audit", id, was.task, now.task, count-before)
	}
}

// allEnded says whether every task has, as the last commit left it.
func (t *truth) allEnded() bool {
	for _, e := range t.ledger.rollouts {
		if !store.TaskState(e.task).Completed() {
			return false
		}
	}
	return true
}

// looks are the prepared looks at the database.
type looks struct{ rollouts, effects, sent, audit, epoch *sql.Stmt }

func (f *file) looks(ctx context.Context) (l looks, err error) {
	for into, text := range map[**sql.Stmt]string{
		&l.rollouts: `SELECT r.id, r.owner, r.state, t.state, r.epoch, r.seq FROM main.rollout r JOIN main.task t ON t.id = r.id`,
		&l.effects:  `SELECT COUNT(*) FROM main.effect`,
		&l.sent:     `SELECT id, rollout_id FROM main.attempt WHERE sent_at > 0`,
		&l.audit: `SELECT COUNT(*) FROM main.audit_document d JOIN main.audit a ON a.ord = d.ord WHERE d.document_id = $1
			AND a.category NOT IN ('` + resource.EventGuidedFailure + `', '` + resource.EventManualIntervention + `')`,
		&l.epoch: `SELECT epoch FROM main.node WHERE id = $1`,
	} {
		if *into, err = f.conn.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // Close does it
			return l, err
		}
		f.stmts = append(f.stmts, *into)
	}
	return l, nil
}

func (t *truth) open(l *ledger) error {
	l.rollouts = make(map[string]entry, len(t.ledger.rollouts))
	err := t.each(t.w.look.rollouts, func(r *sql.Rows) error {
		var id string
		var e entry
		err := r.Scan(&id, &e.owner, &e.state, &e.task, &e.epoch, &e.seq)
		l.rollouts[id] = e
		return err
	})
	if err != nil {
		return err
	}
	return t.each(t.w.look.effects, func(r *sql.Rows) error { return r.Scan(&l.effects) })
}

// marked notes which attempts have been marked sent.
func (t *truth) marked() error {
	return t.each(t.w.look.sent, func(r *sql.Rows) error {
		var id, rollout string
		if err := r.Scan(&id, &rollout); err != nil {
			return err
		}
		if _, known := t.ledger.sent[id]; !known {
			t.ledger.sent[id] = t.ledger.rollouts[rollout].seq
		}
		return nil
	})
}

// sealed checks the audit's chain, and that no table shows a secret (I10, I11).
func (t *truth) sealed() {
	ctx := context.Background()
	err := t.w.db.Write(ctx, func(tx *store.Tx) error {
		_, err := store.SealAudit(tx)
		return err
	})
	if err == nil {
		err = t.w.db.Read(ctx, store.VerifyAudit)
	}
	if err != nil {
		t.w.violated("I11", "%v", err)
	}
	for _, where := range []string{`rollout_event, json`, `inbox, json`, `audit, details`, `output_variable, value`, `rollout_plan, json`, `attempt, reason`} {
		table, column, _ := strings.Cut(where, ", ")
		var n int
		err := t.w.files[0].conn.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM main.%s WHERE instr(%s, 'canary-') > 0`, table, column)).Scan(&n)
		if err != nil || n > 0 {
			t.w.violated("I10", "%d rows of %s show a secret (%v)", n, table, err)
		}
	}
}
