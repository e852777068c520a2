package rollout

// A machine that joins while the rollout runs has a track of its own through
// the steps that are closed: they do not reopen. Once it is through them it
// queues for the open steps behind all others, and counts in their windows
// like them. Only the end of the rollout waits for it (design 5.2).

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
		closed := step.State == StepSucceeded || step.State == StepFailed
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
	t.inScope(m, +1)
	for _, step := range t.openSteps() {
		step.Exhausted = false
		t.w.saveStep(step)
	}
}

// endTrack ends the newcomer's own way: it has reached the others, or left.
func (t *turn) endTrack(m *Member) {
	m.Track = 0
	t.w.saveMember(m)
	t.w.Row.Tracking--
}
