package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// truth is what really happened on the machines, whatever anybody says of it,
// and what the invariants of reliability.md demand of that.
type truth struct {
	w        *world
	ctx      context.Context //nolint:containedctx // of the checks, which nothing cancels
	attempts map[string]*happened
	// heardEpoch is the highest epoch that a machine has answered to, which it
	// may not forget (I4).
	heardEpoch map[string]int64
	commits    int
	running    int
	ended      map[string]store.TaskState // of tasks that have one (I7)
}

// happened is what became of an attempt on its machine.
type happened struct {
	machine *machine
	sum     [sha256.Size]byte // of the payload
	spawns  int
	starts  int
	running bool
	exclusive,
	dead bool // its keeper was ended from outside
	outcome agentrpc.Outcome
	output  []byte
	acked   int64
}

func newTruth(w *world) *truth {
	return &truth{w: w, ctx: context.Background(), attempts: map[string]*happened{}, heardEpoch: map[string]int64{}, ended: map[string]store.TaskState{}}
}

func (t *truth) of(attempt string) *happened {
	h := t.attempts[attempt]
	if h == nil {
		h = &happened{}
		t.attempts[attempt] = h
	}
	return h
}

// heard: the agent has answered to an order, so it knows its epoch durably.
func (t *truth) heard(m *machine, o agent.Order) {
	key := m.name + "/" + o.Rollout
	t.heardEpoch[key] = max(t.heardEpoch[key], o.Epoch)
}

// spawned: the agent starts the shim of an attempt.
func (t *truth) spawned(m *machine, o agent.Order, sum [sha256.Size]byte) {
	h := t.of(o.Attempt)
	if known := t.heardEpoch[m.name+"/"+o.Rollout]; o.Epoch < known {
		t.w.violated("I4", "%s starts %s under epoch %d and knows %d", m.name, o.Attempt, o.Epoch, known)
	}
	if m.disk.synced != len(m.disk.content) {
		t.w.violated("I5", "%s starts %s before its record is on the disk", m.name, o.Attempt)
	}
	if h.sum != [sha256.Size]byte{} && h.sum != sum {
		t.w.violated("I9", "%s was sent with two payloads", o.Attempt)
	}
	h.sum = sum
	if m.restored {
		t.w.violated("I1", "%s was restored from a snapshot and gets %s before anybody has confirmed it", m.name, o.Attempt)
	}
	if h.spawns++; h.spawns > 1 {
		t.w.violated("I1", "%s starts a keeper for %s for the %d. time", m.name, o.Attempt, h.spawns)
	}
}

// ordered: a node sends a start, in the moment in which it has marked it sent.
func (t *truth) ordered(l *link, o agent.Order) {
	var open []store.RunningAttempt
	err := t.w.db.Read(t.ctx, func(tx *store.Tx) (err error) {
		open, err = store.RunningAttempts(tx, l.m.id)
		return err
	})
	if err != nil {
		t.w.violated("database", "%v", err)
	}
	at := slices.IndexFunc(open, func(r store.RunningAttempt) bool { return r.ID == o.Attempt })
	switch {
	case at < 0:
		t.w.violated("I2", "%s sends %s, which has its outcome", l.n.name, o.Attempt)
	case open[at].Epoch > o.Epoch:
		t.w.violated("I4", "%s sends %s under epoch %d, and its rollout has %d", l.n.name, o.Attempt, o.Epoch, open[at].Epoch)
	}
}

// states are all rollouts as they stand, when a node that no longer owns any is
// about to write; "" for any other.
func (t *truth) states(n *node) string {
	if !n.past {
		return ""
	}
	var all strings.Builder
	err := t.w.db.Read(t.ctx, func(tx *store.Tx) error {
		for _, e := range t.w.rollouts {
			view, err := store.ViewRollout(tx, e.id)
			if err != nil {
				return err
			}
			fmt.Fprintln(&all, view.Row, view.Steps, view.Cells, len(view.Notes))
		}
		return nil
	})
	if err != nil {
		t.w.violated("database", "%v", err)
	}
	return all.String()
}

// stepped: a node has written. One that others have taken over from takes no
// turn (I4, fault 30).
func (t *truth) stepped(n *node, before string) {
	if after := t.states(n); before != after {
		t.w.violated("I4", "%s takes a turn after a newer life of it has begun:\n%s\nwas\n%s", n.name, after, before)
	}
}

