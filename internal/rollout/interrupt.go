package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// Interruption is a question that a cell waits on: what to do about an attempt
// that did not succeed, or a manual intervention. Each is about one machine;
// its answer is never used for another.
type Interruption struct {
	N       int // its place in the rollout, from 1
	Kind    InterruptionKind
	Cell    CellKey
	Attempt string // the one that did not succeed
	Title   string
	Text    string // instructions, or what went wrong
	Choices []Guidance
	Teams   []string
	AskedAt int64
	// DueAt is the deadline, unix milliseconds; 0 means none.
	DueAt int64
}

// InterruptionKind says what a question is about.
type InterruptionKind string

// The kinds of interruption, by their names on the wire.
const (
	ManualIntervention InterruptionKind = "ManualIntervention"
	GuidedFailure      InterruptionKind = "GuidedFailure"
	// UnknownOutcome asks about an attempt whose end cannot be known (P2).
	UnknownOutcome InterruptionKind = "UnknownOutcome"
)

// Guidance is an answer.
type Guidance string

// The answers; the last two are to a manual intervention.
const (
	Retry   Guidance = "Retry"   // try again on the same machine
	Ignore  Guidance = "Ignore"  // go on as if it had succeeded; never offered for a package's proof
	Exclude Guidance = "Exclude" // the machine leaves the rollout and does not count as deployed
	Fail    Guidance = "Fail"
	Proceed Guidance = "Proceed"
	Abort   Guidance = "Abort"
)

// Answer is what a person said to an interruption. The store takes the first
// one and no other (abuse 95).
type Answer struct {
	Interruption int // its number in the rollout
	Guidance     Guidance
	By           string // the user's name
	ByID         string
	Notes        string `json:",omitempty"`
}

// Closing says that a question is no longer asked, and why.
type Closing struct {
	N   int
	At  int64
	Why string
}

// asks says whether people decide about an attempt with this outcome.
func (t *turn) asks(outcome Outcome) bool {
	return t.p.Guided || t.p.AskUnknown && outcome == OutcomeUnknown
}

// choices are the answers that make sense for the cell. What proves that a
// package is on the machine cannot be ignored (P1), and the server's own worker
// cannot be excluded.
func (t *turn) choices(c *Cell) []Guidance {
	spec := t.action(c)
	if spec.Manual != nil {
		return []Guidance{Proceed, Abort}
	}
	choices := []Guidance{Retry}
	if !spec.Receipt {
		choices = append(choices, Ignore)
	}
	if m := t.w.member(c.Member); m != nil && !m.Worker {
		choices = append(choices, Exclude)
	}
	return append(choices, Fail)
}

// askAbout puts a cell whose attempt did not succeed before people. The machine
// is free meanwhile; its place in the step's window is not.
func (t *turn) askAbout(c *Cell, a *Attempt, reason string) {
	spec := t.action(c)
	kind := GuidedFailure
	if a.Outcome == OutcomeUnknown {
		kind = UnknownOutcome
	}
	t.freeSlot(c)
	t.ask(c, &Interruption{
		Kind: kind, Attempt: a.ID, Title: fmt.Sprintf("%s on %s: %s", spec.Name, t.nameOf(c.Member), strings.ToLower(string(a.Outcome))),
		Text: reason,
	}, t.p.AnswerWithin)
	c.Reason = reason
}

// askToProceed puts a manual intervention before people.
func (t *turn) askToProceed(c *Cell) {
	spec := t.action(c)
	m := t.w.member(c.Member)
	title := spec.Name
	if !m.Worker {
		title += " on " + m.Name
	}
	t.ask(c, &Interruption{
		Kind: ManualIntervention, Title: title, Teams: spec.Manual.Teams,
		Text: t.expand(spec.Manual.Instructions, c.Step, spec, m),
	}, spec.Manual.Within)
}

func (t *turn) ask(c *Cell, q *Interruption, within int64) {
	t.w.Row.Interruptions++
	q.N, q.Cell, q.AskedAt, q.Choices = t.w.Row.Interruptions, c.CellKey, t.at, t.choices(c)
	if within > 0 {
		q.DueAt = t.at + within
	}
	c.quiet()
	c.State, c.Interruption, c.DueAt = CellInterrupted, q.N, q.DueAt
	t.w.saveCell(c)
	t.w.questions = append(t.w.questions, q)
	t.say("Warning", c.CellKey, "%s. It waits for an answer.", q.Title)
}

