package store

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
)

// sessionLives is a condition on a row of agent_session: its node holds its
// lease at $1.
const sessionLives = `EXISTS (SELECT 1 FROM node WHERE node.id = agent_session.node AND ` + live + `)`

// Seat is a machine's session as the nodes agree about it.
type Seat struct {
	Machine    string
	Node       string // that has the link
	State      SessionState
	Generation int64
	// Rival is another node with a link of the same identity; "" for none.
	Rival string
	// ContestedAt is when two links that answer were last there, unix
	// milliseconds; 0 for never.
	ContestedAt int64
	// Alive says that the node holds its lease.
	Alive bool
}

// Elsewhere says that another node than this one has the machine's link, as far
// as is known: it works, or is held as a duplicate, and its node lives.
func (s *Seat) Elsewhere(node string) bool {
	return s.Alive && s.Node != "" && s.Node != node && (s.State == SessionConnected || s.State == SessionDuplicate)
}

const seatQuery = `SELECT machine_id, node, state, generation, rival, contested_at, ` + sessionLives + ` FROM agent_session`

func scanSeat(r *sql.Rows, s *Seat) error {
	return r.Scan(&s.Machine, &s.Node, &s.State, &s.Generation, &s.Rival, &s.ContestedAt, &s.Alive)
}

// Seats are all machines' sessions, by machine.
func Seats(tx *Tx) ([]Seat, error) {
	return readRows(tx, "seats", seatQuery+` ORDER BY machine_id`, scanSeat, tx.Now().UnixMilli())
}

// GetSeat reads a machine's; its zero value when it never had a session.
func GetSeat(tx *Tx, machine string) (Seat, error) {
	list, err := readRows(tx, "seat of "+machine, seatQuery+` WHERE machine_id = $2`, scanSeat, tx.Now().UnixMilli(), machine)
	if err != nil || len(list) == 0 {
		return Seat{Machine: machine}, err
	}
	return list[0], nil
}

// Challenge says to the node that has the machine's link that this one has a
// link of the same identity: it finds out which of the two is worth something
// (abuse 4). Of two links that are known to answer it says that both are there.
func Challenge(tx *Tx, s *Seat, node string) error {
	now := tx.Now().UnixMilli()
	if s.State == SessionDuplicate {
		_, err := tx.exec(`UPDATE agent_session SET rival = $2, contested_at = $3 WHERE machine_id = $1 AND generation = $4`, s.Machine, node, now, s.Generation)
		return wrapped(err, "contest session of", s.Machine)
	}
	if s.Rival == node {
		return nil
	}
	_, err := tx.exec(`UPDATE agent_session SET rival = $2 WHERE machine_id = $1 AND generation = $3`, s.Machine, node, s.Generation)
	tx.Notify(TopicSessions)
	return wrapped(err, "challenge session of", s.Machine)
}

// LeaveHeld says that the link of a duplicate identity that this node held has
// ended: what is left at other nodes may be the only one.
func LeaveHeld(tx *Tx, machine, node string) error {
	_, err := tx.exec(`UPDATE agent_session SET node = '' WHERE machine_id = $1 AND node = $2 AND state = $3`, machine, node, SessionDuplicate)
	tx.Notify(TopicSessions)
	return wrapped(err, "leave session of", machine)
}