// forget: the machine was restored from a snapshot, and what it knew since is
// gone. The server has to see that.
func (t *truth) forget(m *machine) {
	for key := range t.heardEpoch {
		if strings.HasPrefix(key, m.name+"/") {
			delete(t.heardEpoch, key)
		}
	}
}

// started: the script of an attempt begins.
func (t *truth) started(m *machine, attempt string, exclusive bool) {
	h := t.of(attempt)
	h.starts++
	h.machine, h.running, h.exclusive = m, true, exclusive
	t.running++
	t.w.say("%s: %s starts", m.name, attempt)
	if h.starts > 1 {
		t.w.violated("I1", "%s was started %d times", attempt, h.starts)
	}
	if !exclusive {
		return
	}
	for other, o := range t.attempts {
		if other != attempt && o.machine == m && o.running && o.exclusive {
			t.w.violated("I8", "%s and %s run on %s at the same time", min(other, attempt), max(other, attempt), m.name)
		}
	}
}

func (t *truth) printed(attempt string, line []byte) {
	t.of(attempt).output = append(t.of(attempt).output, line...)
}

// ended: the script's keeper has written how it ended.
func (t *truth) finished(attempt string, outcome agentrpc.Outcome) {
	h := t.of(attempt)
	h.running, h.outcome = false, outcome
	t.running--
	t.w.say("%s: %s ends: %s", h.machine.name, attempt, outcome)
}

// died: the script's keeper was ended from outside.
func (t *truth) died(attempt string) {
	h := t.of(attempt)
	if h.running {
		h.running = false
		t.running--
	}
	h.dead = true
	t.w.say("%s: keeper of %s is killed", h.machine.name, attempt)
}

// told: the agent gives a result out, which it may not forget.
func (t *truth) told(m *machine, attempt string) {
	if m.disk.synced != len(m.disk.content) {
		t.w.violated("I5", "%s tells the result of %s before it is on the disk", m.name, attempt)
	}
}

// acknowledged: the server says that it has committed the output up to there.
func (t *truth) acknowledged(attempt string, offset int64) {
	h := t.of(attempt)
	h.acked = max(h.acked, offset)
}

func (t *truth) mayFail(attempt string) bool {
	for _, e := range t.w.rollouts {
		if len(attempt) > len(e.id) && attempt[:len(e.id)+1] == e.id+"." {
			return e.mayFail
		}
	}
	return false
}

// check looks at what can be seen without the database, after every event.
func (t *truth) check() {}

// committed looks at the database after a commit, now and then.
func (t *truth) committed() {
	if t.commits++; t.commits%25 == 0 {
		t.inspect()
	}
}

