package engine_test

import (
	"errors"
	"testing"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

var errRead = errors.New("the row could not be read")

// unread is a turn whose rows can no longer be read after some calls, as when
// the database has undone the transaction for another's sake.
type unread struct {
	engine.Tx

	left int
}

func (u *unread) lost() bool { u.left--; return u.left < 0 }

func (u *unread) Err() error {
	if u.left < 0 {
		return errRead
	}
	return u.Tx.Err()
}

func (u *unread) Step(index int) rollout.StepRow {
	if u.lost() {
		return rollout.StepRow{}
	}
	return u.Tx.Step(index)
}

func (u *unread) Member(id string) (rollout.Member, bool) {
	if u.lost() {
		return rollout.Member{}, false
	}
	return u.Tx.Member(id)
}

func (u *unread) Members(after int64, n int) []rollout.Member {
	if u.lost() {
		return nil
	}
	return u.Tx.Members(after, n)
}

func (u *unread) Cell(key rollout.CellKey) (rollout.Cell, bool) {
	if u.lost() {
		return rollout.Cell{}, false
	}
	return u.Tx.Cell(key)
}

func (u *unread) OpenCells(of rollout.Filter, after *rollout.CellKey, n int) []rollout.Cell {
	if u.lost() {
		return nil
	}
	return u.Tx.OpenCells(of, after, n)
}

func (u *unread) DueCells(at int64, n int) []rollout.Cell {
	if u.lost() {
		return nil
	}
	return u.Tx.DueCells(at, n)
}

func (u *unread) Attempt(id string) (rollout.Attempt, bool) {
	if u.lost() {
		return rollout.Attempt{}, false
	}
	return u.Tx.Attempt(id)
}

func (u *unread) Outputs(n int) []rollout.Output {
	if u.lost() {
		return nil
	}
	return u.Tx.Outputs(n)
}

// faults 25, 26: whichever row cannot be read, the turn fails with the reason,
// which says whether to try again, and neither panics nor succeeds.
func TestRowsThatCannotBeReadFailTheTurn(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	web := n.machine("web1", "web")
	id := n.deployWith("Projects-1", twoSteps)
	e := n.lives()
	n.round(e)
	n.end(n.awaitStart(web), rollout.OutcomeSucceeded)
	again, tries := errors.New("roll back"), 0
	for left, ended := 0, false; !ended; left++ {
		err := n.db.Write(t.Context(), func(tx *store.Tx) error {
			rows, err := store.OpenTurn(tx, id, "node-1/1", 1)
			if err != nil {
				return err
			}
			u := &unread{Tx: rows, left: left}
			err = engine.Turn(u)
			if ended = u.left >= 0; ended {
				return errors.Join(again, err)
			}
			if tries++; !errors.Is(err, errRead) {
				t.Errorf("read %d is the last one: %v", left, err)
			}
			return again
		})
		if !errors.Is(err, again) {
			t.Fatal(err)
		}
	}
	if tries < 5 {
		t.Errorf("the turn reads %d times; the test has lost its meaning", tries)
	}
}
