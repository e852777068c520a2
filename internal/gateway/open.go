package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/store"
)

// ErrElsewhere says that another node has the machine's link, as far as is
// known: it was asked what that link is worth, and either loses it soon, or the
// identity is in use twice (abuse 4). Try again.
var ErrElsewhere = errors.New("the machine is linked to another server")

// Open records a session and gives it its generation, unless the agent's starts
// are not those of the session before: its disk was set back in time, its journal with it, and it could start again
// what has run (fault 32). Then nothing is recorded, and held says why.
func (c *Core) Open(ctx context.Context, row *store.Session) (held string, err error) {
	elsewhere := false
	err = c.DB.Write(ctx, func(tx *store.Tx) error {
		held, elsewhere = "", false
		seat, err := store.GetSeat(tx, row.Machine)
		if err != nil {
			return err
		}
		if elsewhere = seat.Elsewhere(row.Node); elsewhere {
			return store.Challenge(tx, &seat, row.Node)
		}
		if elsewhere = c.contested(tx, &seat); elsewhere {
			return nil
		}
		was, err := store.GetSession(tx, row.Machine)
		if err != nil {
			return err
		}
		//guard:incarnation I1: a machine that was set back in time gets no work until somebody confirms it; less `was.Ahead(row)`, with `was.Ahead(was)`; seen by ./internal/gateway TestRestoredAgent
		if was != nil && was.Facts[FactPin] == row.Facts[FactPin] && was.Ahead(row) {
			held = setBack(was, row)
			return nil
		}
		return store.OpenSession(tx, row)
	})
	if err == nil && elsewhere {
		err = ErrElsewhere
	}
	return held, err
}

func setBack(was, row *store.Session) string {
	how := fmt.Sprintf("start counter went back from %d to %d", was.Incarnation, row.Incarnation)
	if row.Incarnation >= was.Incarnation {
		how = fmt.Sprintf("start %d is not the one that this server knows", was.Incarnation)
	}
	return "The agent's " + how + ": the machine was restored from an older copy. Confirm it before it gets work again."
}

// contested says that two nodes have lately had links of this identity that
// both answered.
func (c *Core) contested(tx *store.Tx, seat *store.Seat) bool {
	wait := c.Contest
	if wait == 0 {
		wait = contest
	}
	return seat.State == store.SessionDuplicate && seat.Rival != "" && tx.Now().UnixMilli()-seat.ContestedAt < wait.Milliseconds()
}

// GiveUp ends the sessions that are a node's by their rows and not in fact:
// their links ended while the database could not be written, or another life of
// the node opened them. Nobody would answer when another node asks what such a
// link is worth. linked says whether the node has any link of a machine now.
func (c *Core) GiveUp(ctx context.Context, node string, seats []store.Seat, linked func(machine string) bool) error {
	var errs []error
	for i := range seats {
		s := &seats[i]
		mine := s.Node == node && (s.State == store.SessionConnected || s.State == store.SessionDuplicate)
		if !mine || linked(s.Machine) {
			continue
		}
		errs = append(errs, c.DB.Write(ctx, func(tx *store.Tx) error {
			if s.State == store.SessionDuplicate {
				return store.LeaveHeld(tx, s.Machine, node)
			}
			return store.CloseSession(tx, s.Machine, s.Generation, store.SessionLost, "its server has no such link")
		}))
	}
	return errors.Join(errs...)
}
