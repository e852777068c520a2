package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// Topics of DB.Watch that the operations use.
const (
	TopicWork     = "work"     // an inbox row, a due rollout or a queued task
	TopicEffects  = "effects"  // something to deliver to an agent
	TopicTasks    = "tasks"    // a task changed; also "tasks/<id>"
	TopicSessions = "sessions" // a machine's link was opened or lost, or it has to be looked at again
)

// InsertRollout stores a new rollout with its plan, queued and without owner.
func InsertRollout(tx *Tx, plan *rollout.Plan) error {
	text, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("marshal plan %s: %w", plan.Task, err)
	}
	_, err = tx.exec(`INSERT INTO rollout (id, space_id, plan_hash, rules, owner, epoch, seq, wake_at, state, step, members, next_ord, failures,
		stopped, unavailable, gone, warnings, open_cells, outputs, canceled_by, cancel_after, cancel_done, error, interruptions, due_at, tracking)
		VALUES ($1,$2,$3,$4,'',0,0,0,$5,0,0,0,0,0,0,0,0,0,0,'','',0,'',0,0,0)`,
		plan.Task, plan.Space.ID, plan.Hash(), plan.Rules, rollout.Queued)
	if err == nil {
		_, err = tx.exec(`INSERT INTO rollout_plan (rollout_id, json) VALUES ($1,$2)`, plan.Task, string(text))
	}
	if err != nil {
		return fmt.Errorf("insert rollout %s: %w", plan.Task, err)
	}
	tx.Notify(TopicWork)
	return nil
}

// LoadPlan reads a rollout's frozen plan; nobody may change it. One whose bytes
// are not those that were stored is PreconditionFailed (P6, invariant I9).
func LoadPlan(tx *Tx, id string) (*rollout.Plan, error) {
	if plan := tx.db.plans.get(id); plan != nil {
		return plan, nil
	}
	var text, want string
	err := tx.queryRow(`SELECT p.json, r.plan_hash FROM rollout_plan p JOIN rollout r ON r.id = p.rollout_id WHERE r.id = $1`, id).Scan(&text, &want)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, resource.Missing(id)
	}
	//guard:plan-hash I9: the plan that runs is the one that was approved; seen by ./internal/store TestAChangedPlanIsRefused
	if sum := sha256.Sum256([]byte(text)); err == nil && hex.EncodeToString(sum[:]) != want {
		return nil, resource.Errorf(resource.PreconditionFailed, "The plan of %s was changed in the database after it was approved; it does not run. Cancel the task and deploy again.", id)
	}
	plan := &rollout.Plan{}
	if err == nil {
		err = json.Unmarshal([]byte(text), plan)
	}
	if err != nil {
		return nil, fmt.Errorf("read plan %s: %w", id, err)
	}
	tx.db.plans.put(id, plan)
	return plan, nil
}

// Plan reads the turn's plan.
func (t *Turn) Plan() *rollout.Plan {
	plan, err := LoadPlan(t.tx, t.id)
	t.fail("read plan", err)
	return plan
}

// InboxItem is one report waiting for its rollout's owner.
type InboxItem struct {
	N     int64
	Event rollout.Event
	// Boxes are the sealed values of secret output variables by Set.Index.
	Boxes map[int][]byte
}

// Post puts an event into a rollout's inbox. The key makes it arrive once: an
// event that is there already is not added again (fault 17). The transaction's
// commit is what may be acknowledged to the sender.
func Post(tx *Tx, id, key string, event rollout.Event, boxes map[int][]byte) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("marshal event for %s: %w", id, err)
	}
	//guard:inbox-once I7: a report that comes twice counts once; less `VALUES ($1,$2,$3,$4)`, with `VALUES ($1,$2 || (SELECT COALESCE(MAX(n), 0) FROM inbox),$3,$4)`; seen by ./internal/store TestAReportCountsOnce
	_, err = tx.exec(`INSERT INTO inbox (rollout_id, dedup_key, json, boxes) VALUES ($1,$2,$3,$4)
		ON CONFLICT (rollout_id, dedup_key) DO NOTHING`, id, key, string(text), jsonOrEmpty(boxes))
	if err != nil {
		return fmt.Errorf("post %s to %s: %w", key, id, err)
	}
	tx.Notify(TopicWork)
	return nil
}

// Inbox reads up to n waiting reports in the order of their arrival.
func (t *Turn) Inbox(n int) []InboxItem {
	return turnRows(t, "inbox", `SELECT n, json, boxes FROM inbox WHERE rollout_id = $1 ORDER BY n LIMIT $2`,
		func(r *sql.Rows, item *InboxItem) error {
			var text, boxes string
			if err := r.Scan(&item.N, &text, &boxes); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &item.Event); err != nil {
				return err
			}
			return fromJSON(boxes, &item.Boxes)
		}, t.id, n)
}

