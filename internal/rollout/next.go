package rollout

import "fmt"

const (
	// piece bounds the members or cells that one event looks at; what is left
	// goes on with a Continue event, so that the cost of an event is constant.
	piece = 64
	// maxTries bounds the attempts at a cell that provably never started.
	maxTries = 8
	// unknownTries is how often an idempotent action is tried again by itself
	// after an attempt whose end is not known.
	unknownTries = 3
	// maxBackoff bounds the pause before a retry, in milliseconds.
	maxBackoff = 600_000
	// cancelGrace is how long a script has between the polite request to end
	// and the kill of its tree; cancelPatience is how long an agent may take to
	// report it.
	cancelGrace    = 30_000
	cancelPatience = 90_000
	// sendingPatience is how long the packages of one attempt may travel, from
	// its making and however often that is begun; the loss of the link ends it
	// sooner.
	sendingPatience = 3_600_000
)

// Next folds one event into the rollout: it changes w and returns the effects,
// in order. An event that no longer applies changes nothing.
func Next(p *Plan, w *Working, e Event) []Effect {
	t := &turn{p: p, w: w, at: e.At}
	switch e.Kind {
	case Joined:
		t.join(e.Join)
	case Begin:
		t.begin()
	case SlotGranted:
		t.slotGranted(*e.Cell)
	case Sending:
		t.sending(e.Attempt)
	case Started:
		t.started(e.Attempt)
	case Ended:
		t.ended(e.Attempt, e.End)
	case Lost:
		t.lost(e.Member)
	case Back:
		t.back(e.Member)
	case Gone:
		t.gone(e.Member, e.By)
	case Timer:
		t.timer(e.Since)
	case Cancel:
		t.cancel(e.By)
	case Answered:
		t.answered(*e.Cell, e.Answer)
	case Continue, Changed:
	}
	t.settle()
	return t.effects
}

// turn is one call of Next.
type turn struct {
	p       *Plan
	w       *Working
	at      int64
	effects []Effect
	looked  int // members or cells looked at, against piece
	again   bool
}

func (t *turn) do(e Effect) { t.effects = append(t.effects, e) }

func (t *turn) say(category string, key CellKey, format string, args ...any) {
	t.do(Effect{Kind: Say, Note: &Note{
		Category: category, Step: key.Step, Action: key.Action, Member: key.Member,
		Text: fmt.Sprintf(format, args...),
	}})
}

// whole is the key under which notes about the rollout as a whole are said;
// ofStep those about a step.
var whole = CellKey{Step: -1, Action: -1}

func ofStep(index int) CellKey { return CellKey{Step: index, Action: -1} }

func (t *turn) join(m *Member) {
	w := t.w
	switch {
	case w.member(m.ID) != nil:
		return
	case w.Row.State == Running && !m.Worker:
		t.joinLate(m)
		return
	case w.Row.State != Queued:
		return
	}
	member := *m
	w.Row.NextOrd++
	if !m.Worker {
		w.Row.Members++
	}
	member.Ord, member.State = w.Row.NextOrd, MemberLive
	w.members[member.ID] = &member
	w.joined = append(w.joined, &member)
	w.saveMember(&member)
	t.inScope(&member, +1)
}

// inScope adds the member to, or takes it from, the scope of the steps that
// have not opened yet and of the open ones.
func (t *turn) inScope(m *Member, by int) {
	for i := t.w.Row.Step; i < len(t.p.Steps); i++ {
		if step := t.w.step(i); t.p.Steps[i].Covers(m) && (step.State == StepPending || step.State == StepOpen) {
			step.Scope += by
			if w := t.p.Steps[i].Window; w.Percent > 0 && step.State == StepOpen && w.Size(step.Scope) != w.Size(step.Scope-by) {
				t.say("Info", ofStep(i), "Window: now %s.", w.Says(step.Scope))
			}
			t.w.saveStep(step)
		}
	}
}

func (t *turn) begin() {
	if t.w.Row.State != Queued {
		return
	}
	t.w.Row.State = Running
	t.w.Row.Step = -1
	t.nameMissing()
	t.openNext()
}

// nameMissing says which of the chosen machines are not in scope any more.
func (t *turn) nameMissing() {
	for _, id := range t.p.Specific {
		if t.w.member(id) == nil {
			t.w.Row.Warnings++
			t.say("Warning", CellKey{Step: -1, Action: -1, Member: id},
				"%s was chosen, but it was deleted, disabled or moved since, or no step has its roles. It is not deployed.", id)
		}
	}
}

