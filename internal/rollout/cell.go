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
		run, reason := t.actionRuns(step, m, key)
		if run {
			t.openCell(step, m, key)
			return
		}
		t.w.saveCell(&Cell{CellKey: key, State: CellSkipped, Reason: reason, StartedAt: t.at, EndedAt: t.at})
	}
	step.Active--
	step.Done++
	t.w.saveStep(step)
}

// actionRuns decides whether an action runs on the member, and why not.
func (t *turn) actionRuns(step *StepRow, m *Member, key CellKey) (bool, string) {
	spec := &t.p.Steps[key.Step].Actions[key.Action]
	if spec.Skip != "" {
		return false, spec.Skip
	}
	run, reason, err := t.holds(spec.Condition, spec.Expression, t.failedBefore(key), "an earlier action here", spec, m)
	if err != nil {
		t.say("Error", key, "The condition of this action cannot be evaluated: %v", err)
		t.countFailure(step, m)
		return false, "condition cannot be evaluated"
	}
	if run && spec.RunOnce {
		if holder, taken := t.takeOnce(step, m, key.Action); !taken {
			return false, "runs once, on " + t.nameOf(holder)
		}
	}
	return run, reason
}

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
	c.State = CellRunning
	c.DueAt = t.at + c.Patience
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
		c.DueAt = max(c.DueAt, a.CreatedAt+sendingPatience)
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
	if c := t.w.cell(a.Cell); c != nil && c.State == CellRunning && t.w.Row.State == Running {
		c.DueAt = 0
		t.w.saveCell(c)
	}
}

// ended stores an attempt's outcome, once: a report of an attempt that is
// already closed is only forgotten (fault 17, invariant I7).
func (t *turn) ended(id string, end *End) {
	a := t.w.attempt(id)
	if a == nil {
		return
	}
	t.do(Effect{Kind: ForgetAttempt, Attempt: id, Machine: a.Executor})
	if a.Outcome != OutcomeNone {
		return
	}
	c := t.w.cell(a.Cell)
	t.closeAttempt(a, end)
	t.keepOutputs(a, end)
	if c == nil || !c.State.Open() {
		return
	}
	spec := &t.p.Steps[c.Step].Actions[c.Action]
	if a.Outcome == OutcomeSucceeded && spec.Receipt {
		if problem := wrongReceipt(spec, a, end.Receipt); problem != "" {
			a.Outcome, a.Reason = OutcomeFailed, problem
		}
	}
	t.closeByOutcome(c, a, end.Retry)
}

func (t *turn) closeAttempt(a *Attempt, end *End) {
	a.Outcome, a.ExitCode, a.Reason = end.Outcome, end.ExitCode, end.Reason
	a.LogLength, a.Warnings = end.LogLength, end.Warnings
	if end.StartedAt != 0 {
		a.StartedAt = end.StartedAt
	}
	a.EndedAt = t.at
	if end.EndedAt != 0 {
		a.EndedAt = end.EndedAt
	}
	t.w.saveAttempt(a)
	if a.Warnings {
		t.w.Row.Warnings++
	}
}

func (t *turn) keepOutputs(a *Attempt, end *End) {
	for _, set := range end.Outputs {
		t.w.Row.Outputs++
		t.w.outputs = append(t.w.outputs, Output{
			N: t.w.Row.Outputs, Step: a.Cell.Step, Action: a.Cell.Action, Member: a.Cell.Member,
			MemberName: t.nameOf(a.Cell.Member), Name: set.Name, Value: set.Value, Secret: set.Secret,
			Box: set.Box, Source: fmt.Sprintf("%s/%d", a.ID, set.Index),
		})
	}
}

// wrongReceipt says what is wrong with the proof that the package is on the
// machine; "" when it holds (design P1).
func wrongReceipt(spec *Action, a *Attempt, r *Receipt) string {
	if len(spec.Packages) == 0 {
		return "the plan names no package for this action"
	}
	want := &spec.Packages[0]
	switch {
	case r == nil:
		return "the agent sent no receipt for the installed package"
	case r.Attempt != a.ID:
		return fmt.Sprintf("the receipt is for attempt %q", r.Attempt)
	case r.PackageSHA256 != want.SHA256:
		return fmt.Sprintf("the package on the machine has digest %q, the release has %q", r.PackageSHA256, want.SHA256)
	case r.Tree == "" || r.InstallDir == "":
		return "the receipt does not say what was installed where"
	}
	return ""
}

// closeByOutcome gives the cell the state that its attempt's outcome means.
// retry says that what kept it from starting may pass.
func (t *turn) closeByOutcome(c *Cell, a *Attempt, retry bool) {
	canceling := t.w.Row.State == Canceling
	switch a.Outcome {
	case OutcomeSucceeded:
		t.closeCell(c, CellSucceeded, "")
	case OutcomeCanceled:
		if !canceling { // nobody here asked for it, and it did not end with 0 (P1)
			t.closeCell(c, CellFailed, "it was ended on the machine: "+a.Reason)
			return
		}
		t.closeCell(c, CellCanceled, a.Reason)
	case OutcomeTimedOut:
		t.closeCell(c, CellTimedOut, a.Reason)
	case OutcomeUnknown:
		t.closeCell(c, CellUnknown, a.Reason)
	case OutcomeNotStarted:
		switch {
		case canceling:
			t.closeCell(c, CellCanceled, a.Reason)
		case !retry:
			t.closeCell(c, CellFailed, "did not start: "+a.Reason)
		case c.Tries < maxTries:
			t.pause(c, a.Reason)
		default:
			t.closeCell(c, CellFailed, fmt.Sprintf("did not start in %d tries: %s", c.Tries, a.Reason))
		}
	case OutcomeFailed, OutcomeNone:
		t.closeCell(c, CellFailed, a.Reason)
	}
}

// pause puts a cell that provably did not start back in the queue: after 1, 2,
// 4 … 30 seconds.
func (t *turn) pause(c *Cell, reason string) {
	c.State = CellWaiting
	c.DueAt = t.at + min(int64(1000)<<(c.Tries-1), 30_000)
	c.Reason = reason
	t.w.saveCell(c)
	t.freeSlot(c)
	t.say("Warning", c.CellKey, "Did not start: %s. Trying again.", reason)
}

func (t *turn) freeSlot(c *Cell) {
	if c.Executor == c.Member && c.Executor != t.p.Worker.ID {
		key := c.CellKey
		t.do(Effect{Kind: FreeSlot, Machine: c.Executor, Cell: &key})
	}
}

// closeCell ends a cell and carries its member on.
func (t *turn) closeCell(c *Cell, state CellState, reason string) {
	c.State, c.Reason, c.DueAt, c.EndedAt = state, reason, 0, t.at
	t.w.saveCell(c)
	t.w.Row.OpenCells--
	t.freeSlot(c)
	step, m := t.w.step(c.Step), t.w.member(c.Member)
	if state.bad() && m.State == MemberLive {
		t.say("Error", c.CellKey, "%s", sentence(state, reason))
		t.countFailure(step, m)
	}
	if t.w.Row.State == Running && m.State == MemberLive {
		t.nextAction(step, m, c.Action+1)
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

// countFailure marks the member failed in this step, once.
func (t *turn) countFailure(step *StepRow, m *Member) {
	t.w.Row.Failures++
	step.Failed++
	t.w.saveStep(step)
	if !m.Failed {
		m.Failed = true
		t.w.saveMember(m)
	}
}