// inspect checks what the database says against itself and against the truth.
func (t *truth) inspect() {
	err := t.w.db.Read(t.ctx, func(tx *store.Tx) error {
		locks := map[string]string{}
		for _, e := range t.w.rollouts {
			task, err := store.GetTask(tx, e.id)
			if err != nil {
				return err
			}
			if was, known := t.ended[e.id]; known && was != task.State {
				t.w.violated("I7", "%s was %s and is %s", e.id, was, task.State)
			}
			if task.State.Completed() {
				if _, known := t.ended[e.id]; !known {
					t.ended[e.id] = task.State
					t.w.say("%s ends: %s %s", e.id, task.State, task.Error)
					if err := t.judge(tx, e, task); err != nil {
						return err
					}
				}
				continue
			}
			if task.State == store.TaskExecuting || task.State == store.TaskCancelling {
				if other := locks[e.key]; other != "" {
					t.w.violated("I8", "%s and %s are executing for %s", other, e.id, e.key)
				}
				locks[e.key] = e.id
				if err := t.progress(tx, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.w.violated("database", "%v", err)
	}
}

// progress checks a rollout under way.
func (t *truth) progress(tx *store.Tx, e *expected) error {
	view, err := store.ViewRollout(tx, e.id)
	if err != nil {
		return err
	}
	t.attemptsOf(view)
	open := map[int]map[string]bool{}
	for i := range view.Cells {
		if c := &view.Cells[i]; c.State.Open() {
			if open[c.Step] == nil {
				open[c.Step] = map[string]bool{}
			}
			open[c.Step][c.Member] = true
		}
	}
	for step, members := range open {
		window := view.Plan.Steps[step].Window
		if window != (rollout.Window{}) && len(members) > window.Size(len(view.Members)) {
			t.w.violated("I8", "%d machines are in the window of step %d of %s, which holds %d", len(members), step+1, e.id, window.Size(len(view.Members)))
		}
	}
	return nil
}

// attemptsOf checks that a cell gets a new attempt only after the last one is
// proved not to have started (I2).
func (t *truth) attemptsOf(view *store.RolloutView) {
	last := map[rollout.CellKey]*rollout.Attempt{}
	for i := range view.Attempts {
		a := &view.Attempts[i]
		before := last[a.Cell]
		if before != nil && before.Try > a.Try {
			before, a = a, before
		}
		if before != nil && before.Outcome != rollout.OutcomeNotStarted {
			t.w.violated("I2", "%s follows %s, which is %q", a.ID, before.ID, before.Outcome)
		}
		last[a.Cell] = a
		if h := t.attempts[a.ID]; h != nil && h.starts > 0 && a.Outcome == rollout.OutcomeNotStarted {
			t.w.violated("I2", "%s is said not to have started, and it has", a.ID)
		}
	}
}

// judge checks the end of a rollout against what really happened (P1, I3, I6).
func (t *truth) judge(tx *store.Tx, e *expected, task *store.Task) error {
	view, err := store.ViewRollout(tx, e.id)
	if err != nil {
		return err
	}
	if view.Row.State == "" || len(view.Members) == 0 {
		return nil // it never began
	}
	t.attemptsOf(view)
	if task.State == store.TaskSuccess {
		t.green(view, task)
	}
	return t.logs(view)
}

// green checks that a rollout that is said to have succeeded has: on every live
// member of each step, the script of each action ran to its good end.
func (t *truth) green(view *store.RolloutView, task *store.Task) {
	good := map[rollout.CellKey]bool{}
	for i := range view.Attempts {
		a := &view.Attempts[i]
		if h := t.attempts[a.ID]; h != nil && h.outcome == agentrpc.Outcome_OUTCOME_SUCCEEDED {
			good[a.Cell] = true
		}
	}
	for i := range view.Members {
		m := &view.Members[i]
		switch m.State {
		case rollout.MemberLive:
		case rollout.MemberSuperseded, rollout.MemberNotDeployed, rollout.MemberExcluded:
			if !task.HasWarnings {
				t.w.violated("I3", "%s is green without a word about %s, which is %s", view.Plan.Task, m.ID, m.State)
			}
			continue
		}
		for s := range view.Plan.Steps {
			step := &view.Plan.Steps[s]
			if !step.Covers(m) {
				continue
			}
			for a := range step.Actions {
				once := step.Actions[a].RunOnce
				if key := (rollout.CellKey{Step: s, Action: a, Member: m.ID}); !once && !good[key] {
					t.w.violated("I3", "%s is green, and action %d of step %d did not succeed on %s", view.Plan.Task, a+1, s+1, m.ID)
				}
			}
		}
	}
}

// logs checks that what the server has of each output is what was printed, from
// the first byte on, and all of it where the end says so (I6).
func (t *truth) logs(view *store.RolloutView) error {
	for i := range view.Attempts {
		a := &view.Attempts[i]
		h := t.attempts[a.ID]
		if h == nil || h.starts == 0 {
			continue
		}
		log, err := t.w.db.Logs().Read(t.ctx, a.ID, 0, 1<<20)
		if err != nil {
			return err
		}
		switch {
		case !bytes.HasPrefix(h.output, log):
			t.w.violated("I6", "the log of %s is not what was printed:\n%s\nwas printed:\n%s", a.ID, log, h.output)
		case int64(len(log)) < h.acked:
			t.w.violated("I6", "%d bytes of the log of %s were acknowledged, %d are there", h.acked, a.ID, len(log))
		case a.Outcome == rollout.OutcomeSucceeded && len(log) != len(h.output) && !a.Warnings:
			t.w.violated("I6", "%s succeeded with %d of %d bytes of its log", a.ID, len(log), len(h.output))
		case a.Outcome == rollout.OutcomeSucceeded && h.outcome != agentrpc.Outcome_OUTCOME_SUCCEEDED:
			t.w.violated("I3", "%s is said to have succeeded, and is %s", a.ID, h.outcome)
		}
	}
	return nil
}

func (e *expected) String() string { return fmt.Sprintf("%s (%s)", e.id, e.key) }
