package engine

import (
	"fmt"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// inboxPiece is how many reports one turn folds at most.
	inboxPiece = 256
	// continuePiece is how many Continue events one turn folds at most before
	// it commits what it has.
	continuePiece = 8
)

// Tx is one rollout's rows inside the transaction of its owner's turn, already
// fenced. The SQL implementation is store.Turn.
type Tx interface {
	rollout.Rows
	Row() rollout.Row
	Plan() *rollout.Plan
	Now() int64
	// Since is when the turn's owner began.
	Since() int64
	// Err is the first error that any call met; a turn that has one is rolled
	// back as a whole.
	Err() error

	Inbox(n int) []store.InboxItem
	DropInbox(items []store.InboxItem)
	Save(changes rollout.Changes)
	Record(at int64, kind string, what any)
	AddEffect(n int, e *rollout.Effect)
	Withdraw(attempt string)
	WantSlot(machine string, key rollout.CellKey, at int64) *store.Grant
	FreeSlot(key rollout.CellKey, at int64) *store.Grant
	PostElsewhere(id, key string, event rollout.Event)
	Begin(node string)
	Canceling()
	// Finish ends the task; it reads the rows that Save has written.
	Finish(p *rollout.Plan, row *rollout.Row)
	// Park leaves the rollout without owner if it only waits, or has ended.
	Park()
}

var _ Tx = (*store.Turn)(nil)

// Turn folds the waiting reports and a due timer into the rollout: one
// transaction, whatever their number (design 5.4). Crashed before the commit,
// the same reports are folded again; after it, they are gone. While more
// reports wait than one turn takes, the clock waits too: one of them may be of
// the machine that would be given up.
func Turn(tx Tx) error {
	items := tx.Inbox(inboxPiece)
	tx.DropInbox(items) // before folding: an effect may post under the same key
	f := newFold(tx)
	for i := range items {
		f.fold(withBoxes(&items[i]))
	}
	if now := tx.Now(); len(items) < inboxPiece && (stepDue(f.work.Row.DueAt, now) || len(tx.DueCells(now, 1)) > 0) {
		f.fold(rollout.Event{At: now, Kind: rollout.Timer, Since: tx.Since()})
	}
	return f.commit()
}

// stepDue says whether the time of a step is up.
func stepDue(due, now int64) bool { return due != 0 && due <= now }

// Start joins the machines found to a rollout that was just claimed, and
// begins it.
func Start(tx Tx, node string, members []rollout.Member) error {
	f := newFold(tx)
	tx.Begin(node)
	for i := range members {
		f.fold(rollout.Event{At: tx.Now(), Kind: rollout.Joined, Join: &members[i]})
	}
	f.fold(rollout.Event{At: tx.Now(), Kind: rollout.Begin})
	return f.commit()
}

func withBoxes(item *store.InboxItem) rollout.Event {
	event := item.Event
	if event.End != nil {
		for i := range event.End.Outputs {
			event.End.Outputs[i].Box = item.Boxes[event.End.Outputs[i].Index]
		}
	}
	return event
}

// fold carries a turn: the working rows, the events still to be folded, and
// what the effects have asked of the transaction.
type fold struct {
	tx        Tx
	plan      *rollout.Plan
	work      *rollout.Working
	queue     []rollout.Event
	continues int
	canceling bool
	finished  bool
}

func newFold(tx Tx) *fold {
	return &fold{tx: tx, plan: tx.Plan(), work: rollout.NewWorking(tx.Row(), tx), canceling: tx.Row().State == rollout.Canceling}
}

// fold applies one event and those that its own effects bring back.
func (f *fold) fold(event rollout.Event) {
	f.queue = append(f.queue, event)
	for len(f.queue) > 0 && f.tx.Err() == nil {
		next := f.queue[0]
		f.queue = f.queue[1:]
		effects := f.next(next)
		//guard:history I15: what is folded is recorded as what it is; less `string(next.Kind)`, with `string(rollout.Say)`; seen by ./internal/engine TestReplayGivesTheStoredState
		f.tx.Record(next.At, string(next.Kind), next)
		for n := range effects {
			f.carryOut(n, &effects[n], next.At)
		}
	}
}

// next is rollout.Next. What it makes of a row that could not be read is not its
// defect: the error that the transaction has met counts, and may pass with the
// next try (faults 25 and 26).
func (f *fold) next(event rollout.Event) []rollout.Effect {
	defer func() {
		if f.tx.Err() != nil {
			_ = recover() // the caller returns the error
		}
	}()
	return rollout.Next(f.plan, f.work, event)
}

func (f *fold) carryOut(n int, e *rollout.Effect, at int64) {
	switch e.Kind {
	case rollout.StartAttempt, rollout.CancelAttempt, rollout.ForgetAttempt:
		f.tx.AddEffect(n, e)
	case rollout.WantSlot:
		f.granted(f.tx.WantSlot(e.Machine, *e.Cell, at))
	case rollout.FreeSlot:
		f.granted(f.tx.FreeSlot(*e.Cell, at))
	case rollout.Withdraw:
		f.tx.Withdraw(e.Attempt)
	case rollout.Again:
		f.goOn(at)
	case rollout.Finish:
		f.finished = true
	case rollout.Say:
		f.tx.Record(at, string(rollout.Say), e.Note)
	}
}

// granted tells the cell that has got a machine, in this rollout or another.
func (f *fold) granted(g *store.Grant) {
	if g == nil {
		return
	}
	event := rollout.Event{At: f.tx.Now(), Kind: rollout.SlotGranted, Cell: &g.Cell}
	if g.Rollout == f.plan.Task {
		f.queue = append(f.queue, event)
		return
	}
	f.tx.PostElsewhere(g.Rollout, fmt.Sprintf("slot/%d/%d/%s", g.Cell.Step, g.Cell.Action, g.Cell.Member), event)
}

func (f *fold) goOn(at int64) {
	event := rollout.Event{At: at, Kind: rollout.Continue}
	if f.continues++; f.continues <= continuePiece {
		f.queue = append(f.queue, event)
		return
	}
	f.tx.PostElsewhere(f.plan.Task, "continue", event)
}

// commit writes the rows; the caller commits the transaction.
func (f *fold) commit() error {
	if f.work.Row.State == rollout.Canceling && !f.canceling {
		f.tx.Canceling()
	}
	f.tx.Save(f.work.Changes())
	if f.finished {
		f.tx.Finish(f.plan, &f.work.Row)
	}
	f.tx.Park()
	return f.tx.Err()
}
