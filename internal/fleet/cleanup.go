package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// mayRemove is the share of a space's machines, in percent, that may be
	// removed at once. Above it nothing is removed and a person is asked.
	mayRemove = 20
	// atOnce is how far apart machines may fall silent and still count as gone
	// at once; at most half of the time that their policy waits.
	atOnce = 10 * time.Minute
	// askAgain is how often the same question is asked.
	askAgain = 24 * time.Hour
	// silenceLeast is the least silence that a machine is removed for.
	silenceLeast = time.Minute
)

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
		links := map[string]*store.Session{}
		for i := range sessions {
			links[sessions[i].Machine] = &sessions[i]
		}
		spaces, _, err := store.List[resource.Space](tx, store.Query{})
		if err != nil {
			return err
		}
		facts, err := store.MachineFacts(tx)
		for i := range spaces {
			err = errors.Join(err, sweepSpace(tx, spaces[i].ID, links, facts, passed))
		}
		return err
	})
}

// silence is how long the machine is silent after more time has passed. One
// that is switched off here, or whose link is held back here, is not; and none
// is silent for longer than its link is lost, however short it was there.
func silence(m *resource.Machine, link *store.Session, before, passed, now int64) int64 {
	switch {
	case !m.Endpoint.Reachable() || m.IsDisabled:
		return 0
	case link == nil:
		return before + passed
	case link.State == store.SessionLost:
		return min(before+passed, max(now-link.LostAt, 0))
	}
	return 0
}

func sweepSpace(tx *store.Tx, space string, links map[string]*store.Session, facts map[string]store.MachineFact, passed time.Duration) error {
	machines, _, err := store.List[resource.Machine](tx, store.Query{Space: space})
	if err != nil {
		return err
	}
	counted := int64(0)
	if slices.ContainsFunc(machines, func(m resource.Machine) bool {
		link := links[m.ID]
		return link != nil && link.State == store.SessionConnected
	}) {
		counted = passed.Milliseconds()
	}
	var lost []*resource.Machine
	soon := 0
	for i := range machines {
		m := &machines[i]
		fact := facts[m.ID]
		fact.Machine = m.ID
		before := fact.SilentMS
		fact.SilentMS = silence(m, links[m.ID], before, counted, tx.Now().UnixMilli())
		if fact.SilentMS != before {
			if err := store.SaveMachineFact(tx, fact); err != nil {
				return err
			}
		}
		limit, err := patience(tx, m)
		if err != nil {
			return err
		}
		silent := time.Duration(fact.SilentMS) * time.Millisecond
		if limit == 0 || silent+min(atOnce, limit/2) < limit {
			continue
		}
		soon++
		if silent >= limit {
			lost = append(lost, m)
		}
	}
	return remove(tx, space, lost, soon, len(machines))
}

// patience is the silence after which the machine's policy removes it; 0 for
// never.
func patience(tx *store.Tx, m *resource.Machine) (time.Duration, error) {
	policy, err := store.Get[resource.MachinePolicy](tx, m.MachinePolicyID)
	if err != nil || policy.MachineCleanupPolicy.DeleteMachinesBehavior != resource.DeleteUnavailable {
		return 0, err
	}
	return max(policy.MachineCleanupPolicy.DeleteMachinesElapsedTimeSpan.Duration(), silenceLeast), nil
}

// remove deletes the lost machines; soon is how many are lost or about to be.
func remove(tx *store.Tx, space string, lost []*resource.Machine, soon, all int) error {
	if len(lost) == 0 {
		return nil
	}
	if soon*100 > all*mayRemove {
		return ask(tx, space, soon, all)
	}
	for _, m := range lost {
		if err := store.ForgetMachine(tx, m.ID, "it was silent for longer than its policy allows"); err != nil {
			return err
		}
		if err := store.Delete[resource.Machine](tx, m.ID); err != nil {
			return err
		}
		if err := store.Audit(tx, store.AuditRecord{
			Category: resource.EventMachineDeleted, SpaceID: space, Subjects: []store.Subject{{ID: m.ID, Name: m.Name}},
			Message: fmt.Sprintf("Machine %s was removed: it was silent for longer than its policy allows", m.Name),
		}); err != nil {
			return err
		}
	}
	return nil
}

// ask stops the removal and leaves the decision to a person: once a day, until
// the number changes.
func ask(tx *store.Tx, space string, silent, all int) error {
	text := fmt.Sprintf("%d of %d machines are silent for longer than their policies allow, or about to be. That is more than %d %% at once, so none was removed. Delete those that are gone.",
		silent, all, mayRemove)
	asked, err := store.AuditedSince(tx, space, resource.EventMachineUnavailable, text, tx.Now().Add(-askAgain).UnixMilli())
	if err != nil || asked {
		return err
	}
	return store.Audit(tx, store.AuditRecord{Category: resource.EventMachineUnavailable, SpaceID: space, Message: text})
}
