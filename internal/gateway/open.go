package gateway

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/store"
)

// Open records a session and gives it its generation, unless the agent's start
// counter has gone back: its journal may have, too, and it could start again
// what has run (fault 32). Then nothing is recorded, and held says why.
func (c *Core) Open(ctx context.Context, row *store.Session) (held string, err error) {
	err = c.DB.Write(ctx, func(tx *store.Tx) error {
		held = ""
		was, err := store.GetSession(tx, row.Machine)
		if err != nil {
			return err
		}
		//guard:incarnation I1: a machine that was set back in time gets no work until somebody confirms it; less `row.Incarnation < was.Incarnation`, with `row.Incarnation < 0*was.Incarnation`
		if was != nil && was.Facts[FactPin] == row.Facts[FactPin] && row.Incarnation < was.Incarnation {
			held = fmt.Sprintf("The agent's start counter went back from %d to %d: the machine was restored from an older copy. "+
				"Confirm it before it gets work again.", was.Incarnation, row.Incarnation)
			return nil
		}
		return store.OpenSession(tx, row)
	})
	return held, err
}
