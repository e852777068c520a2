package engine

import (
	"errors"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// lookAtChanged posts the machines that have come into a rollout's scope since
// it began, and those that have left it, for the turn that follows in the same
// transaction (faults 35, 36). A machine joins once its agent is connected: one
// that is not would only be waited for.
func lookAtChanged(tx *store.Tx, id string) error {
	machines, err := store.ChangedMachines(tx, id)
	if err != nil || len(machines) == 0 {
		return err
	}
	plan, err := store.LoadPlan(tx, id)
	if err != nil || plan.Kind != rollout.Deploy || plan.Limited() {
		return err
	}
	for _, machine := range machines {
		err = errors.Join(err, lookAt(tx, plan, machine))
	}
	return err
}

func lookAt(tx *store.Tx, plan *rollout.Plan, id string) error {
	m, err := store.GetIn[resource.Machine](tx, plan.Space.ID, id)
	if resource.CodeOf(err) == resource.NotFound {
		return nil // deleted, which is told by itself
	}
	if err != nil {
		return err
	}
	known, err := store.MemberOf(tx, plan.Task, id)
	if err != nil {
		return err
	}
	inScope := takesPart(plan, m) && slices.Contains(m.EnvironmentIDs, plan.Environment.ID)
	now := tx.Now()
	switch {
	case known == nil && inScope:
		session, err := store.GetSession(tx, id)
		if err != nil || session == nil || session.State != store.SessionConnected {
			return err
		}
		policy, err := policyOf(tx, map[string]*resource.MachinePolicy{}, m.MachinePolicyID)
		if err != nil {
			return err
		}
		joining := member(m, policy, 0)
		return store.Post(tx, plan.Task, "joined/"+id, rollout.Event{At: now.UnixMilli(), Kind: rollout.Joined, Join: &joining}, nil)
	case known != nil && known.State == rollout.MemberLive && !inScope:
		return store.Post(tx, plan.Task, "gone/"+id, rollout.Event{At: now.UnixMilli(), Kind: rollout.Gone, Member: id, By: whyOutside(plan, m)}, nil)
	}
	return nil
}

// whyOutside says why a machine is no longer in the rollout's scope.
func whyOutside(plan *rollout.Plan, m *resource.Machine) string {
	switch {
	case m.IsDisabled:
		return "it was disabled"
	case !slices.Contains(m.EnvironmentIDs, plan.Environment.ID):
		return "it was moved out of " + plan.Environment.Name
	}
	return "its target tags have changed"
}