// withdraw ends the question that the cell waits on, if there is one.
func (t *turn) withdraw(c *Cell, why string) {
	if c.Interruption != 0 {
		t.w.closed = append(t.w.closed, Closing{N: c.Interruption, At: t.at, Why: why})
		c.Interruption = 0
	}
}

// answered carries a person's answer out, unless the question is not asked any
// more: the machine left, the rollout was canceled, or its deadline passed.
func (t *turn) answered(key CellKey, answer *Answer) {
	c := t.w.cell(key)
	if c == nil || c.State != CellInterrupted || c.Interruption != answer.Interruption || t.w.Row.State != Running ||
		!slices.Contains(t.choices(c), answer.Guidance) {
		return
	}
	t.withdraw(c, "answered")
	by := string(answer.Guidance) + ", said " + answer.By
	if answer.Notes != "" {
		by += ": " + answer.Notes
	}
	t.say("Info", c.CellKey, "%s", by)
	switch answer.Guidance {
	case Retry:
		c.State, c.Reason, c.Retried, c.Held = CellWaiting, "", 0, 0
		t.retry(c)
	case Ignore:
		t.w.Row.Warnings++
		t.closeCell(c, CellIgnored, "ignored by "+answer.By+": "+c.Reason)
	case Exclude:
		t.exclude(c, answer.By)
	case Fail:
		t.closeCell(c, t.failedState(c), c.Reason)
	case Proceed:
		t.keepAnswer(c, answer)
		t.closeCell(c, CellSucceeded, "")
	case Abort:
		t.closeCell(c, CellFailed, "aborted by "+answer.By)
	}
}

// failedState is the state of a cell that waited for an answer and has failed.
func (t *turn) failedState(c *Cell) CellState {
	if a := t.w.attempt(c.Attempt); a != nil {
		switch a.Outcome {
		case OutcomeTimedOut:
			return CellTimedOut
		case OutcomeUnknown:
			return CellUnknown
		case OutcomeNone, OutcomeSucceeded, OutcomeFailed, OutcomeCanceled, OutcomeNotStarted:
		}
	}
	return CellFailed
}

// unanswered ends a wait whose deadline has passed.
func (t *turn) unanswered(c *Cell) {
	t.withdraw(c, "its deadline has passed")
	reason := "nobody answered in time"
	if c.Reason != "" {
		reason = c.Reason + "; " + reason
	}
	t.closeCell(c, t.failedState(c), reason)
}

// exclude takes the machine out of the rollout. What still runs on it comes to
// its end.
func (t *turn) exclude(c *Cell, by string) {
	m, why := t.w.member(c.Member), "excluded by "+by
	t.leave(m, MemberExcluded, why)
	t.w.Row.Gone++
	t.w.Row.Warnings++
	t.say("Warning", CellKey{Step: -1, Action: -1, Member: m.ID}, "%s left the rollout: %s. It is not deployed.", m.Name, why)
	t.eachOpen(Filter{Member: m.ID}, func(o *Cell) {
		if o.State != CellRunning {
			t.onceLeft(o, t.abandon(o, why))
			t.closeCell(o, CellSuperseded, why)
		}
	})
}

// keepAnswer makes the answer's notes an output variable, as scripts set them.
func (t *turn) keepAnswer(c *Cell, answer *Answer) {
	for _, set := range []Set{
		{Name: "Manual.Notes", Value: answer.Notes},
		{Name: "Manual.ResponsibleUser.Id", Value: answer.ByID},
		{Name: "Manual.ResponsibleUser.Username", Value: answer.By},
	} {
		t.w.Row.Outputs++
		t.w.outputs = append(t.w.outputs, Output{
			N: t.w.Row.Outputs, Step: c.Step, Action: c.Action, Member: c.Member, MemberName: t.nameOf(c.Member),
			Name: set.Name, Value: set.Value, Source: fmt.Sprintf("interruption/%d", answer.Interruption),
		})
	}
}
