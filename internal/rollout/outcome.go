package rollout

import "fmt"

// ended stores an attempt's outcome, once: a report of an attempt that is
// already closed is only forgotten (fault 17, invariant I7).
func (t *turn) ended(id string, end *End) {
	a := t.w.attempt(id)
	if a == nil {
		return
	}
	t.do(Effect{Kind: ForgetAttempt, Attempt: id, Machine: a.Executor})
	//guard:one-outcome I7: the first outcome of an attempt is its outcome; seen by ./internal/rollout TestTheFirstOutcomeCounts
	if a.Outcome != OutcomeNone {
		return
	}
	c := t.w.cell(a.Cell)
	t.closeAttempt(a, end)
	t.keepOutputs(a, end)
	if c == nil || c.State != CellRunning || c.Attempt != id {
		return
	}
	c.Ran = c.Ran || a.Outcome != OutcomeNotStarted
	spec := &t.p.Steps[c.Step].Actions[c.Action]
	//guard:receipt I3: a package counts as installed only with its receipt; seen by ./internal/rollout TestSuccessNeedsTheRightReceipt
	if a.Outcome == OutcomeSucceeded && spec.Receipt {
		if problem := wrongReceipt(spec, a, end.Receipt); problem != "" {
			a.Outcome, a.Reason = OutcomeFailed, problem
		}
	}
	t.closeByOutcome(c, a, end)
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
	//guard:receipt-attempt I3: the receipt is of this attempt; seen by ./internal/rollout TestSuccessNeedsTheRightReceipt
	case r.Attempt != a.ID:
		return fmt.Sprintf("the receipt is for attempt %q", r.Attempt)
	//guard:receipt-package I3: the receipt is for the package of the release; seen by ./internal/rollout TestSuccessNeedsTheRightReceipt
	case r.PackageSHA256 != want.SHA256:
		return fmt.Sprintf("the package on the machine has digest %q, the release has %q", r.PackageSHA256, want.SHA256)
	case r.Tree == "" || r.InstallDir == "":
		return "the receipt does not say what was installed where"
	}
	return ""
}

// closeByOutcome gives the cell the state that its attempt's outcome means.
func (t *turn) closeByOutcome(c *Cell, a *Attempt, end *End) {
	canceling := t.w.Row.State == Canceling
	switch a.Outcome {
	case OutcomeSucceeded:
		t.closeCell(c, CellSucceeded, "")
	case OutcomeCanceled:
		switch {
		case canceling:
			t.closeCell(c, CellCanceled, a.Reason)
		case c.Ending:
			a.Outcome, a.Reason = OutcomeTimedOut, t.timeLimit(c)
			t.failed(c, a, CellTimedOut, a.Reason)
		default: // nobody here asked for it, and it did not end with 0 (P1)
			t.failed(c, a, CellFailed, "it was ended on the machine: "+a.Reason)
		}
	case OutcomeTimedOut:
		t.failed(c, a, CellTimedOut, a.Reason)
	case OutcomeUnknown:
		if spec := t.action(c); end.Restarted && spec.RebootsExpected && !spec.Receipt && !canceling && !c.Ending {
			t.say("Info", c.CellKey, "The machine was restarted, as the action declares.")
			t.closeCell(c, CellSucceeded, "the machine was restarted, as the action declares")
			return
		}
		t.failed(c, a, CellUnknown, a.Reason)
	case OutcomeNotStarted:
		t.notStarted(c, a, end.Retry)
	case OutcomeFailed, OutcomeNone:
		t.failed(c, a, CellFailed, a.Reason)
	}
}

func (t *turn) notStarted(c *Cell, a *Attempt, retry bool) {
	switch {
	case t.w.Row.State == Canceling:
		t.closeCell(c, CellCanceled, a.Reason)
	case c.Ending:
		t.failed(c, a, CellTimedOut, t.timeLimit(c))
	case !retry:
		t.failed(c, a, CellFailed, "did not start: "+a.Reason)
	case c.Held+1 < maxTries:
		c.Held++
		t.pause(c, min(int64(1000)<<(c.Held-1), 30_000))
		c.Reason = a.Reason
		t.say("Warning", c.CellKey, "Did not start: %s. Trying again.", a.Reason)
	default:
		t.failed(c, a, CellFailed, fmt.Sprintf("did not start in %d tries: %s", c.Held+1, a.Reason))
	}
}

// failed decides about an attempt that did not succeed: it is tried again where
// the action declares that, people are asked where the rollout does, and
// otherwise the cell has failed.
func (t *turn) failed(c *Cell, a *Attempt, state CellState, reason string) {
	m := t.w.member(c.Member)
	going := t.w.Row.State == Running && m.State == MemberLive && (m.Track > 0 || !t.w.step(c.Step).Ending)
	switch {
	case going && t.retries(c, a.Outcome):
		t.tryAgain(c, a, reason)
	case going && t.asks(a.Outcome):
		t.askAbout(c, a, reason)
	default:
		if m.State != MemberLive {
			t.onceLeft(c, a.Outcome)
		}
		t.closeCell(c, state, reason)
	}
}

// retries says whether the action declares another try after this outcome: of
// an unknown end only when it may run twice (I2).
func (t *turn) retries(c *Cell, outcome Outcome) bool {
	spec := t.action(c)
	switch outcome {
	case OutcomeFailed, OutcomeTimedOut:
		return c.Retried < spec.Retries
	case OutcomeUnknown:
		//guard:unknown-asks I2: an unknown end is tried again only where the action may run twice; less `spec.Idempotent && `; seen by ./internal/rollout TestOnlyNotStartedIsRetried
		return spec.Idempotent && c.Retried < max(spec.Retries, unknownTries)
	case OutcomeNone, OutcomeSucceeded, OutcomeCanceled, OutcomeNotStarted:
	}
	return false
}

// tryAgain puts a cell whose attempt failed back in the queue, after the pause
// that the action declares, doubled each time.
func (t *turn) tryAgain(c *Cell, a *Attempt, reason string) {
	c.Retried++
	c.Held = 0
	wait := min(max(t.action(c).Backoff, 1000)<<min(c.Retried-1, 20), maxBackoff)
	t.pause(c, wait)
	c.Reason = reason
	t.say("Warning", c.CellKey, "%s: %s. Trying again in %d s.", a.Outcome, reason, wait/1000)
}

// pause puts a cell back in the queue after so many milliseconds. Its machine
// is free meanwhile.
func (t *turn) pause(c *Cell, ms int64) {
	c.quiet()
	c.State, c.DueAt = CellWaiting, t.at+ms
	t.w.saveCell(c)
	t.freeSlot(c)
}