// DropInbox deletes the reports that the turn has folded.
func (t *Turn) DropInbox(items []InboxItem) {
	for i := range items {
		t.exec("drop inbox", `DELETE FROM inbox WHERE n = $1`, items[i].N)
	}
}

// Record appends an event or a note to the rollout's history under the next
// sequence number, which is unique per rollout.
func (t *Turn) Record(at int64, kind string, what any) {
	text, err := json.Marshal(what)
	t.fail("marshal event", err)
	t.seq++
	t.exec("record", `INSERT INTO rollout_event (rollout_id, seq, at, kind, json) VALUES ($1,$2,$3,$4,$5)`, t.id, t.seq, at, kind, string(text))
}

// AddEffect stores an effect for the gateway under (rollout, seq, n), stamped
// with the owner's epoch.
func (t *Turn) AddEffect(n int, e *rollout.Effect) {
	t.exec("add effect", `INSERT INTO effect (rollout_id, seq, n, epoch, kind, attempt, machine, grace_ms) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)`,
		t.id, t.seq, n, t.epoch, e.Kind, e.Attempt, e.Machine, e.GraceMS)
	t.tx.Notify(TopicEffects)
}

// Withdraw takes back a start that no byte of has been sent. It fails the turn
// when the deliverer was faster: the turn is rolled back and folded again.
func (t *Turn) Withdraw(attempt string) {
	if t.err != nil {
		return
	}
	var sent int64
	err := t.tx.queryRow(`SELECT sent_at FROM attempt WHERE id = $1`, attempt).Scan(&sent)
	t.fail("withdraw", err)
	//guard:withdraw I2: an attempt that may have been sent is not withdrawn; seen by ./internal/store TestAWithdrawnStartIsNotSent
	if sent != 0 {
		t.fail("withdraw", fmt.Errorf("attempt %s was sent meanwhile", attempt))
	}
	t.exec("withdraw", `DELETE FROM effect WHERE attempt = $1 AND kind = $2`, attempt, rollout.StartAttempt)
}

// Grant names the cell that has got a machine's slot.
type Grant struct {
	Rollout string
	Cell    rollout.CellKey
}

// WantSlot queues the cell for its machine, first come first served, and
// returns who got the slot thereby, if anybody.
func (t *Turn) WantSlot(machine string, k rollout.CellKey, at int64) *Grant {
	t.exec("want slot", `INSERT INTO slot (machine, rollout_id, step, action, member, since, granted_at) VALUES ($1,$2,$3,$4,$5,$6,0)
		ON CONFLICT (rollout_id, step, action, member) DO NOTHING`, machine, t.id, k.Step, k.Action, k.Member, at)
	return t.grantNext(machine, at)
}

// FreeSlot gives the cell's slot up, or its place in the queue, and returns
// who has got the machine instead.
func (t *Turn) FreeSlot(k rollout.CellKey, at int64) *Grant {
	if t.err != nil {
		return nil
	}
	var machine string
	var granted int64
	err := t.tx.queryRow(`SELECT machine, granted_at FROM slot WHERE rollout_id = $1 AND step = $2 AND action = $3 AND member = $4`,
		t.id, k.Step, k.Action, k.Member).Scan(&machine, &granted)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	t.fail("free slot", err)
	t.exec("free slot", `DELETE FROM slot WHERE rollout_id = $1 AND step = $2 AND action = $3 AND member = $4`, t.id, k.Step, k.Action, k.Member)
	if granted == 0 {
		return nil
	}
	return t.grantNext(machine, at)
}

// grantNext gives a free machine to the head of its queue.
func (t *Turn) grantNext(machine string, at int64) *Grant {
	if t.err != nil {
		return nil
	}
	var g Grant
	//guard:slot I8: a machine is given to one at a time; less `AND NOT EXISTS (SELECT 1 FROM slot WHERE machine = $1 AND granted_at > 0)`; seen by ./internal/store TestAMachineHasOneHolder
	err := t.tx.returning(`UPDATE slot SET granted_at = $2 WHERE n = (SELECT MIN(n) FROM slot WHERE machine = $1)
		AND NOT EXISTS (SELECT 1 FROM slot WHERE machine = $1 AND granted_at > 0)
		RETURNING rollout_id, step, action, member`, []any{machine, at}, &g.Rollout, &g.Cell.Step, &g.Cell.Action, &g.Cell.Member)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	t.fail("grant slot", err)
	return &g
}

// PostElsewhere puts an event into another rollout's inbox within this turn.
func (t *Turn) PostElsewhere(id, key string, event rollout.Event) {
	if t.err == nil {
		t.fail("post", Post(t.tx, id, key, event, nil))
	}
}