// settle carries the rollout on as far as one event may: it admits members to
// the open steps, closes those in which nothing is left, and opens the next.
func (t *turn) settle() {
	w := t.w
	for w.Row.State == Running {
		if w.Row.Step >= len(t.p.Steps) { // it waits for those that joined later
			if w.Row.Tracking == 0 {
				t.finish(t.verdict())
			}
			break
		}
		open := false
		for _, step := range t.openSteps() {
			open = t.advance(step) || open
		}
		if open {
			break
		}
		t.openNext()
	}
	if w.Row.State == Canceling {
		t.cancelCells()
	}
	t.w.Row.DueAt = t.stepsDue()
	if t.again {
		t.do(Effect{Kind: Again})
	}
}

// openSteps are the steps that run now, in order: one, or those that started
// together.
func (t *turn) openSteps() []*StepRow {
	var list []*StepRow
	first := t.w.Row.Step
	if first < 0 || first >= len(t.p.Steps) {
		return nil
	}
	for i := first; i < t.p.together(first); i++ {
		if step := t.w.step(i); step.State == StepOpen {
			list = append(list, step)
		}
	}
	return list
}

// advance does what is left to do in a step and says whether it stays open.
func (t *turn) advance(step *StepRow) bool {
	if step.Ending {
		t.endCells(step)
	}
	for {
		t.admit(step)
		if t.again || step.Active > 0 || !t.drained(step) {
			return true
		}
		if !t.elect(step) {
			t.closeStep(step)
			return false
		}
	}
}

// drained says that the step admits no further member.
func (t *turn) drained(step *StepRow) bool { return step.Exhausted || step.Stopped }

// admit lets members into the open step while its window has room. More failed
// machines than the step tolerates stop its remaining windows. Those that came
// since the step opened are held back until a batch of it is verified, and then
// come first.
func (t *turn) admit(step *StepRow) {
	spec := &t.p.Steps[step.Index]
	if t.admitLate(step); t.again {
		return
	}
	//guard:window I8: no more machines are worked on at once than the window holds; less `spec.Window.Size(step.Scope)`, with `1 << 20`
	room := spec.Window.Size(step.Scope)
	for !t.drained(step) && step.Active < room {
		if t.looked >= piece {
			t.again = true
			return
		}
		batch := t.w.membersAfter(step.Cursor, min(piece-t.looked, room-step.Active))
		if len(batch) == 0 {
			step.Exhausted = true
			t.w.saveStep(step)
			return
		}
		for _, m := range batch {
			if t.drained(step) {
				return
			}
			t.looked++
			works := m.State == MemberLive && m.Track == 0 && spec.Covers(m)
			if works && spec.Zonal && m.Zone != step.Zone {
				if step.Active > 0 {
					return // the zone before it comes to its end first
				}
				step.Zone = m.Zone
			}
			if works && m.Ord > max(step.Opened, step.Late) && step.Active > 0 && !t.verified(step) {
				return // nobody has proved the release yet
			}
			step.Cursor = m.Ord
			t.w.saveStep(step)
			if works {
				t.enter(step, m)
			}
		}
	}
}

// enter lets a member that the window has room for into the step.
func (t *turn) enter(step *StepRow, m *Member) {
	switch {
	case t.passed(step, m):
		t.takeVacant(step, m)
	case m.Ord > step.Opened && m.Ord <= step.Late: // it was let in before its turn
	case m.Failed && m.FailedIn <= t.w.Row.Step && t.p.Steps[step.Index].Condition == ConditionSuccess:
		t.leaveOut(step, m)
	default:
		step.Active++
		t.nextAction(step, m, 0)
	}
}

// leaveOut skips the step on a machine that failed in an earlier one, whose
// failure was tolerated.
func (t *turn) leaveOut(step *StepRow, m *Member) {
	t.skipStep(step.Index, m)
	step.Done++
	t.w.saveStep(step)
}

func (t *turn) skipStep(index int, m *Member) {
	for i := range t.p.Steps[index].Actions {
		t.w.saveCell(&Cell{
			CellKey: CellKey{Step: index, Action: i, Member: m.ID}, State: CellSkipped,
			Reason: "the machine failed in an earlier step", StartedAt: t.at, EndedAt: t.at,
		})
	}
}

// openNext opens the first step after those that were open which has something
// to do, together with those that start with it, or ends the rollout.
func (t *turn) openNext() {
	next := 0
	if t.w.Row.Step >= 0 {
		next = t.p.together(t.w.Row.Step)
	}
	for ; next < len(t.p.Steps); next = t.p.together(next) {
		t.w.Row.Step = next
		failed, open := t.w.Row.Stopped > 0, false
		for i := next; i < t.p.together(next); i++ {
			open = t.openStep(t.w.step(i), failed) || open
		}
		if open {
			return
		}
	}
	t.w.Row.Step = len(t.p.Steps)
}

