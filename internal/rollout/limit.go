package rollout

import "fmt"

// endAttempt asks an attempt whose time is up to end. A script that has ended
// meanwhile keeps its outcome.
func (t *turn) endAttempt(c *Cell) {
	c.Ending, c.LimitAt, c.SilentAt = true, 0, t.at+cancelPatience
	c.aim()
	t.w.saveCell(c)
	t.say("Warning", c.CellKey, "%s: it is ended.", t.timeLimit(c))
	t.do(Effect{Kind: CancelAttempt, Attempt: c.Attempt, Machine: c.Executor, GraceMS: cancelGrace})
}

// timeLimit says which limit an attempt has passed.
func (t *turn) timeLimit(c *Cell) string {
	if step := t.w.step(c.Step); step.Ending && step.State == StepOpen {
		return fmt.Sprintf("the step took longer than its limit of %d s", t.p.Steps[c.Step].Limit/1000)
	}
	return fmt.Sprintf("it took longer than its limit of %d s", t.action(c).Limit/1000)
}

// stepTimeUp fails a step whose time is up: no further machine is worked on, and
// what runs is ended.
func (t *turn) stepTimeUp(step *StepRow) {
	spec := &t.p.Steps[step.Index]
	step.DueAt, step.Ending = 0, true
	if step.Reason == "" {
		step.Reason = fmt.Sprintf("it took longer than its limit of %d s", spec.Limit/1000)
	}
	t.w.Row.Failures++
	t.stop(step)
	t.say("Error", ofStep(step.Index), "%s took longer than its limit of %d s.", spec.Name, spec.Limit/1000)
}

// endCells goes through the step's open cells once, a piece at a time: those
// that wait have timed out, those that run are asked to end.
func (t *turn) endCells(step *StepRow) {
	if step.EndAfter == nil {
		step.EndAfter = &CellKey{Step: step.Index, Action: -1}
	}
	if step.EndAfter.Step > step.Index {
		return // it is through
	}
	if t.looked >= piece {
		t.again = true
		return
	}
	page, next := t.w.openCells(Filter{}, step.EndAfter, piece)
	t.looked += piece
	if next == nil || next.Step > step.Index {
		next = &CellKey{Step: step.Index + 1}
	}
	step.EndAfter = next
	t.w.saveStep(step)
	for _, c := range page {
		if c.Step == step.Index {
			t.endCell(c)
		}
	}
	t.again = t.again || next.Step == step.Index
}

func (t *turn) endCell(c *Cell) {
	a := t.w.attempt(c.Attempt)
	if c.State == CellRunning && a != nil && a.SentAt != 0 {
		if !c.Ending {
			t.endAttempt(c)
		}
		return
	}
	why := t.timeLimit(c)
	t.abandon(c, why)
	t.closeCell(c, CellTimedOut, why)
}

// stepsDue is when the first time limit of the open steps ends; 0: none has one.
func (t *turn) stepsDue() int64 {
	due := int64(0)
	if t.w.Row.State != Running {
		return 0
	}
	for _, step := range t.openSteps() {
		if step.DueAt != 0 && (due == 0 || step.DueAt < due) {
			due = step.DueAt
		}
	}
	return due
}
