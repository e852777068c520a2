package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// SessionState says what a machine's link is worth.
type SessionState string

// The states of an agent's session.
const (
	SessionConnected SessionState = "Connected"
	SessionLost      SessionState = "Lost"
	// SessionDuplicate: two links that both answer; neither gets work (abuse 4).
	SessionDuplicate SessionState = "Duplicate"
	// SessionQuarantined: the agent's start counter went back, so its journal
	// did too; no work until a person confirms it (fault 32).
	SessionQuarantined SessionState = "Quarantined"
	// SessionIncompatible: agent and server speak no version of the protocol in
	// common; no work until one of them is upgraded (fault 45).
	SessionIncompatible SessionState = "Incompatible"
)

// Session is a machine's link to a node: generation counts the links, so a
// late write about an older one changes nothing.
type Session struct {
	Machine     string
	Node        string
	State       SessionState
	Incarnation int64
	// Starts names the agent's last starts, this one first; the row keeps this
	// one's name alone.
	Starts      []string
	Generation  int64
	ConnectedAt int64
	LostAt      int64
	HeardAt     int64
	Reason      string
	Facts       map[string]string // what Describe answered
}

const sessionColumns = `machine_id, node, state, incarnation, generation, connected_at, lost_at, heard_at, reason, facts, start`

func scanSession(r *sql.Rows, s *Session) error {
	var facts, start string
	if err := r.Scan(&s.Machine, &s.Node, &s.State, &s.Incarnation, &s.Generation, &s.ConnectedAt, &s.LostAt, &s.HeardAt, &s.Reason, &facts, &start); err != nil {
		return err
	}
	if start != "" {
		s.Starts = []string{start}
	}
	return fromJSON(facts, &s.Facts)
}

// start is the name of the agent's last start, "" where it gives none.
func (s *Session) start() string {
	if len(s.Starts) == 0 {
		return ""
	}
	return s.Starts[0]
}

// Ahead says that the agent which opens next was set back in time since this
// session: it counts fewer starts, or gives another name to the start that this
// session was of (fault 32). An agent that has forgotten the name is believed.
func (s *Session) Ahead(next *Session) bool {
	since := next.Incarnation - s.Incarnation
	if since < 0 {
		return true
	}
	return s.start() != "" && since < int64(len(next.Starts)) && next.Starts[since] != s.start()
}