// openStep opens a step or says why it does not run. failed says whether the
// rollout had failed before the steps that open together.
func (t *turn) openStep(step *StepRow, failed bool) bool {
	step.StartedAt = t.at
	t.w.saveStep(step)
	step.State, step.Reason = t.stepOpens(step, failed)
	if step.State == StepOpen {
		step.Opened, step.Late = t.w.Row.NextOrd, t.w.Row.NextOrd
		spec := &t.p.Steps[step.Index]
		if spec.Limit > 0 {
			step.DueAt = t.at + spec.Limit
		}
		if spec.Window.Percent > 0 {
			t.say("Info", ofStep(step.Index), "Window: %s.", spec.Window.Says(step.Scope))
		}
		return true
	}
	step.EndedAt = t.at
	if step.State == StepFailed {
		t.w.Row.Failures++
		t.stop(step)
	}
	return false
}

// stepOpens decides whether a step runs, and says why it does not.
func (t *turn) stepOpens(step *StepRow, failed bool) (StepState, string) {
	spec := &t.p.Steps[step.Index]
	if reason := allSkipped(spec.Actions); reason != "" {
		return StepSkipped, reason
	}
	run, reason, err := t.holds(spec.Condition, spec.Expression, failed, "the rollout", step.Index, nil, nil)
	if err != nil {
		t.say("Error", ofStep(step.Index), "The condition of this step cannot be evaluated: %v", err)
		return StepFailed, "condition cannot be evaluated"
	}
	if !run {
		return StepSkipped, reason
	}
	if step.Scope == 0 {
		return t.noTargets(step)
	}
	return StepOpen, ""
}

// noMachine is why a step was skipped that a machine which comes later does all
// the same.
const noMachine = "no machine in its roles"

func (t *turn) noTargets(step *StepRow) (StepState, string) {
	spec := &t.p.Steps[step.Index]
	if t.p.FailWithoutTargets {
		t.say("Error", ofStep(step.Index), "No machine has the roles %v of this step.", spec.Roles)
		return StepFailed, "no machine in its roles"
	}
	if t.p.Kind != CatchUp {
		t.w.Row.Warnings++
		t.say("Warning", ofStep(step.Index), "No machine has the roles %v of this step; it is skipped.", spec.Roles)
	}
	return StepSkipped, noMachine
}

func allSkipped(actions []Action) string {
	reason := "it has no actions"
	for i := range actions {
		if actions[i].Skip == "" {
			return ""
		}
		reason = actions[i].Skip
	}
	return reason
}

func (t *turn) closeStep(step *StepRow) {
	step.State, step.EndedAt, step.DueAt = StepSucceeded, t.at, 0
	if step.Failed > 0 || step.Stopped {
		step.State = StepFailed
		if left := step.Scope - step.Done; step.Stopped && left > 0 {
			step.Reason += fmt.Sprintf("; %d machines were not worked on", left)
			t.say("Error", ofStep(step.Index), "%s: the remaining %d machines of this step are not worked on.", t.whyStopped(step), left)
		}
	}
	t.w.saveStep(step)
}

func (t *turn) whyStopped(step *StepRow) string {
	switch {
	case step.Ending:
		return "The time limit of this step has passed"
	case step.Failed == 1:
		return "A machine failed"
	default:
		return fmt.Sprintf("%d machines failed", step.Failed)
	}
}

// verdict is the end of a rollout that ran through: green only when every live
// member went through every step that applied to it (P1, invariant I3).
func (t *turn) verdict() State {
	row := &t.w.Row
	silent := row.Unavailable > 0 && !t.p.SkipUnavailable
	nobody := (row.Members > 0 || t.chosen()) && row.Unavailable+row.Gone >= row.Members
	switch {
	case row.Failures > 0:
		row.Error = "The rollout failed: see the failed steps."
	//guard:silent I3: a machine that did not answer does not have the release; seen by ./internal/rollout TestASilentMachineDoesNotHangTheRollout
	case silent:
		row.Error = fmt.Sprintf("%d machines did not answer and do not have the release.", row.Unavailable)
	//guard:nobody I3: a release that runs nowhere was not deployed; seen by ./internal/rollout TestTheWorkerAloneIsNoDeployment
	case nobody:
		row.Error = "No machine that took part is left: nothing was deployed."
	default:
		return Succeeded
	}
	return Failed
}

// chosen says that the rollout is for machines that somebody named: without
// any of them it has done nothing.
func (t *turn) chosen() bool { return len(t.p.Specific) > 0 && t.p.Kind != CatchUp }

func (t *turn) finish(state State) {
	t.w.Row.State = state
	if t.w.Row.Error != "" {
		t.say("Error", whole, "%s", t.w.Row.Error)
	}
	t.do(Effect{Kind: Finish, State: state})
}
