package rollout

import "fmt"

// nextAction opens the member's next cell of the step at or after the action's
// index, or lets the member go when none is left.
func (t *turn) nextAction(step *StepRow, m *Member, index int) {
	spec := &t.p.Steps[step.Index]
	for ; index < len(spec.Actions); index++ {
		key := CellKey{Step: step.Index, Action: index, Member: m.ID}
		if len(step.Once) > 0 && t.w.cell(key) != nil {
			continue // it went through before it was elected to run an earlier one
		}
		run, reason, err := t.actionRuns(step, m, key)
		if run {
			t.openCell(step, m, key)
			return
		}
		c := &Cell{CellKey: key, State: CellSkipped, Reason: reason, StartedAt: t.at, EndedAt: t.at}
		if err != nil {
			t.say("Error", key, "The condition of this action cannot be evaluated: %v", err)
			c.State, c.Reason = CellFailed, "condition cannot be evaluated"
			t.countFailure(step, m, key, c.Reason)
		}
		t.w.saveCell(c)
	}
	if m.Track > 0 {
		t.follow(m)
		return
	}
	step.Active--
	step.Done++
	t.w.saveStep(step)
}

// actionRuns decides whether an action runs on the member, and why not.
func (t *turn) actionRuns(step *StepRow, m *Member, key CellKey) (run bool, reason string, err error) {
	spec := &t.p.Steps[key.Step].Actions[key.Action]
	switch {
	case spec.Skip != "":
		return false, spec.Skip, nil
	case m.Track > 0 && spec.RunOnce:
		return false, "it runs once, and the machine joined after that", nil
	}
	run, reason, err = t.holds(spec.Condition, spec.Expression, t.failedBefore(key), "an earlier action here", key.Step, spec, m)
	if run && spec.RunOnce {
		if holder, taken := t.takeOnce(step, m, key.Action); !taken {
			return false, "runs once, on " + t.nameOf(holder), nil
		}
	}
	return run && err == nil, reason, err
}

// action is what the plan says of the cell.
func (t *turn) action(c *Cell) *Action { return &t.p.Steps[c.Step].Actions[c.Action] }

func (t *turn) nameOf(member string) string {
	if m := t.w.member(member); m != nil {
		return m.Name
	}
	return member
}

// failedBefore says whether an earlier action of the step failed on the member.
func (t *turn) failedBefore(key CellKey) bool {
	for i := range key.Action {
		c := t.w.cell(CellKey{Step: key.Step, Action: i, Member: key.Member})
		if c != nil && c.State.bad() {
			return true
		}
	}
	return false
}

func (s CellState) bad() bool {
	return s == CellFailed || s == CellTimedOut || s == CellUnknown || s == CellNotDeployed
}

func (t *turn) openCell(step *StepRow, m *Member, key CellKey) {
	spec := &t.p.Steps[step.Index].Actions[key.Action]
	c := &Cell{CellKey: key, State: CellWaiting, Executor: m.ID, Patience: m.Patience, StartedAt: t.at}
	t.w.Row.OpenCells++
	if spec.Manual != nil {
		t.askToProceed(c)
		return
	}
	if spec.OnServer || m.Worker {
		c.Executor, c.Patience = t.p.Worker.ID, workerPatience
		t.w.saveCell(c)
		t.tryCell(c)
		return
	}
	t.w.saveCell(c)
	t.do(Effect{Kind: WantSlot, Machine: c.Executor, Cell: &c.CellKey})
}

// workerPatience is how long the server's own worker may stay silent, in
// milliseconds.
const workerPatience = 120_000

func (t *turn) slotGranted(key CellKey) {
	c := t.w.cell(key)
	if c == nil || c.State != CellWaiting || t.w.Row.State != Running {
		t.do(Effect{Kind: FreeSlot, Cell: &key})
		return
	}
	t.tryCell(c)
}

