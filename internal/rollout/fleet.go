package rollout

import "fmt"

// lost starts the patience of every attempt that runs on the machine.
func (t *turn) lost(machine string) {
	t.eachOpen(Filter{Executor: machine}, func(c *Cell) {
		if due := t.at + c.Patience; c.State == CellRunning && (c.SilentAt == 0 || c.SilentAt > due) {
			c.SilentAt = due
			c.aim()
			t.w.saveCell(c)
		}
	})
}

// back ends the patience of the attempts that have started; those that have
// not still have to be delivered.
func (t *turn) back(machine string) {
	if t.w.Row.State != Running {
		return
	}
	t.eachOpen(Filter{Executor: machine}, func(c *Cell) {
		if a := t.w.attempt(c.Attempt); c.State == CellRunning && c.SilentAt != 0 && !c.Ending && a != nil && a.StartedAt != 0 {
			c.SilentAt = 0
			c.aim()
			t.w.saveCell(c)
		}
	})
}

// eachOpen visits the open cells of one member or executor: as many as steps
// are open at once, whatever the size of the fleet; for the worker, as many as
// the step's window.
func (t *turn) eachOpen(of Filter, visit func(*Cell)) {
	var after *CellKey
	for {
		page, next := t.w.openCells(of, after, piece)
		for _, c := range page {
			visit(c)
		}
		if next == nil {
			return
		}
		after = next
	}
}

// gone closes the cells of a machine that was deleted or whose cloud reports
// it gone: it stops mattering at once (P4, fault 34).
func (t *turn) gone(machine, why string) {
	m := t.w.member(machine)
	if m == nil || m.State != MemberLive || t.w.Row.State.Terminal() {
		return
	}
	t.leave(m, MemberSuperseded, why)
	t.w.Row.Gone++
	t.w.Row.Warnings++
	t.say("Warning", CellKey{Step: -1, Action: -1, Member: m.ID}, "%s left the rollout: %s. It is not deployed.", m.Name, why)
	t.eachOpen(Filter{Member: machine}, func(c *Cell) {
		t.onceLeft(c, t.abandon(c, "the machine is gone: "+why))
		t.closeCell(c, CellSuperseded, why)
	})
}

func (t *turn) leave(m *Member, state MemberState, why string) {
	m.State, m.Reason = state, why
	t.w.saveMember(m)
	if m.Track > 0 {
		return // it is in no open step's scope yet
	}
	t.inScope(m, -1)
	for _, row := range t.openSteps() {
		if t.p.Steps[row.Index].Covers(m) && m.Ord <= row.Cursor {
			// it was admitted, so it is counted as done when its cell closes
			row.Scope++
			t.w.saveStep(row)
		}
	}
}

// abandon ends the cell's attempt, if one is open, and says what is known of the
// cell: NotStarted where it is proved that no attempt ran, Failed where an
// earlier one did, Unknown otherwise.
func (t *turn) abandon(c *Cell, why string) Outcome {
	before := OutcomeNotStarted
	if c.Ran {
		before = OutcomeFailed
	}
	a := t.w.attempt(c.Attempt)
	if c.State != CellRunning || a == nil || a.Outcome != OutcomeNone {
		return before
	}
	if a.SentAt == 0 {
		t.do(Effect{Kind: Withdraw, Attempt: a.ID, Machine: a.Executor})
		t.closeAttempt(a, &End{Outcome: OutcomeNotStarted, Reason: why})
		return before
	}
	t.closeAttempt(a, &End{Outcome: OutcomeUnknown, Reason: why})
	return OutcomeUnknown
}

// timer looks at the steps and cells that are due: pauses that are over, answers
// and scripts whose time is up, and machines whose patience has run out. since
// is when the owner that looks began: after a restart each machine has its
// patience to come back.
func (t *turn) timer(since int64) {
	if t.w.Row.State.Terminal() {
		return
	}
	for _, step := range t.openSteps() {
		if step.DueAt != 0 && step.DueAt <= t.at && t.w.Row.State == Running {
			t.stepTimeUp(step)
		}
	}
	for _, c := range t.w.dueCells(t.at, piece) {
		switch {
		case c.State == CellWaiting && t.w.Row.State == Running:
			t.retry(c)
		case c.State == CellInterrupted && t.w.Row.State == Running:
			t.unanswered(c)
		case c.State == CellRunning && c.SilentAt != 0 && c.SilentAt <= t.at:
			t.outOfPatience(c, since)
		case c.State == CellRunning && c.LimitAt != 0 && t.w.Row.State == Running:
			t.endAttempt(c)
		default:
			c.DueAt, c.LimitAt = 0, 0
			t.w.saveCell(c)
		}
	}
}

