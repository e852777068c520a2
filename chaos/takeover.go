package main

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"
)

// takeovers measures how long rollouts stand still after their owner was killed
// or stopped: from that moment to the first turn of another node in one of them.
// A node that came back before the others noticed is no takeover.
type takeovers struct {
	mu    sync.Mutex
	now   map[string]owned     // by rollout, at the last look
	lost  map[string]*lostNode // by node
	times []time.Duration
}

type owned struct {
	owner string // node/epoch of the node
	seq   int64
}

type lostNode struct {
	at   time.Time
	left map[string]owned
}

func node1(owner string) string {
	name, _, _ := strings.Cut(owner, "/")
	return name
}

// gone notes that a node is dead or stopped from now on.
func (t *takeovers) gone(node string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := &lostNode{at: at, left: map[string]owned{}}
	for id, o := range t.now {
		if node1(o.owner) == node {
			lost.left[id] = o
		}
	}
	if len(lost.left) > 0 {
		t.lost[node] = lost
	}
}

// see takes in who owns what now.
func (t *takeovers) see(now map[string]owned, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
	for node, lost := range t.lost {
		for id, was := range lost.left {
			is, there := now[id]
			switch {
			case !there || node1(is.owner) == node && is.owner != was.owner: // ended, or its own again
				delete(lost.left, id)
			case is.owner != "" && node1(is.owner) != node && is.seq > was.seq:
				t.times = append(t.times, at.Sub(lost.at))
				clear(lost.left)
			}
		}
		if len(lost.left) == 0 {
			delete(t.lost, node)
		}
	}
}

// watchOwners looks at the rollouts' owners all the time.
func (r *run) watchOwners(ctx context.Context, db *sql.DB) {
	for pause(ctx, 25*time.Millisecond) {
		if now, err := owners(ctx, db); err == nil { // or the next look shows it
			r.takeovers.see(now, time.Now())
		}
	}
}

// owners are the rollouts that have one.
func owners(ctx context.Context, db *sql.DB) (map[string]owned, error) {
	rows, err := db.QueryContext(ctx, `SELECT id, owner, seq FROM rollout WHERE owner <> ''`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	now := map[string]owned{}
	for rows.Next() {
		var id string
		var o owned
		if err := rows.Scan(&id, &o.owner, &o.seq); err != nil {
			return nil, err
		}
		now[id] = o
	}
	return now, rows.Err()
}
