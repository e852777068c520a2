package rollout

import "slices"

// A machine that joins while the rollout runs has a track of its own through
// the steps that are closed: they do not reopen. Once it is through them it
// counts in the windows of the open steps like the others. It is held back
// until a batch of the open step is verified, and then comes before those that
// serve the release before (design 8, decision 042). Only the end of the
// rollout waits for it (design 5.2).

// joinLate takes in a machine that came while the rollout runs.
func (t *turn) joinLate(m *Member) {
	if t.w.Row.Step >= len(t.p.Steps) || t.w.Row.Stopped > 0 {
		return // joining closes with the last step and the first failure; what comes later catches up
	}
	member := *m
	t.w.Row.NextOrd++
	t.w.Row.Members++
	member.Ord, member.State = t.w.Row.NextOrd, MemberLive
	t.w.members[member.ID] = &member
	t.w.joined = append(t.w.joined, &member)
	t.w.saveMember(&member)
	t.say("Info", CellKey{Step: -1, Action: -1, Member: member.ID}, "%s came while the rollout ran, and joins it.", member.Name)
	t.w.Row.Tracking++
	t.follow(&member)
}

// follow takes a newcomer into the first closed step that it has not been
// through, or into the queue of the open ones when there is none.
func (t *turn) follow(m *Member) {
	for i := range min(t.p.together(t.w.Row.Step), len(t.p.Steps)) {
		step := t.w.step(i)
		closed := step.State == StepSucceeded || step.State == StepFailed || step.State == StepSkipped && step.Reason == noMachine
		if !closed || !t.p.Steps[i].Covers(m) || t.w.cell(CellKey{Step: i, Member: m.ID}) != nil {
			continue
		}
		if m.Failed && t.p.Steps[i].Condition == ConditionSuccess {
			t.skipStep(i, m)
			continue
		}
		m.Track = i + 1
		t.w.saveMember(m)
		t.nextAction(step, m, 0)
		return
	}
	t.endTrack(m)
	if t.w.Row.Step >= len(t.p.Steps) {
		return
	}
	// Behind all that were looked at: every open step has still to admit it.
	t.w.Row.NextOrd++
	m.Ord = t.w.Row.NextOrd
	if !slices.Contains(t.w.joined, m) {
		t.w.joined = append(t.w.joined, m)
	}
	t.inScope(m, +1)
	for _, step := range t.openSteps() {
		step.Exhausted = false
		t.w.saveStep(step)
		if t.p.Steps[step.Index].Covers(m) && step.Active > 0 && !t.verified(step) {
			t.say("Info", CellKey{Step: step.Index, Action: -1, Member: m.ID}, "%s waits until a batch of %s is verified.", m.Name, t.p.Steps[step.Index].Name)
		}
	}
}

func (t *turn) verified(step *StepRow) bool { return t.p.Steps[step.Index].Verified(step) }

// admitLate lets the members that came since the step opened into a verified
// step before the others: these serve already, they do not. A step by zones
// keeps its order.
func (t *turn) admitLate(step *StepRow) {
	spec := &t.p.Steps[step.Index]
	room := spec.Window.Size(step.Scope)
	if step.Stopped || spec.Zonal || t.w.Row.NextOrd <= step.Late || !t.verified(step) {
		return
	}
	for step.Active < room {
		if t.looked >= piece {
			t.again = true
			return
		}
		batch := t.w.membersAfter(step.Late, min(piece-t.looked, room-step.Active))
		if len(batch) == 0 {
			return
		}
		for _, m := range batch {
			t.looked++
			if m.Ord > step.Cursor && m.State == MemberLive && m.Track == 0 && spec.Covers(m) {
				t.enter(step, m)
			}
			step.Late = m.Ord
			t.w.saveStep(step)
		}
	}
}

// endTrack ends the newcomer's own way: it has reached the others, or left.
func (t *turn) endTrack(m *Member) {
	m.Track = 0
	t.w.saveMember(m)
	t.w.Row.Tracking--
}
