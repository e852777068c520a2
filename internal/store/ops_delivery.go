package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// AgentLink is how the agent of a machine or worker is reached, as its document
// has it, without the rest of the document.
type AgentLink struct {
	ID         string
	Name       string
	Disabled   bool
	Style      string // resource.StyleActive …
	Thumbprint string // folded
	URI        string // folded
}

// AgentLinks are those of all machines and workers of all spaces.
func AgentLinks(tx *Tx) ([]AgentLink, error) {
	var list []AgentLink
	for _, k := range []*resource.Kind{resource.MachineKind, resource.WorkerKind} {
		part, err := readRows(tx, k.Route, `SELECT id, name, is_disabled, communication_style, thumbprint, uri FROM `+table(k)+` ORDER BY ord, id`,
			func(r *sql.Rows, l *AgentLink) error {
				return r.Scan(&l.ID, &l.Name, &l.Disabled, &l.Style, &l.Thumbprint, &l.URI)
			})
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
}

// WaitingMachines are the machines for which effects are ready, each once.
func WaitingMachines(tx *Tx) ([]string, error) {
	return readRows(tx, "waiting machines", `SELECT DISTINCT e.machine
		FROM effect e JOIN rollout r ON r.id = e.rollout_id AND r.epoch = e.epoch`, scanText)
}

// DropForgets removes what would let a machine's agent forget closed attempts:
// for a machine that has no agent any more.
func DropForgets(tx *Tx, machine string) error {
	if _, err := tx.exec(`DELETE FROM effect WHERE machine = $1 AND kind = $2`, machine, rollout.ForgetAttempt); err != nil {
		return fmt.Errorf("drop forgets of %s: %w", machine, err)
	}
	return nil
}

// Deliverable says whether the effect is still there under its rollout's
// current epoch, and the session that delivers it still the machine's: read in
// the transaction that marks it sent (design 5.5).
func Deliverable(tx *Tx, d *Delivery) (bool, error) {
	var n int
	//guard:epoch-effect I4: an effect counts only under the epoch that its rollout has now; less `AND r.epoch = e.epoch`; seen by ./internal/store TestAFormerOwnersEffectIsNotDelivered
	err := tx.queryRow(`SELECT COUNT(*) FROM effect e JOIN rollout r ON r.id = e.rollout_id AND r.epoch = e.epoch
		WHERE e.rollout_id = $1 AND e.seq = $2 AND e.n = $3 AND e.epoch = $4
		AND (CAST($5 AS BIGINT) = 0 OR EXISTS (SELECT 1 FROM agent_session s WHERE s.machine_id = e.machine AND s.generation = $5 AND s.state = 'Connected'))`,
		d.Rollout, d.Seq, d.N, d.Epoch, d.Session).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read effect %s/%d/%d: %w", d.Rollout, d.Seq, d.N, err)
	}
	return n == 1, nil
}

// RolloutSpace is the space that a rollout belongs to.
func RolloutSpace(tx *Tx, id string) (space string, err error) {
	if err := tx.queryRow(`SELECT space_id FROM rollout WHERE id = $1`, id).Scan(&space); err != nil {
		return "", fmt.Errorf("read space of %s: %w", id, err)
	}
	return space, nil
}

// RunningAttempt is an attempt that was sent and has no outcome yet.
type RunningAttempt struct {
	ID       string
	Rollout  string
	Executor string
	Epoch    int64 // its rollout's
	// Started: the agent has said that it journaled the start.
	Started bool
	// StartPending: the effect that starts it was not answered yet.
	StartPending bool
}

// RunningAttempts are the machine's attempts that were sent and have no
// outcome yet: what a new link has to follow.
func RunningAttempts(tx *Tx, machine string) ([]RunningAttempt, error) {
	return readRows(tx, "running attempts", `SELECT a.id, a.rollout_id, a.executor, r.epoch, a.started_at > 0,
		EXISTS (SELECT 1 FROM effect e WHERE e.attempt = a.id AND e.kind = 'Start')
		FROM attempt a JOIN rollout r ON r.id = a.rollout_id
		WHERE a.executor = $1 AND a.outcome = '' AND a.sent_at > 0 ORDER BY a.id`,
		func(r *sql.Rows, a *RunningAttempt) error {
			return r.Scan(&a.ID, &a.Rollout, &a.Executor, &a.Epoch, &a.Started, &a.StartPending)
		}, machine)
}

// ClosedAttempt is an attempt of the machine that has its outcome; Epoch is
// its rollout's.
type ClosedAttempt struct {
	Rollout string
	Epoch   int64
	Outcome rollout.Outcome
}