// GetSession reads a machine's session; nil when it never had one.
func GetSession(tx *Tx, machine string) (*Session, error) {
	list, err := readRows(tx, "session", `SELECT `+sessionColumns+` FROM agent_session WHERE machine_id = $1`, scanSession, machine)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// ListSessions reads all sessions, by machine.
func ListSessions(tx *Tx) ([]Session, error) {
	return readRows(tx, "sessions", `SELECT `+sessionColumns+` FROM agent_session ORDER BY machine_id`, scanSession)
}

// OpenSession records a new link and returns its generation. The rollouts that
// the machine works in are told.
func OpenSession(tx *Tx, s *Session) error {
	now := tx.Now().UnixMilli()
	facts, err := json.Marshal(s.Facts)
	if err != nil {
		return fmt.Errorf("marshal facts of %s: %w", s.Machine, err)
	}
	err = tx.returning(`INSERT INTO agent_session (`+sessionColumns+`) VALUES ($1,$2,$3,$4,1,$5,0,$5,'',$6,$7)
		ON CONFLICT (machine_id) DO UPDATE SET node = excluded.node, state = excluded.state, incarnation = excluded.incarnation,
		generation = agent_session.generation + 1, connected_at = excluded.connected_at, lost_at = 0, heard_at = excluded.heard_at,
		reason = '', facts = excluded.facts, start = excluded.start, rival = '', contested_at = 0 RETURNING generation`,
		[]any{s.Machine, s.Node, s.State, s.Incarnation, now, string(facts), s.start()}, &s.Generation)
	if err != nil {
		return fmt.Errorf("open session of %s: %w", s.Machine, err)
	}
	tx.Notify(TopicEffects)
	tx.Notify(TopicSessions)
	m, err := Get[resource.Machine](tx, s.Machine)
	switch {
	case err == nil:
		err = MachineChanged(tx, m.ID, m.EnvironmentIDs)
	case resource.CodeOf(err) == resource.NotFound: // a worker
		err = nil
	}
	return errors.Join(err, tellRollouts(tx, s.Machine, rollout.Event{At: now, Kind: rollout.Back, Member: s.Machine}, s.Generation))
}

// CloseSession records the end of a link, unless a newer one has replaced it.
func CloseSession(tx *Tx, machine string, generation int64, state SessionState, reason string) error {
	now := tx.Now().UnixMilli()
	//guard:generation-close fault 16: a link that was replaced does not end the one that replaced it; less ` AND generation = $2`, with ` AND $2 = $2`; seen by ./internal/store TestAnOldLinkWritesNothing
	result, err := tx.exec(`UPDATE agent_session SET state = $3, lost_at = $4, reason = $5 WHERE machine_id = $1 AND generation = $2 AND state = 'Connected'`,
		machine, generation, state, now, reason)
	if err != nil {
		return fmt.Errorf("close session of %s: %w", machine, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	tx.Notify(TopicSessions)
	return tellRollouts(tx, machine, rollout.Event{At: now, Kind: rollout.Lost, Member: machine}, generation)
}

// HeardFrom notes that the machine's link answered. It says false when the row
// is no longer this link's: a newer one has replaced it, or the session was
// written off.
func HeardFrom(tx *Tx, machine string, generation int64) (bool, error) {
	//guard:generation fault 16: a link that was replaced does not keep the session up; less ` AND generation = $2`, with ` AND $2 = $2`; seen by ./internal/store TestAnOldLinkWritesNothing
	result, err := tx.exec(`UPDATE agent_session SET heard_at = $3 WHERE machine_id = $1 AND generation = $2 AND state = 'Connected'`, machine, generation, tx.Now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("note heard from %s: %w", machine, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// MachineGone tells every unfinished rollout of the machine that it is gone: a
// person deleted it, or its cloud says so.
func MachineGone(tx *Tx, machine, why string) error {
	list, err := readRows(tx, "rollouts of machine", `SELECT rollout.id FROM member JOIN rollout ON rollout.id = member.rollout_id
		WHERE member.id = $1 AND rollout.state IN ('Queued', 'Running', 'Canceling')`, scanText, machine)
	for _, id := range list {
		err = errors.Join(err, Post(tx, id, "gone/"+machine, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Gone, Member: machine, By: why}, nil))
	}
	return err
}

func scanText(r *sql.Rows, s *string) error { return r.Scan(s) }

func tellRollouts(tx *Tx, machine string, event rollout.Event, generation int64) error {
	list, err := readRows(tx, "rollouts of machine", `SELECT DISTINCT rollout_id FROM cell WHERE executor = $1 AND is_open = 1`, scanText, machine)
	for _, id := range list {
		key := fmt.Sprintf("%s/%s/%d", event.Kind, machine, generation)
		err = errors.Join(err, Post(tx, id, key, event, nil))
	}
	return err
}

// Delivery is an effect ready for an agent.
type Delivery struct {
	Rollout string
	Seq, N  int64
	Epoch   int64
	Kind    rollout.EffectKind
	Attempt string
	Machine string
	GraceMS int64
	// Session is the generation of the session that delivers it: a link that is
	// no longer the machine's starts nothing (abuse 4, fault 53). 0: not asked.
	Session int64
}

// Deliveries are up to n effects for one machine whose epoch is still the
// rollout's: what a former owner left behind is not sent (design 5.5). Starts
// come last, for they may wait long, and of each kind the oldest first.
func Deliveries(tx *Tx, machine string, n int) ([]Delivery, error) {
	//guard:epoch-read I4: effects of a former owner are not even read; less `AND r.epoch = e.epoch`; seen by ./internal/store TestAFormerOwnersEffectIsNotDelivered
	return readRows(tx, "effects", `SELECT e.rollout_id, e.seq, e.n, e.epoch, e.kind, e.attempt, e.machine, e.grace_ms
		FROM effect e JOIN rollout r ON r.id = e.rollout_id AND r.epoch = e.epoch
		WHERE e.machine = $1 ORDER BY CASE e.kind WHEN 'Start' THEN 1 ELSE 0 END, e.rollout_id, e.seq, e.n LIMIT $2`,
		func(r *sql.Rows, d *Delivery) error {
			return r.Scan(&d.Rollout, &d.Seq, &d.N, &d.Epoch, &d.Kind, &d.Attempt, &d.Machine, &d.GraceMS)
		}, machine, n)
}

// MarkSent notes that the attempt's first byte is about to go out; from now on
// it is no longer proved not to have started. It says false when the start was
// withdrawn meanwhile.
func MarkSent(tx *Tx, attempt string) (bool, error) {
	//guard:mark-sent I2: an attempt that has its outcome is not sent; less ` AND outcome = ''`; seen by ./internal/store TestAWithdrawnStartIsNotSent
	result, err := tx.exec(`UPDATE attempt SET sent_at = CASE WHEN sent_at = 0 THEN $2 ELSE sent_at END WHERE id = $1 AND outcome = ''`, attempt, tx.Now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("mark %s sent: %w", attempt, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Delivered removes an effect that its agent has answered.
func Delivered(tx *Tx, d *Delivery) error {
	if _, err := tx.exec(`DELETE FROM effect WHERE rollout_id = $1 AND seq = $2 AND n = $3`, d.Rollout, d.Seq, d.N); err != nil {
		return fmt.Errorf("drop effect %s/%d/%d: %w", d.Rollout, d.Seq, d.N, err)
	}
	return nil
}

// Render builds the attempt's payload from its rows, as any node would, and
// the rollout that it belongs to. It fails when the bytes are not those the
// row's hash promises (design 5.7).
func Render(tx *Tx, attempt string) (payload *rollout.Payload, id string, err error) {
	list, err := readRows(tx, "attempt", attemptQuery+`WHERE id = $1`, scanAttempt, attempt)
	if err != nil || len(list) == 0 {
		return nil, "", errors.Join(fmt.Errorf("read attempt %s", attempt), err)
	}
	a := list[0]
	if err := tx.queryRow(`SELECT rollout_id FROM attempt WHERE id = $1`, attempt).Scan(&id); err != nil {
		return nil, "", fmt.Errorf("read attempt %s: %w", attempt, err)
	}
	plan, err := LoadPlan(tx, id)
	if err != nil {
		return nil, "", err
	}
	t := &Turn{tx: tx, id: id}
	m, found := t.Member(a.Cell.Member)
	payload = rollout.Render(plan, &m, &a, t.Outputs(a.Outputs))
	if t.err != nil || !found {
		return nil, "", errors.Join(fmt.Errorf("read member %s of attempt %s", a.Cell.Member, attempt), t.err)
	}
	//guard:payload-hash I9: an attempt is sent what its row promises, or nothing; seen by ./internal/store TestAnotherPayloadIsNotSent
	if got := payload.Hash(); got != a.PayloadHash {
		return nil, "", fmt.Errorf("payload of attempt %s has hash %s, its row says %s", attempt, got, a.PayloadHash)
	}
	return payload, id, nil
}

// OutputBox is the sealed value of a secret output variable and the source
// that its sealing is bound to.
func OutputBox(tx *Tx, id string, n int) (box []byte, source string, err error) {
	if err := tx.queryRow(`SELECT box, source FROM output_variable WHERE rollout_id = $1 AND n = $2`, id, n).Scan(&box, &source); err != nil {
		return nil, "", fmt.Errorf("read output %d of %s: %w", n, id, err)
	}
	return box, source, nil
}

// StoredReceipt is an agent's proof of what it installed, with each file.
type StoredReceipt struct {
	Attempt string
	Machine string
	rollout.Receipt
	FileList []ReceiptFile
}

// ReceiptFile is one installed file: slash-separated path relative to the
// install folder, size in bytes, SHA-256 in lower-case hex.
type ReceiptFile struct {
	Path   string
	Size   int64
	SHA256 string
}

// SaveReceipt stores a receipt under the attempt that reported it, once.
func SaveReceipt(tx *Tx, attempt, machine string, r *rollout.Receipt, files []ReceiptFile) error {
	_, err := tx.exec(`INSERT INTO receipt (attempt_id, machine_id, package_id, version, package_sha256, install_dir, tree, files, received_at)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT (attempt_id) DO NOTHING`,
		attempt, machine, r.PackageID, r.Version, r.PackageSHA256, r.InstallDir, r.Tree, jsonOrEmpty(files), tx.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("save receipt of %s: %w", attempt, err)
	}
	return nil
}

// Receipts are the receipts of a task, by attempt.
func Receipts(tx *Tx, task string) ([]StoredReceipt, error) {
	return readRows(tx, "receipts", `SELECT r.attempt_id, r.machine_id, r.package_id, r.version, r.package_sha256, r.install_dir, r.tree, r.files
		FROM receipt r JOIN attempt a ON a.id = r.attempt_id WHERE a.rollout_id = $1 ORDER BY r.attempt_id`,
		func(rows *sql.Rows, s *StoredReceipt) error {
			var files string
			if err := rows.Scan(&s.Receipt.Attempt, &s.Machine, &s.PackageID, &s.Version, &s.PackageSHA256, &s.InstallDir, &s.Tree, &files); err != nil {
				return err
			}
			s.Attempt = s.Receipt.Attempt
			err := fromJSON(files, &s.FileList)
			s.Files = len(s.FileList)
			return err
		}, task)
}
