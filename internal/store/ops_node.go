package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// TopicNodes is notified when a node begins, ends, or is to be drained.
const TopicNodes = "nodes"

// leaseMS is how long a node's lease holds, by the database's clock.
const leaseMS = 6000

// live is a condition on a row of node: its lease holds at $1.
const live = `node.lease_until > $1`

// ownerLives is a condition: the run of a node that owns the rollout holds its
// lease at $1.
const ownerLives = `EXISTS (SELECT 1 FROM node WHERE node.id || '/' || node.epoch = rollout.owner AND ` + live + `)`

// known is a condition on a rollout: this release has the rules that its plan
// was made for. Each release keeps those of the one before (design 5.1).
func known() string {
	return fmt.Sprintf("rollout.rules BETWEEN %d AND %d", rollout.Rules-1, rollout.Rules)
}

// StartNode begins a new epoch of a node and returns its owner name, unique to
// this run of it. What the last run left is lost by it from now on.
func StartNode(tx *Tx, node, version string) (owner string, err error) {
	var epoch int64
	now := tx.Now().UnixMilli()
	err = tx.queryRow(`INSERT INTO node (id, epoch, lease_until, started_at, draining, version) VALUES ($1,1,$2,$3,0,$4)
		ON CONFLICT (id) DO UPDATE SET epoch = node.epoch + 1, lease_until = excluded.lease_until, started_at = excluded.started_at,
		draining = 0, version = excluded.version RETURNING epoch`, node, now+leaseMS, now, version).Scan(&epoch)
	if err != nil {
		return "", fmt.Errorf("start node %s: %w", node, err)
	}
	tx.Notify(TopicNodes)
	return node + "/" + strconv.FormatInt(epoch, 10), nil
}

