package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// mayRemove is the share of a space's machines, in percent, that one sweep may
// remove by itself. Above it nothing is removed and a person is asked.
const mayRemove = 20

// sweepSilent counts the silence of machines and removes those that their
// policy gives up. Only time counts in which this server ran and heard another
// machine of the space: an outage of the server or of its network never
// deletes a machine (P4, pain 2 of fleets.md).
func (f *Fleet) sweepSilent(ctx context.Context, passed time.Duration) error {
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		sessions, err := store.ListSessions(tx)
		if err != nil {
			return err
		}
		connected := map[string]bool{}
		for i := range sessions {
			connected[sessions[i].Machine] = sessions[i].State == store.SessionConnected
		}
		spaces, _, err := store.List[resource.Space](tx, store.Query{})
		if err != nil {
			return err
		}
		facts, err := store.MachineFacts(tx)
		for i := range spaces {
			err = errors.Join(err, sweepSpace(tx, spaces[i].ID, connected, facts, passed))
		}
		return err
	})
}

func sweepSpace(tx *store.Tx, space string, connected map[string]bool, facts map[string]store.MachineFact, passed time.Duration) error {
	machines, _, err := store.List[resource.Machine](tx, store.Query{Space: space})
	if err != nil {
		return err
	}
	heard := false
	for i := range machines {
		heard = heard || connected[machines[i].ID]
	}
	var lost []*resource.Machine
	for i := range machines {
		m := &machines[i]
		fact, known := facts[m.ID]
		fact.Machine = m.ID
		before := fact.SilentMS
		switch {
		case connected[m.ID]:
			fact.SilentMS = 0
		case heard && m.Endpoint.Reachable():
			fact.SilentMS += passed.Milliseconds()
		}
		if known && fact.SilentMS != before {
			if err := store.SaveMachineFact(tx, fact); err != nil {
				return err
			}
		}
		given, err := givenUp(tx, m, time.Duration(fact.SilentMS)*time.Millisecond)
		if err != nil {
			return err
		}
		if given {
			lost = append(lost, m)
		}
	}
	return remove(tx, space, lost, len(machines))
}

// givenUp says whether the machine's policy removes it after that silence.
func givenUp(tx *store.Tx, m *resource.Machine, silent time.Duration) (bool, error) {
	if silent == 0 {
		return false, nil
	}
	policy, err := store.Get[resource.MachinePolicy](tx, m.MachinePolicyID)
	if err != nil {
		return false, err
	}
	c := policy.MachineCleanupPolicy
	return c.DeleteMachinesBehavior == resource.DeleteUnavailable && silent >= max(c.DeleteMachinesElapsedTimeSpan.Duration(), time.Minute), nil
}

func remove(tx *store.Tx, space string, lost []*resource.Machine, all int) error {
	if len(lost) == 0 {
		return nil
	}
	if len(lost)*100 > all*mayRemove {
		return ask(tx, space, lost, all)
	}
	for _, m := range lost {
		if err := store.ForgetMachine(tx, m.ID, "it was silent for longer than its policy allows"); err != nil {
			return err
		}
		if err := store.Delete[resource.Machine](tx, m.ID); err != nil {
			return err
		}
		if err := store.Audit(tx, store.AuditRecord{
			Category: resource.EventMachineDeleted, SpaceID: space, Related: []string{m.ID},
			Message: fmt.Sprintf("Machine %s was removed: it was silent for longer than its policy allows", m.Name),
		}); err != nil {
			return err
		}
	}
	return nil
}

// ask stops the removal and leaves the decision to a person: once, until the
// number changes.
func ask(tx *store.Tx, space string, lost []*resource.Machine, all int) error {
	text := fmt.Sprintf("%d of %d machines are silent for longer than their policies allow. That is more than %d %% at once, so none was removed. Delete those that are gone.",
		len(lost), all, mayRemove)
	last, err := store.LastEvent(tx, space, resource.EventMachineUnavailable)
	if err != nil || last == text {
		return err
	}
	return store.Audit(tx, store.AuditRecord{Category: resource.EventMachineUnavailable, SpaceID: space, Message: text})
}