// FindClosedAttempt looks an attempt up that an agent still keeps a record of.
// It is nil when there is none of that id, when it is not the machine's
// (abuse 8), and while it is open.
func FindClosedAttempt(tx *Tx, machine, attempt string) (*ClosedAttempt, error) {
	//guard:own-attempt abuse 8: an agent claims no other machine's attempt; less ` AND a.executor = $2`, with ` AND $2 = $2`; seen by ./internal/gateway TestClaimsAnotherAttempt
	list, err := readRows(tx, "attempt "+attempt, `SELECT a.rollout_id, r.epoch, a.outcome FROM attempt a JOIN rollout r ON r.id = a.rollout_id
		WHERE a.id = $1 AND a.executor = $2 AND a.outcome <> ''`,
		func(r *sql.Rows, c *ClosedAttempt) error { return r.Scan(&c.Rollout, &c.Epoch, &c.Outcome) }, attempt, machine)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Artifact is a file that an attempt handed in; its bytes are the blob with
// the digest.
type Artifact struct {
	Attempt string
	Item    string // unique within the attempt
	Name    string // as the script called it: data, never a path
	Size    int64
	SHA256  string
}

// SaveArtifact stores an artifact's row, once.
func SaveArtifact(tx *Tx, a *Artifact) error {
	_, err := tx.exec(`INSERT INTO attempt_artifact (attempt_id, item, name, size, sha256) VALUES ($1,$2,$3,$4,$5)
		ON CONFLICT (attempt_id, item) DO NOTHING`, a.Attempt, a.Item, a.Name, a.Size, a.SHA256)
	if err != nil {
		return fmt.Errorf("save artifact %s of %s: %w", a.Item, a.Attempt, err)
	}
	return nil
}

// Artifacts are the artifacts of a task, by attempt and item.
func Artifacts(tx *Tx, task string) ([]Artifact, error) {
	return readRows(tx, "artifacts", `SELECT f.attempt_id, f.item, f.name, f.size, f.sha256
		FROM attempt_artifact f JOIN attempt a ON a.id = f.attempt_id WHERE a.rollout_id = $1 ORDER BY f.attempt_id, f.item`,
		func(r *sql.Rows, a *Artifact) error { return r.Scan(&a.Attempt, &a.Item, &a.Name, &a.Size, &a.SHA256) }, task)
}

// IsArtifact says whether an attempt handed in a file with these bytes.
func IsArtifact(tx *Tx, sha256 string) (is bool, err error) {
	if err := tx.queryRow(`SELECT EXISTS (SELECT 1 FROM attempt_artifact WHERE sha256 = $1)`, sha256).Scan(&is); err != nil {
		return false, fmt.Errorf("look for artifact %s: %w", sha256, err)
	}
	return is, nil
}

// HoldSession records a link that gets no work, with the reason: its identity
// is in use twice, or its start counter went back. The counter that the row
// knows stays. The rollouts that the machine works in hear that it is lost.
func HoldSession(tx *Tx, s *Session) error {
	now := tx.Now().UnixMilli()
	facts, err := json.Marshal(s.Facts)
	if err != nil {
		return fmt.Errorf("marshal facts of %s: %w", s.Machine, err)
	}
	err = tx.returning(`INSERT INTO agent_session (`+sessionColumns+`) VALUES ($1,$2,$3,$4,1,$5,$5,$5,$6,$7,$8)
		ON CONFLICT (machine_id) DO UPDATE SET node = excluded.node, state = excluded.state,
		generation = agent_session.generation + 1, lost_at = excluded.lost_at, reason = excluded.reason, facts = excluded.facts,
		contested_at = CASE WHEN excluded.state = 'Duplicate' THEN excluded.lost_at ELSE agent_session.contested_at END
		RETURNING generation`,
		[]any{s.Machine, s.Node, s.State, s.Incarnation, now, s.Reason, string(facts), s.start()}, &s.Generation)
	if err != nil {
		return fmt.Errorf("hold session of %s: %w", s.Machine, err)
	}
	tx.Notify(TopicSessions)
	return tellRollouts(tx, s.Machine, rollout.Event{At: now, Kind: rollout.Lost, Member: s.Machine}, s.Generation)
}

// ConfirmSession takes the machine's agent as it is now: its start counter may
// begin anew. A quarantined machine gets work again with its next ping.
func ConfirmSession(tx *Tx, machine string) error {
	result, err := tx.exec(`UPDATE agent_session SET incarnation = 0, start = '' WHERE machine_id = $1 AND state = $2`, machine, SessionQuarantined)
	if err != nil {
		return fmt.Errorf("confirm session of %s: %w", machine, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("the session of %s is not quarantined", machine))
	}
	return nil
}