func (t *turn) outOfPatience(c *Cell, since int64) {
	if since+c.Patience > t.at {
		c.SilentAt = since + c.Patience
		c.aim()
		t.w.saveCell(c)
		return
	}
	t.silent(c)
}

func (t *turn) retry(c *Cell) {
	c.DueAt = 0
	t.w.saveCell(c)
	if c.Executor == t.p.Worker.ID {
		t.tryCell(c)
		return
	}
	key := c.CellKey
	t.do(Effect{Kind: WantSlot, Machine: c.Executor, Cell: &key})
}

// silent gives up on an attempt whose machine did not answer in time. The
// other machines go on; this one is listed as not deployed.
func (t *turn) silent(c *Cell) {
	why := fmt.Sprintf("%s did not answer for %d s", t.nameOf(c.Executor), c.Patience/1000)
	if c.Ending {
		why = fmt.Sprintf("%s did not say that it had ended, %d s after its time limit", t.nameOf(c.Executor), cancelPatience/1000)
	}
	outcome := t.abandon(c, why)
	state := CellUnknown
	switch {
	case outcome == OutcomeNotStarted && t.w.Row.State == Canceling:
		state = CellCanceled
	case outcome == OutcomeNotStarted:
		state = CellNotDeployed
	case outcome == OutcomeFailed:
		state = CellFailed
	}
	m := t.w.member(c.Member)
	switch {
	case t.w.Row.State == Canceling:
		t.closeCell(c, state, why)
	case c.Executor == c.Member && !m.Worker && m.State == MemberLive && !c.Ending:
		t.leave(m, MemberNotDeployed, why)
		t.w.Row.Unavailable++
		t.w.Row.Warnings++
		t.say("Warning", c.CellKey, "%s; its attempt is %s. It is not deployed; the other machines go on.", why, state)
		t.onceLeft(c, outcome)
		t.closeCell(c, state, why)
	default:
		t.failed(c, t.w.attempt(c.Attempt), state, why)
	}
}

// cancel ends the rollout from any state.
func (t *turn) cancel(by string) {
	w := t.w
	switch w.Row.State {
	case Queued:
		w.Row.CanceledBy = by
		w.Row.Error = "Canceled by " + by + " before it started."
		t.finish(Canceled)
	case Running:
		w.Row.State = Canceling
		w.Row.CanceledBy = by
		t.say("Warning", whole, "Canceled by %s: running scripts are ended.", by)
		for _, step := range t.openSteps() {
			step.State, step.Reason, step.DueAt = StepCanceled, "canceled by "+by, 0
			w.saveStep(step)
		}
	case Succeeded, Failed:
		t.say("Warning", whole, "%s asked to cancel when it had ended already: it stays %s.", by, w.Row.State)
	case Canceling, Canceled:
	}
}

// cancelCells goes through the open cells once, a piece at a time: those that
// wait are closed, those that run are asked to end.
func (t *turn) cancelCells() {
	w := t.w
	if !w.Row.CancelDone && t.looked < piece {
		page, next := w.openCells(Filter{}, w.Row.CancelAfter, piece)
		t.looked += piece
		w.Row.CancelAfter, w.Row.CancelDone = next, next == nil
		for _, c := range page {
			t.cancelCell(c)
		}
		t.again = next != nil
	}
	if w.Row.CancelDone && w.Row.OpenCells == 0 {
		for i := max(w.Row.Step, 0); i < min(t.p.together(w.Row.Step), len(t.p.Steps)); i++ {
			if step := w.step(i); step.State == StepCanceled && step.EndedAt == 0 {
				step.EndedAt = t.at
				w.saveStep(step)
			}
		}
		w.Row.Error = "Canceled by " + w.Row.CanceledBy + "."
		t.finish(Canceled)
	}
}

func (t *turn) cancelCell(c *Cell) {
	a := t.w.attempt(c.Attempt)
	if c.State == CellInterrupted {
		t.closeCell(c, CellCanceled, "canceled while it waited for an answer")
		return
	}
	if c.State == CellWaiting || a == nil || a.SentAt == 0 {
		t.abandon(c, "canceled before it started")
		t.closeCell(c, CellCanceled, "canceled before it started")
		return
	}
	c.SilentAt, c.LimitAt = t.at+cancelPatience, 0
	c.aim()
	t.w.saveCell(c)
	t.do(Effect{Kind: CancelAttempt, Attempt: a.ID, Machine: a.Executor, GraceMS: cancelGrace})
}
