package documents

import (
	"context"
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// SortEnvironments puts the environments of a space into the order of their
// ids; those that are not named come after, in their old order.
func (s *Service) SortEnvironments(ctx context.Context, by app.Caller, space string, ids []string) (out []resource.Doc, err error) {
	err = s.write(ctx, by, func(tx *store.Tx) error {
		list, _, err := store.List[resource.Environment](tx, store.Query{Space: space})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(list, func(e resource.Environment) bool { return e.ID == id }) {
				return resource.Errorf(resource.Invalid, "There is no environment '%s'. Please send ids of environments.", id)
			}
		}
		slices.SortStableFunc(list, func(a, b resource.Environment) int { return place(ids, a.ID) - place(ids, b.ID) })
		for i := range list {
			before := list[i]
			if before.SortOrder == i {
				continue
			}
			if err := mayDo(tx, by, authz.Edit, &before); err != nil {
				return err
			}
			list[i].SortOrder = i
			if err := store.Update(tx, &list[i]); err != nil {
				return fmt.Errorf("sort %s: %w", before.ID, err)
			}
			if err := audit(tx, modified, &before, &list[i]); err != nil {
				return err
			}
		}
		out, _, err = s.list(tx, by, resource.EnvironmentKind, space, Query{})
		return err
	})
	return out, err
}

func place(ids []string, id string) int {
	if i := slices.Index(ids, id); i >= 0 {
		return i
	}
	return len(ids)
}

// EnvironmentsSummary counts machines by environment (octopus-api.md 2.2).
type EnvironmentsSummary struct {
	MachineCounts
	EnvironmentSummaries []EnvironmentSummary
}

// EnvironmentSummary counts the machines of one environment.
type EnvironmentSummary struct {
	MachineCounts
	Environment *resource.Environment
}

// MachineCounts are machines by what they are like.
type MachineCounts struct {
	TotalMachines                int
	TotalDisabledMachines        int
	MachineHealthStatusSummaries map[string]int
	MachineEndpointSummaries     map[string]int
	MachineTenantSummaries       map[string]int
	MachineTenantTagSummaries    map[string]int
	MachineIDsForCalamariUpgrade []string `json:"MachineIdsForCalamariUpgrade"`
	MachineIDsForTentacleUpgrade []string `json:"MachineIdsForTentacleUpgrade"`
	TentacleUpgradesRequired     bool
}

func newCounts() MachineCounts {
	return MachineCounts{
		MachineHealthStatusSummaries: map[string]int{
			resource.Healthy: 0, resource.HealthUnavailable: 0, resource.HealthUnknown: 0, resource.HealthWarnings: 0, resource.Unhealthy: 0,
		},
		MachineEndpointSummaries: map[string]int{}, MachineTenantSummaries: map[string]int{}, MachineTenantTagSummaries: map[string]int{},
		MachineIDsForCalamariUpgrade: []string{}, MachineIDsForTentacleUpgrade: []string{},
	}
}

func (c *MachineCounts) add(m *resource.Machine) {
	c.TotalMachines++
	if m.IsDisabled {
		c.TotalDisabledMachines++
	}
	c.MachineHealthStatusSummaries[m.HealthStatus]++
	c.MachineEndpointSummaries[m.Endpoint.CommunicationStyle]++
	for _, id := range m.TenantIDs {
		c.MachineTenantSummaries[id]++
	}
	for _, tag := range m.TenantTags {
		c.MachineTenantTagSummaries[tag]++
	}
}

// SummarizeEnvironments counts the machines that match in the environments
// that match; hideEmpty leaves out those without any.
func (s *Service) SummarizeEnvironments(ctx context.Context, by app.Caller, space string, environments, machines Query, hideEmpty bool) (out EnvironmentsSummary, err error) {
	out = EnvironmentsSummary{MachineCounts: newCounts(), EnvironmentSummaries: []EnvironmentSummary{}}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, _, err := s.list(tx, by, resource.EnvironmentKind, space, environments)
		if err != nil {
			return err
		}
		all, _, err := s.list(tx, by, resource.MachineKind, space, machines)
		if err != nil {
			return err
		}
		for _, doc := range list {
			one := EnvironmentSummary{MachineCounts: newCounts(), Environment: to[resource.Environment](doc)}
			for _, m := range all {
				if machine := to[resource.Machine](m); slices.Contains(machine.EnvironmentIDs, one.Environment.ID) {
					one.add(machine)
				}
			}
			if one.TotalMachines > 0 || !hideEmpty {
				out.EnvironmentSummaries = append(out.EnvironmentSummaries, one)
			}
		}
		for _, m := range all {
			out.add(to[resource.Machine](m))
		}
		return nil
	})
	return out, err
}