// RenewLease extends the lease of this run of the node; ErrFenced when a newer
// one has begun.
func RenewLease(tx *Tx, owner string) error {
	//guard:lease I4: a former life of a node renews no lease; less `id || '/' || epoch = $1`, with `$1 LIKE id || '/%'`; seen by ./internal/store TestAFormerLifeRenewsNoLease
	result, err := tx.exec(`UPDATE node SET lease_until = $2 WHERE id || '/' || epoch = $1`, owner, tx.Now().UnixMilli()+leaseMS)
	if err != nil {
		return fmt.Errorf("renew lease of %s: %w", owner, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(ErrFenced, err)
	}
	return nil
}

// EndOthers ends every other node's lease: for a database that only one node
// can have open, whatever it was called before.
func EndOthers(tx *Tx, owner string) error {
	if _, err := tx.exec(`UPDATE node SET lease_until = 0 WHERE id || '/' || epoch <> $1`, owner); err != nil {
		return fmt.Errorf("end the nodes before %s: %w", owner, err)
	}
	return nil
}

// EndNode hands over what the node has and ends its lease now, so that the
// others do not have to wait until it ends by itself.
func EndNode(tx *Tx, owner string) error {
	if err := HandOver(tx, owner); err != nil {
		return err
	}
	if _, err := tx.exec(`UPDATE node SET lease_until = $2 WHERE id || '/' || epoch = $1`, owner, tx.Now().UnixMilli()); err != nil {
		return fmt.Errorf("end node %s: %w", owner, err)
	}
	tx.Notify(TopicNodes)
	return nil
}

// HandOver parks the rollouts of a node: any other takes each up with the next
// thing that there is to do for it. What the node still sends is stale.
func HandOver(tx *Tx, owner string) error {
	list, err := readRows(tx, "rollouts", `UPDATE rollout SET owner = '', epoch = epoch + 1 WHERE owner = $1 RETURNING id, epoch, 1 = 1`, scanOwned, owner)
	for _, o := range list {
		err = errors.Join(err, restamp(tx, o.ID, o.Epoch))
	}
	if err != nil || len(list) == 0 {
		return err
	}
	tx.Notify(TopicWork)
	tx.Notify(TopicEffects)
	return nil
}

// Bury takes over what dead nodes left: their rollouts get this owner, and
// their sessions are lost (design 5.5). Nodes that left rollouts which this
// release has no rules for are looked at again.
func Bury(tx *Tx, owner string) (taken []Owned, err error) {
	now := tx.Now().UnixMilli()
	dead, err := readRows(tx, "nodes", `SELECT id FROM node WHERE lease_until > 0 AND lease_until <= $1`, scanText, now)
	if err != nil || len(dead) == 0 {
		return nil, err
	}
	if taken, err = TakeOver(tx, owner); err != nil {
		return nil, err
	}
	if err := LoseSessions(tx, "the server that it was linked to ended"); err != nil {
		return nil, err
	}
	_, err = tx.exec(`UPDATE node SET lease_until = 0 WHERE lease_until > 0 AND lease_until <= $1
		AND NOT EXISTS (SELECT 1 FROM rollout WHERE owner = node.id || '/' || node.epoch)`, now)
	if err != nil {
		return nil, fmt.Errorf("bury nodes: %w", err)
	}
	tx.Notify(TopicNodes)
	return taken, nil
}

// LoseSessions marks the sessions lost whose node does not live any more.
func LoseSessions(tx *Tx, reason string) error {
	list, err := readRows(tx, "sessions", `SELECT `+sessionColumns+` FROM agent_session WHERE state = 'Connected'
		AND NOT EXISTS (SELECT 1 FROM node WHERE node.id = agent_session.node AND `+live+`)`, scanSession, tx.Now().UnixMilli())
	for i := range list {
		err = errors.Join(err, CloseSession(tx, list[i].Machine, list[i].Generation, SessionLost, reason))
	}
	return err
}

// LoseOwnSessions marks the sessions of a node's last run lost: called when it
// begins.
func LoseOwnSessions(tx *Tx, node, reason string) error {
	list, err := readRows(tx, "sessions", `SELECT `+sessionColumns+` FROM agent_session WHERE state = 'Connected' AND node = $1`, scanSession, node)
	for i := range list {
		err = errors.Join(err, CloseSession(tx, list[i].Machine, list[i].Generation, SessionLost, reason))
	}
	return err
}

// Began is since when there has been a node without a break, unix
// milliseconds; 0: there is none.
func Began(tx *Tx) (at int64, err error) {
	if err := tx.queryRow(`SELECT COALESCE(MIN(started_at), 0) FROM node WHERE `+live, tx.Now().UnixMilli()).Scan(&at); err != nil {
		return 0, fmt.Errorf("read start of the nodes: %w", err)
	}
	return at, nil
}

// Owned is a rollout and the epoch it is owned under.
type Owned struct {
	ID    string
	Epoch int64
	// Parked says that nobody owns it: Unpark comes first.
	Parked bool
}

func scanOwned(r *sql.Rows, o *Owned) error { return r.Scan(&o.ID, &o.Epoch, &o.Parked) }

// TakeOver gives every rollout whose owner does not live any more to this one:
// raises its epoch and re-stamps its undelivered effects, in one transaction
// (design 5.5). Ended rollouts have no owner.
func TakeOver(tx *Tx, owner string) ([]Owned, error) {
	list, err := readRows(tx, "rollouts", `UPDATE rollout SET owner = $2, epoch = epoch + 1
		WHERE owner <> '' AND owner <> $2 AND NOT `+ownerLives+` AND `+known()+` RETURNING id, epoch, 1 = 0`, scanOwned, tx.Now().UnixMilli(), owner)
	for _, o := range list {
		err = errors.Join(err, restamp(tx, o.ID, o.Epoch))
	}
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		tx.Notify(TopicWork)
		tx.Notify(TopicEffects)
	}
	return list, nil
}

// outpacing is by how much an epoch is raised that agents are ahead of: more
// than a database can lose of them at once.
const outpacing = 1000

