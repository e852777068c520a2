package rollout

// What StepRow.Once holds for a run-once action that has no holder, though it
// had one.
const (
	// vacant: its holder left before it had started; another one may take it.
	vacant = ""
	// electing: the members that have gone past it are asked.
	electing = "*"
)

// takeOnce gives a run-once action to the member, or says who has it.
func (t *turn) takeOnce(step *StepRow, m *Member, action int) (holder string, taken bool) {
	if holder, known := step.Once[action]; known && holder != vacant && holder != electing && holder != m.ID {
		return holder, false
	}
	if step.Once == nil {
		step.Once = map[int]string{}
	}
	step.Once[action] = m.ID
	t.w.saveStep(step)
	return m.ID, true
}

// onceLeft is told how the open cell of a member that left has ended. A
// run-once action that provably has not started goes to another member; of one
// that may have run nobody knows, and no success follows from that (design 5.2).
func (t *turn) onceLeft(c *Cell, outcome Outcome) {
	spec := &t.p.Steps[c.Step].Actions[c.Action]
	step := t.w.step(c.Step)
	if !spec.RunOnce || step.Once[c.Action] != c.Member || t.w.Row.State != Running {
		return
	}
	if outcome == OutcomeNotStarted {
		step.Once[c.Action] = vacant
		t.w.saveStep(step)
		return
	}
	t.say("Error", c.CellKey, "%s runs once, and whether it ran to its end on %s is not known.", spec.Name, t.nameOf(c.Member))
	t.loseOnce(step)
}

// loseOnce fails the step over a run-once action that nobody is known to have
// run: whatever the step tolerates, it does not go on.
func (t *turn) loseOnce(step *StepRow) {
	t.w.Row.Failures++
	step.Failed++
	if step.Reason == "" {
		step.Reason = "an action that runs once was not seen to its end"
	}
	t.stop(step)
}

// elect lets the members that have gone past a vacant run-once action through
// the step again, once, to find one that takes it. It says whether the step
// stays open for that.
func (t *turn) elect(step *StepRow) bool {
	if step.Stopped {
		return false
	}
	for action, spec := range t.p.Steps[step.Index].Actions {
		switch holder, known := step.Once[action]; {
		case !known:
		case holder == vacant:
			step.Once[action] = electing
			step.Cursor, step.Exhausted = 0, false
			t.w.saveStep(step)
			return true
		case holder == electing:
			t.say("Error", ofStep(step.Index), "%s runs once; the machine that it was for has left, and there is no other to run it.", spec.Name)
			t.loseOnce(step)
			return false
		}
	}
	return false
}

// passed says whether the member has been through the step already: it is asked
// only whether it takes a vacant run-once action.
func (t *turn) passed(step *StepRow, m *Member) bool {
	for action := range step.Once {
		if t.w.cell(CellKey{Step: step.Index, Action: action, Member: m.ID}) != nil {
			return true
		}
	}
	return false
}

// takeVacant opens the cell of a vacant run-once action that the member has
// skipped before.
func (t *turn) takeVacant(step *StepRow, m *Member) {
	for action := range t.p.Steps[step.Index].Actions {
		if step.Once[action] != electing {
			continue
		}
		key := CellKey{Step: step.Index, Action: action, Member: m.ID}
		if c := t.w.cell(key); c == nil || c.State != CellSkipped {
			continue
		}
		if run, _, _ := t.actionRuns(step, m, key); run {
			step.Active++
			step.Done--
			t.openCell(step, m, key)
			return
		}
	}
}