func wrapped(err error, what, id string) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// ClaimDials gives this run of a node the listening machines out of the list
// that no run of a living node has, and says which of them it has now. A claim
// ends with its node's lease or when it is given up.
func ClaimDials(tx *Tx, owner string, machines []string) (mine map[string]bool, err error) {
	mine = map[string]bool{}
	for _, machine := range machines {
		result, err := tx.exec(`INSERT INTO dial (machine_id, owner) VALUES ($2,$3) ON CONFLICT (machine_id) DO UPDATE SET owner = excluded.owner
			WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.id || '/' || node.epoch = dial.owner AND `+live+`)`,
			tx.Now().UnixMilli(), machine, owner)
		if err != nil {
			return nil, fmt.Errorf("claim %s: %w", machine, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, err
		} else if n == 1 {
			mine[machine] = true
		}
	}
	return mine, nil
}

// Dial is who dials a listening machine.
type Dial struct {
	Machine string
	Owner   string // a run of a node
	Alive   bool   // it holds its lease
}

// Dials are the claims, by machine.
func Dials(tx *Tx) ([]Dial, error) {
	return readRows(tx, "dials", `SELECT machine_id, owner, EXISTS (SELECT 1 FROM node WHERE node.id || '/' || node.epoch = dial.owner AND `+live+`)
		FROM dial ORDER BY machine_id`, func(r *sql.Rows, d *Dial) error { return r.Scan(&d.Machine, &d.Owner, &d.Alive) }, tx.Now().UnixMilli())
}

// GiveUpDials frees what a node claimed, but for the machines in keep.
func GiveUpDials(tx *Tx, owner string, keep func(machine string) bool) error {
	list, err := readRows(tx, "claims", `SELECT machine_id FROM dial WHERE owner = $1`, scanText, owner)
	freed := false
	for _, machine := range list {
		if err == nil && !keep(machine) {
			_, err = tx.exec(`DELETE FROM dial WHERE machine_id = $1 AND owner = $2`, machine, owner)
			freed = true
		}
	}
	if freed {
		tx.Notify(TopicNodes)
	}
	return wrapped(err, "give up machines of", owner)
}

// OnDuty says whether this run of a node is the one that does a work which one
// node does at a time, and makes it that where no living node is (fault 50).
// Where it is asked in the transaction that does the work, the work is fenced.
func OnDuty(tx *Tx, duty, owner string) (bool, error) {
	var holder string
	var alive bool
	err := tx.queryRow(`SELECT owner, EXISTS (SELECT 1 FROM node WHERE node.id || '/' || node.epoch = duty.owner AND node.draining = 0 AND `+live+`)
		FROM duty WHERE name = $2`, tx.Now().UnixMilli(), duty).Scan(&holder, &alive)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && holder != owner && !alive:
		_, err = tx.exec(`INSERT INTO duty (name, owner) VALUES ($1,$2) ON CONFLICT (name) DO UPDATE SET owner = excluded.owner`, duty, owner)
		return err == nil, wrapped(err, "take the duty", duty)
	case err != nil:
		return false, wrapped(err, "read the duty", duty)
	}
	return holder == owner, nil
}

// Question is something that one node asks a machine's agent through the node
// that has its link.
type Question struct {
	ID       string
	Machine  string
	Question string // JSON
	Answer   string // JSON; "" where Error says why there is none
	Error    string
	Answered bool
}

const questionColumns = `SELECT id, machine_id, question, answer, error, answered_at > 0 FROM agent_question `

func scanQuestion(r *sql.Rows, q *Question) error {
	return r.Scan(&q.ID, &q.Machine, &q.Question, &q.Answer, &q.Error, &q.Answered)
}

// TopicQuestions is notified when a question is asked; with "/" and its id, when
// it is answered.
const TopicQuestions = "questions"

// Ask stores a question. Whoever asked takes it back when he has his answer, or
// does not wait any more; those of nodes that died go after an hour.
func Ask(tx *Tx, q *Question) error {
	now := tx.Now().UnixMilli()
	const hour = 3600_000
	_, err := tx.exec(`INSERT INTO agent_question (id, machine_id, asked_at, question) VALUES ($1,$2,$3,$4)`, q.ID, q.Machine, now, q.Question)
	if err == nil {
		_, err = tx.exec(`DELETE FROM agent_question WHERE asked_at < $1`, now-hour)
	}
	tx.Notify(TopicQuestions)
	return wrapped(err, "ask", q.Machine)
}

// OpenQuestions are the questions without an answer to machines that the node
// has the link of.
func OpenQuestions(tx *Tx, node string) ([]Question, error) {
	return readRows(tx, "questions", questionColumns+`WHERE answered_at = 0 AND machine_id IN (SELECT machine_id FROM agent_session WHERE node = $1)
		ORDER BY asked_at, id`, scanQuestion, node)
}

// GetQuestion reads one.
func GetQuestion(tx *Tx, id string) (*Question, error) {
	list, err := readRows(tx, "question", questionColumns+`WHERE id = $1`, scanQuestion, id)
	if err == nil && len(list) == 0 {
		err = resource.Errorf(resource.NotFound, "The question is gone.")
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// Answer stores the answer to a question that is still asked.
func Answer(tx *Tx, q *Question) error {
	_, err := tx.exec(`UPDATE agent_question SET answer = $2, error = $3, answered_at = $4 WHERE id = $1`, q.ID, q.Answer, q.Error, tx.Now().UnixMilli())
	tx.Notify(TopicQuestions + "/" + q.ID)
	return wrapped(err, "answer question", q.ID)
}

// TakeBack removes a question.
func TakeBack(tx *Tx, id string) error {
	_, err := tx.exec(`DELETE FROM agent_question WHERE id = $1`, id)
	return wrapped(err, "take back question", id)
}