// Outpace raises the epoch of a rollout that still is under the one given, for
// agents that have heard of a newer one, and says whether it was. Any node takes it
// up (fault 24).
func Outpace(tx *Tx, id string, epoch int64) (raised bool, err error) {
	result, err := tx.exec(`UPDATE rollout SET owner = '', epoch = epoch + $3 WHERE id = $1 AND epoch = $2`, id, epoch, outpacing)
	if err != nil {
		return false, fmt.Errorf("raise epoch of %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	tx.Notify(TopicWork)
	tx.Notify(TopicEffects)
	return true, restamp(tx, id, epoch+outpacing)
}

func restamp(tx *Tx, id string, epoch int64) error {
	//guard:restamp fault 3: what a former owner left to be sent is sent by the next one; less `WHERE rollout_id = $1`, with `WHERE rollout_id = $1 AND 1 = 0`; seen by ./internal/store TestAFormerOwnersEffectIsNotDelivered
	if _, err := tx.exec(`UPDATE effect SET epoch = $2 WHERE rollout_id = $1`, id, epoch); err != nil {
		return fmt.Errorf("re-stamp effects of %s: %w", id, err)
	}
	return nil
}

// LastLife says with ErrFenced that a newer run of the owner's node has begun: this
// one takes up nothing any more. What it took would be nobody's to bury, since
// the node lives.
func LastLife(tx *Tx, owner string) error {
	var last bool
	if err := tx.queryRow(`SELECT EXISTS (SELECT 1 FROM node WHERE id || '/' || epoch = $1)`, owner).Scan(&last); err != nil {
		return fmt.Errorf("look for a newer run of %s: %w", owner, err)
	}
	//guard:last-life I4, fault 30: a node's former life takes up nothing; less `!last`, with `!last && false`; seen by ./internal/engine TestAFormerLifeTakesNothing
	if !last {
		return ErrFenced
	}
	return nil
}

// Unpark gives a parked rollout an owner, as TakeOver does. ErrFenced says that
// another node was faster.
func Unpark(tx *Tx, o Owned, owner string) (epoch int64, err error) {
	//guard:unpark I4: of two nodes that find a parked rollout one takes it; less ` AND epoch = $3`, with ` AND $3 = $3`; seen by ./internal/store TestAParkedRolloutIsTakenOnce
	err = tx.queryRow(`UPDATE rollout SET owner = $2, epoch = epoch + 1 WHERE id = $1 AND owner = '' AND epoch = $3 RETURNING epoch`,
		o.ID, owner, o.Epoch).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrFenced
	}
	if err != nil {
		return 0, fmt.Errorf("unpark rollout %s: %w", o.ID, err)
	}
	return epoch, restamp(tx, o.ID, epoch)
}

// Park leaves a rollout without owner when all that it does is wait for a
// person, a machine or a time, or when it has ended: nothing of it is lost with
// a node, and any takes it up again.
func (t *Turn) Park() {
	t.exec("park", `UPDATE rollout SET owner = '' WHERE id = $1 AND (state NOT IN ('Queued', 'Running', 'Canceling')
		OR NOT EXISTS (SELECT 1 FROM cell WHERE rollout_id = $1 AND is_open = 1 AND state = 'Running'))`, t.id)
}

// DueRollouts are the rollouts of the owner and those of nobody with something
// to do: a report in the inbox, or a timer that is due.
func DueRollouts(tx *Tx, owner string, n int) ([]Owned, error) {
	//guard:timers I13: a rollout goes on when a time has come that it waits for; less `wake_at <= $2`, with `wake_at <= $2 AND 1 = 0`
	return readRows(tx, "due rollouts", `SELECT id, epoch, owner = '' FROM rollout WHERE (owner = $1 OR owner = '' AND state <> 'Queued') AND `+known()+`
		AND id IN (SELECT rollout_id FROM inbox UNION SELECT id FROM rollout WHERE wake_at > 0 AND wake_at <= $2) ORDER BY id LIMIT $3`,
		scanOwned, owner, tx.Now().UnixMilli(), n)
}

// NextWake is when the owner's next timer is due, or one of nobody's, unix
// milliseconds; 0: never.
func NextWake(tx *Tx, owner string) (at int64, err error) {
	err = tx.queryRow(`SELECT COALESCE(MIN(wake_at), 0) FROM rollout WHERE (owner = $1 OR owner = '') AND wake_at > 0`, owner).Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("read next wake: %w", err)
	}
	return at, nil
}

