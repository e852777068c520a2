package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// cost is what the engine's turns have committed for one rollout.
type cost struct {
	store.Stats

	members, actions int
	events           int64 // of the rollout's history
	reports          int   // of agents, folded
}

// perEvent is what one event of the history costs.
func (c cost) perEvent() (rows, bytes float64) {
	return float64(c.Rows) / float64(c.events), float64(c.Bytes) / float64(c.events)
}

// rollOut runs a rollout to its end, whose agents all answer at once, and
// measures the engine's own transactions.
func rollOut(t *testing.T, members, actions int) cost {
	t.Helper()
	n := newNode(t)
	machines := n.machines(members)
	now := n.now() // stands still: on a slow machine a round may outlast the lease
	e := engine.New(engine.Config{DB: n.db, Node: "node-1", Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err := e.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := n.deployWith("Projects-1", func(p *rollout.Plan) {
		for i := 1; i < actions; i++ {
			action := p.Steps[0].Actions[0]
			action.ID, action.Name = fmt.Sprintf("a%d", i), fmt.Sprintf("deploy %d", i)
			p.Steps[0].Actions = append(p.Steps[0].Actions, action)
		}
	})
	c := cost{members: members, actions: actions}
	round := func() {
		before := n.db.Stats()
		if err := e.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := n.db.Stats()
		c.Transactions += after.Transactions - before.Transactions
		c.Rows += after.Rows - before.Rows
		c.Bytes += after.Bytes - before.Bytes
	}
	round()
	for range actions {
		attempts := n.startAll(machines)
		if len(attempts) != members {
			t.Fatalf("%d starts for %d machines", len(attempts), members)
		}
		round()
		n.write(func(tx *store.Tx) error {
			for _, attempt := range attempts {
				end := &rollout.End{Outcome: rollout.OutcomeSucceeded}
				event := rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: attempt, End: end}
				if err := store.Post(tx, id, "ended/"+attempt, event, nil); err != nil {
					return err
				}
			}
			return nil
		})
		round()
		c.reports += 2 * members
	}
	n.read(func(tx *store.Tx) (err error) {
		view, err := store.ViewRollout(tx, id)
		if err == nil && view.Row.State != rollout.Succeeded {
			t.Fatalf("the rollout is %s: %s", view.Row.State, view.Row.Error)
		}
		last, e := store.LastSeq(tx, id)
		c.events = last
		return errors.Join(err, e)
	})
	return c
}

// machines inserts that many machines with role web.
func (n *node) machines(count int) (ids []string) {
	n.t.Helper()
	n.write(func(tx *store.Tx) error {
		ids = nil
		for i := range count {
			m := &resource.Machine{EnvironmentIDs: []string{n.env}, Roles: []string{"web"}}
			m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, fmt.Sprintf("web%04d", i), "MachinePolicies-1"
			m.Endpoint = resource.PollingEndpoint(fmt.Sprintf("poll://web%d/", i), fmt.Sprintf("%064d", i))
			if err := store.Insert(tx, m); err != nil {
				return err
			}
			ids = append(ids, m.ID)
		}
		return nil
	})
	return ids
}

// startAll answers every start that waits for the machines, as their agents
// would.
func (n *node) startAll(machines []string) (attempts []string) {
	n.t.Helper()
	n.write(func(tx *store.Tx) error {
		attempts = nil
		for _, machine := range machines {
			list, err := store.Deliveries(tx, machine, 10)
			if err != nil {
				return err
			}
			for i := range list {
				if err := store.Delivered(tx, &list[i]); err != nil {
					return err
				}
				if list[i].Kind == rollout.StartAttempt {
					attempts = append(attempts, list[i].Attempt)
				}
			}
		}
		for _, attempt := range attempts {
			id, _, _ := strings.Cut(attempt, ".")
			event := rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Started, Attempt: attempt}
			_, err := store.MarkSent(tx, attempt)
			if err := errors.Join(err, store.Post(tx, id, "started/"+attempt, event, nil)); err != nil {
				return err
			}
		}
		return nil
	})
	return attempts
}

// What a rollout writes grows with machines × actions and not faster: an event
// costs the same rows and bytes with ten members as with a thousand (design
// 5.3), and a turn takes up many reports (design 5.4).
func TestCostPerEventIsConstant(t *testing.T) {
	if testing.Short() {
		t.Skip("it has one goroutine: nothing races")
	}
	t.Parallel()
	few, some, many, deep := rollOut(t, 10, 1), rollOut(t, 100, 1), rollOut(t, 1000, 1), rollOut(t, 100, 10)
	for _, c := range []cost{few, some, many, deep} {
		rows, bytes := c.perEvent()
		t.Logf("%d members × %d actions: %d events of %.2f rows and %.0f bytes, %.1f rows per cell, %d turns for %d reports",
			c.members, c.actions, c.events, rows, bytes, float64(c.Rows)/float64(c.members*c.actions), c.Transactions, c.reports)
	}
	fewRows, fewBytes := few.perEvent()
	for _, c := range []cost{some, many} {
		// Numbers get longer, which is no growth worth a rule of its own.
		if rows, bytes := c.perEvent(); rows > 1.02*fewRows || bytes > 1.05*fewBytes {
			t.Errorf("with %d members an event costs %.2f rows and %.0f bytes; with %d it cost %.2f and %.0f",
				c.members, rows, bytes, few.members, fewRows, fewBytes)
		}
	}
	// What each further machine or action costs, without what a rollout costs by
	// itself.
	start := perCell(few, some)
	for _, slope := range []float64{perCell(some, many), perCell(some, deep)} {
		if slope > 1.05*start {
			t.Errorf("one more cell costs %.2f rows, and %.2f between 10 and 100 machines", slope, start)
		}
	}
	if 1000*many.Transactions > 20*int64(many.reports) {
		t.Errorf("%d turns for %d reports: more than 20 for 1,000", many.Transactions, many.reports)
	}
}

// perCell is how many rows a cell more costs.
func perCell(from, to cost) float64 {
	return float64(to.Rows-from.Rows) / float64(to.members*to.actions-from.members*from.actions)
}
