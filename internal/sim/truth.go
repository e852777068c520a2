package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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
	outcomes   map[string]rollout.Outcome // of attempts that have one (I7)
	unknown    map[string]int
	ledger     ledger
	records    map[string]int // in the audit, by task
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
	return &truth{
		w: w, ctx: context.Background(), attempts: map[string]*happened{}, heardEpoch: map[string]int64{}, ended: map[string]store.TaskState{},
		outcomes: map[string]rollout.Outcome{}, unknown: map[string]int{}, ledger: ledger{sent: map[string]int64{}}, records: map[string]int{},
	}
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
func (t *truth) ordered(l *link, o agent.Order, job *agentrpc.Job) {
	t.entrusted(o, job)
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

// entrusted: an order holds the secrets that its action names, and no other; one
// that scripts have set goes to the attempts of its rollout (I10).
func (t *truth) entrusted(o agent.Order, job *agentrpc.Job) {
	e, action := t.actionOf(o.Attempt)
	if action == nil {
		t.w.violated("I9", "%s is an attempt at nothing that was planned", o.Attempt)
		return
	}
	for _, v := range job.GetVariables() {
		at := strings.Index(v.GetValue(), "canary-")
		if at < 0 {
			continue
		}
		value, mine := v.GetValue()[at:], false
		for i, id := range t.w.secrets {
			if value == fmt.Sprintf("canary-%d.", i) {
				mine = action.Secrets["Password"].Document == id && v.GetName() == "Password"
			}
		}
		if !mine && !strings.HasPrefix(value, "canary-out-"+e.id+".") || !v.GetSensitive() {
			t.w.violated("I10", "%s is sent %s, %q", o.Attempt, v.GetName(), v.GetValue())
		}
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

// actionOf finds the rollout and the action that an attempt is of.
func (t *truth) actionOf(attempt string) (*expected, *rollout.Action) {
	id, rest, _ := strings.Cut(attempt, ".")
	var step, action int
	if _, err := fmt.Sscanf(rest, "%d.%d.", &step, &action); err != nil {
		return nil, nil
	}
	for _, e := range t.w.rollouts {
		if e.id == id && step < len(e.plan.Steps) && action < len(e.plan.Steps[step].Actions) {
			return e, &e.plan.Steps[step].Actions[action]
		}
	}
	return nil, nil
}

func (t *truth) mayFail(attempt string) bool {
	e, _ := t.actionOf(attempt)
	return e != nil && e.mayFail
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
		if window == (rollout.Window{}) || view.Steps[step].State != rollout.StepOpen {
			continue
		}
		scope := 0 // those that left meanwhile included: what they had open is let finish
		for i := range view.Members {
			if view.Plan.Steps[step].Covers(&view.Members[i]) {
				scope++
			}
		}
		if most := window.Size(scope); len(members) > most {
			t.w.violated("I8", "%d machines are in the window of step %d of %s, which holds %d", len(members), step+1, e.id, most)
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
		if before != nil && !mayFollow(view, before) {
			t.w.violated("I2", "%s follows %s, which is %q", a.ID, before.ID, before.Outcome)
		}
		last[a.Cell] = a
		if was := t.outcomes[a.ID]; was != "" && was != a.Outcome {
			t.w.violated("I7", "%s was %s and is %q", a.ID, was, a.Outcome)
		}
		t.outcomes[a.ID] = a.Outcome
		if h := t.attempts[a.ID]; h != nil && h.starts > 0 && a.Outcome == rollout.OutcomeNotStarted {
			t.w.violated("I2", "%s is said not to have started, and it has", a.ID)
		}
	}
}

// mayFollow says whether there may be another attempt: after one that did not
// start always, after one that failed where the action is tried again or a
// person said so, after one whose end is not known where it may run twice or a
// person said so.
func mayFollow(view *store.RolloutView, before *rollout.Attempt) bool {
	action := &view.Plan.Steps[before.Cell.Step].Actions[before.Cell.Action]
	switch before.Outcome {
	case rollout.OutcomeNotStarted:
		return true
	case rollout.OutcomeFailed, rollout.OutcomeTimedOut:
		return action.Retries > 0 || view.Plan.Guided
	case rollout.OutcomeUnknown:
		return action.Idempotent || view.Plan.Guided || view.Plan.AskUnknown
	case rollout.OutcomeNone, rollout.OutcomeSucceeded, rollout.OutcomeCanceled:
	}
	return false
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
	t.explained(view)
	if task.State == store.TaskSuccess {
		if t.green(view, task); len(t.w.broken) > 0 {
			t.show(e.id)
		}
	}
	return errors.Join(t.logs(view), t.replayed(e, view))
}

// explained counts the attempts whose end is not known, by what the truth says
// of them. Only what the fault table lets be unknown may be (faults 9, 11 to 13,
// 15, 24, 32).
func (t *truth) explained(view *store.RolloutView) {
	for i := range view.Attempts {
		a := &view.Attempts[i]
		if a.Outcome != rollout.OutcomeUnknown {
			continue
		}
		cause := t.causeOf(a)
		if cause == "" {
			t.w.violated("I2", "nobody can know why the end of %s is not known: %s", a.ID, a.Reason)
		}
		t.unknown[cause]++
	}
}

func (t *truth) causeOf(a *rollout.Attempt) string {
	h := t.attempts[a.ID]
	m := t.machineOf(a.Executor)
	switch {
	case h != nil && h.dead:
		return "keeper killed" // faults 11, 12
	case h != nil && h.spawns > 0 && h.starts == 0:
		return "no proof of a start" // faults 9, 13
	case m != nil && m.vanished:
		return "machine gone" // fault 34
	case m != nil && m.setBack:
		return "machine restored" // fault 32
	case strings.HasPrefix(a.Reason, "the machine is gone"):
		return "machine left" // fault 36
	case strings.Contains(a.Reason, "did not say"), strings.Contains(a.Reason, "silent"), strings.Contains(a.Reason, "not answer"), strings.Contains(a.Reason, "link"), strings.Contains(a.Reason, "lost"):
		return "machine silent" // fault 15
	}
	return ""
}

func (t *truth) machineOf(id string) *machine {
	for _, m := range t.w.machines {
		if m.id == id {
			return m
		}
	}
	return nil
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
	cells := map[rollout.CellKey]rollout.CellState{}
	for i := range view.Cells {
		cells[view.Cells[i].CellKey] = view.Cells[i].State
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
			for a := range view.Plan.Steps[s].Actions {
				key := rollout.CellKey{Step: s, Action: a, Member: m.ID}
				if view.Plan.Steps[s].Covers(m) && !good[key] && !excused(view, task, key, cells[key]) {
					t.w.violated("I3", "%s is green, and action %d of step %d did not succeed on %s: %q", view.Plan.Task, a+1, s+1, m.ID, cells[key])
				}
			}
		}
	}
}

// excused says whether a green rollout may be without a good end of the cell:
// its step or action has a condition that did not hold, it runs once and ran
// elsewhere, or a person answered for it, which is said with a warning.
func excused(view *store.RolloutView, task *store.Task, key rollout.CellKey, is rollout.CellState) bool {
	step := &view.Plan.Steps[key.Step]
	action := &step.Actions[key.Action]
	conditional := func(c rollout.Condition) bool { return c == rollout.ConditionFailure || c == rollout.ConditionVariable }
	switch {
	case action.RunOnce:
		return true
	case is == rollout.CellSkipped:
		return conditional(action.Condition) || view.Steps[key.Step].State == rollout.StepSkipped && conditional(step.Condition)
	case is == rollout.CellIgnored:
		return task.HasWarnings && !action.Receipt
	case action.Manual != nil && is == rollout.CellSucceeded:
		return true
	case is == "" && view.Steps[key.Step].State == rollout.StepSkipped:
		return conditional(step.Condition)
	}
	return false
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

// show writes what the database has of a rollout into the history.
func (t *truth) show(id string) {
	var view *store.RolloutView
	err := t.w.db.Read(t.ctx, func(tx *store.Tx) (err error) {
		view, err = store.ViewRollout(tx, id)
		return err
	})
	if err != nil {
		t.w.say("%s: %v", id, err)
		return
	}
	t.w.say("%+v", view.Row)
	for i := range view.Steps {
		t.w.say("%+v", view.Steps[i])
	}
	for i := range view.Members {
		t.w.say("%+v", view.Members[i])
	}
	for i := range view.Cells {
		t.w.say("%+v", view.Cells[i])
	}
}