// Node is a server of the cluster, as all of them know it. Times are unix
// milliseconds.
type Node struct {
	Name      string
	Version   string
	StartedAt int64
	LastSeen  int64 // when it renewed its lease last; 0: long ago, what it had was taken over
	Alive     bool
	Draining  int64 // since; 0: it is not
	Rollouts  int   // that it owns
	Sessions  int   // links to agents
}

// ListNodes reads all nodes, by name.
func ListNodes(tx *Tx) ([]Node, error) {
	now := tx.Now().UnixMilli()
	return readRows(tx, "nodes", `SELECT id, version, started_at, lease_until, draining,
		(SELECT COUNT(*) FROM rollout WHERE owner = node.id || '/' || node.epoch),
		(SELECT COUNT(*) FROM agent_session WHERE agent_session.node = node.id AND state = 'Connected') FROM node ORDER BY id`,
		func(r *sql.Rows, n *Node) error {
			var until int64
			if err := r.Scan(&n.Name, &n.Version, &n.StartedAt, &until, &n.Draining, &n.Rollouts, &n.Sessions); err != nil {
				return err
			}
			n.Alive, n.LastSeen = until > now, max(0, until-leaseMS)
			return nil
		})
}

// Drain asks a node to hand its work over, or takes that back, and says whether
// that is a change. NotFound when there is no such node.
func Drain(tx *Tx, node string, on bool) (changed bool, err error) {
	var draining int64
	err = tx.queryRow(`SELECT draining FROM node WHERE id = $1`, node).Scan(&draining)
	if errors.Is(err, sql.ErrNoRows) {
		return false, NoSuchNode(node)
	}
	if err == nil && draining > 0 == on {
		return false, nil
	}
	since := int64(0)
	if on {
		since = tx.Now().UnixMilli()
	}
	if err == nil {
		_, err = tx.exec(`UPDATE node SET draining = $2 WHERE id = $1`, node, since)
	}
	if err != nil {
		return false, fmt.Errorf("drain node %s: %w", node, err)
	}
	tx.Notify(TopicNodes)
	return true, nil
}

// NoSuchNode says that there is none of that name.
func NoSuchNode(name string) error {
	return resource.Errorf(resource.NotFound, "There is no server '%.60s'. `slipway node list` shows those there are.", name)
}

// Standing is what a node may do.
type Standing struct {
	Draining bool
	// Alone says that no other node lives that could take its work.
	Alone bool
}

// Passive says that the node leaves all work to the others. One that is to be
// drained while there is no other goes on with what runs.
func (s Standing) Passive() bool { return s.Draining && !s.Alone }

// StandingOf reads it.
func StandingOf(tx *Tx, node string) (s Standing, err error) {
	err = tx.queryRow(`SELECT COALESCE((SELECT draining FROM node WHERE id = $2), 0) > 0,
		NOT EXISTS (SELECT 1 FROM node WHERE id <> $2 AND draining = 0 AND `+live+`)`, tx.Now().UnixMilli(), node).Scan(&s.Draining, &s.Alone)
	if err != nil {
		return s, fmt.Errorf("read standing of node %s: %w", node, err)
	}
	return s, nil
}

// OwnerOf is the run of a node that owns a rollout, "" while it is parked or
// queued, and the rollout's epoch.
func OwnerOf(tx *Tx, id string) (owner string, epoch int64, err error) {
	if err := tx.queryRow(`SELECT owner, epoch FROM rollout WHERE id = $1`, id).Scan(&owner, &epoch); err != nil {
		return "", 0, fmt.Errorf("read owner of %s: %w", id, err)
	}
	return owner, epoch, nil
}