// tryCell mints the cell's next attempt. Its id and payload are functions of
// plan and rows, so any node renders the same (design 5.7).
func (t *turn) tryCell(c *Cell) {
	c.Tries++
	c.quiet()
	c.State, c.Reason = CellRunning, ""
	c.SilentAt = t.at + c.Patience
	c.aim()
	a := &Attempt{
		ID:       fmt.Sprintf("%s.%d.%d.%s.%d", t.w.Row.ID, c.Step, c.Action, c.Member, c.Tries),
		Cell:     c.CellKey,
		Executor: c.Executor, Try: c.Tries, Outputs: t.w.Row.Outputs, CreatedAt: t.at,
	}
	c.Attempt = a.ID
	a.PayloadHash = Render(t.p, t.w.member(c.Member), a, t.w.allOutputs()).Hash()
	t.w.saveCell(c)
	t.w.saveAttempt(a)
	t.do(Effect{Kind: StartAttempt, Attempt: a.ID, Machine: a.Executor, Cell: &c.CellKey})
}

// sending keeps a machine that is receiving packages from being taken for
// silent.
func (t *turn) sending(id string) {
	a := t.w.attempt(id)
	if a == nil || a.Outcome != OutcomeNone || a.StartedAt != 0 || t.w.Row.State != Running {
		return
	}
	if c := t.w.cell(a.Cell); c != nil && c.State == CellRunning {
		c.SilentAt = max(c.SilentAt, a.CreatedAt+sendingPatience)
		c.aim()
		t.w.saveCell(c)
	}
}

func (t *turn) started(id string) {
	a := t.w.attempt(id)
	if a == nil || a.Outcome != OutcomeNone || a.StartedAt != 0 {
		return
	}
	a.StartedAt = t.at
	t.w.saveAttempt(a)
	if c := t.w.cell(a.Cell); c != nil && c.State == CellRunning && c.Attempt == id {
		c.Ran = true
		if t.w.Row.State == Running && !c.Ending {
			c.SilentAt = 0
			if limit := t.action(c).Limit; limit > 0 {
				c.LimitAt = t.at + limit
			}
			c.aim()
		}
		t.w.saveCell(c)
	}
}

func (t *turn) freeSlot(c *Cell) {
	if c.Executor == c.Member && c.Executor != t.p.Worker.ID {
		key := c.CellKey
		t.do(Effect{Kind: FreeSlot, Machine: c.Executor, Cell: &key})
	}
}

// closeCell ends a cell and carries its member on.
func (t *turn) closeCell(c *Cell, state CellState, reason string) {
	t.withdraw(c, reason)
	c.quiet()
	c.State, c.Reason, c.EndedAt = state, reason, t.at
	t.w.saveCell(c)
	t.w.Row.OpenCells--
	t.freeSlot(c)
	step, m := t.w.step(c.Step), t.w.member(c.Member)
	if state.bad() && m.State == MemberLive {
		t.say("Error", c.CellKey, "%s", sentence(state, reason))
		t.countFailure(step, m, c.CellKey, sentence(state, reason))
	}
	if t.w.Row.State == Running && m.State == MemberLive && (m.Track > 0 || !step.Ending) {
		t.nextAction(step, m, c.Action+1)
		return
	}
	if m.Track > 0 {
		t.endTrack(m)
		return
	}
	step.Active--
	step.Done++
	t.w.saveStep(step)
}

func sentence(state CellState, reason string) string {
	if reason == "" {
		reason = "no reason was given"
	}
	return string(state) + ": " + reason
}

// countFailure marks the member failed in this step. A machine counts once,
// however many of its actions failed: the step stops when more of them have
// failed than it tolerates.
func (t *turn) countFailure(step *StepRow, m *Member, key CellKey, why string) {
	t.w.Row.Failures++
	if m.Track == 0 { // a closed step stays as it is
		if !t.failedBefore(key) {
			step.Failed++
		}
		if step.Reason == "" {
			step.Reason = m.Name + ": " + why
		}
		if !t.p.Steps[step.Index].Tolerate.Allows(step.Failed, step.Scope) {
			t.stop(step)
		}
		t.w.saveStep(step)
	}
	if !m.Failed {
		m.Failed, m.FailedIn = true, step.Index+1
		t.w.saveMember(m)
	}
}

// stop ends the admission of members to the step. For the steps behind it the
// rollout has failed.
func (t *turn) stop(step *StepRow) {
	if !step.Stopped {
		step.Stopped = true
		t.w.Row.Stopped++
	}
	t.w.saveStep(step)
}
