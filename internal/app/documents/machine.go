package documents

import (
	"context"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func (s *Service) machineRules() rules {
	return rules{
		creating: as(func(tx *store.Tx, m *resource.Machine) error { return newNode(tx, &m.Node) }),
		created: as(func(tx *store.Tx, m *resource.Machine) error {
			if err := store.Owe(tx, m.ID, m.EnvironmentIDs, "it was registered"); err != nil || m.SkipInitialHealthCheck {
				return err
			}
			return s.checkHealth(tx, m)
		}),
		updating: asChange(func(tx *store.Tx, old, m *resource.Machine) error { return keepFacts(tx, &old.Node, &m.Node) }),
		updated: asChange(func(tx *store.Tx, old, m *resource.Machine) error {
			if err := oweChanged(tx, old, m); err != nil {
				return err
			}
			if err := store.MachineChanged(tx, m.ID, slices.Concat(old.EnvironmentIDs, m.EnvironmentIDs)); err != nil {
				return err
			}
			moved := old.Endpoint.CommunicationStyle != m.Endpoint.CommunicationStyle || old.Endpoint.URI != m.Endpoint.URI
			if moved || old.Thumbprint != m.Thumbprint || old.IsDisabled && !m.IsDisabled {
				return s.checkHealth(tx, m)
			}
			return nil
		}),
		deleting: as(func(tx *store.Tx, m *resource.Machine) error {
			return store.ForgetMachine(tx, m.ID, "deleted by "+tx.Actor().Username)
		}),
	}
}

// oweChanged owes a machine the releases of its environments when another
// agent answers under its name, when it is enabled again, and when its roles or
// environments have changed. What it was proved to run is not repeated.
func oweChanged(tx *store.Tx, old, m *resource.Machine) error {
	switch {
	case old.Thumbprint != m.Thumbprint:
		return store.MachineReplaced(tx, m.ID, m.EnvironmentIDs, "its agent was replaced")
	case !sameSet(old.Roles, m.Roles):
		return store.MachineReplaced(tx, m.ID, m.EnvironmentIDs, "its roles have changed")
	case old.IsDisabled && !m.IsDisabled, !sameSet(old.EnvironmentIDs, m.EnvironmentIDs):
		return store.Owe(tx, m.ID, m.EnvironmentIDs, "it came back to its environments")
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func workerRules() rules {
	return rules{
		creating: as(func(tx *store.Tx, w *resource.Worker) error { return newNode(tx, &w.Node) }),
		updating: asChange(func(tx *store.Tx, old, w *resource.Worker) error { return keepFacts(tx, &old.Node, &w.Node) }),
	}
}

// newNode clears what only agents and clouds report, and puts a machine
// without a policy under the default one.
func newNode(tx *store.Tx, n *resource.Node) error {
	setFacts(n, &resource.Node{})
	if n.MachinePolicyID != "" {
		return nil
	}
	policy, err := defaultPolicy(tx, n.SpaceID)
	n.MachinePolicyID = policy
	return err
}

// keepFacts keeps what only agents and clouds report. Another thumbprint is
// another agent: the old key is no longer trusted.
func keepFacts(tx *store.Tx, old, n *resource.Node) error {
	setFacts(n, old)
	now := n.Endpoint.Thumbprint
	if now == "" {
		now = n.Thumbprint
	}
	if now != old.Thumbprint {
		n.KeySha256 = ""
	}
	if n.MachinePolicyID == "" {
		policy, err := defaultPolicy(tx, n.SpaceID)
		n.MachinePolicyID = policy
		return err
	}
	return nil
}

func setFacts(n, from *resource.Node) {
	n.HealthStatus, n.HealthCheckedOn, n.StatusSummary = from.HealthStatus, from.HealthCheckedOn, from.StatusSummary
	n.HasLatestCalamari, n.IsInProcess = from.HasLatestCalamari, from.IsInProcess
	n.OperatingSystem, n.ShellName, n.ShellVersion = from.OperatingSystem, from.ShellName, from.ShellVersion
	n.Architecture, n.AgentVersion = from.Architecture, from.AgentVersion
	n.KeySha256, n.CloudInstance = from.KeySha256, from.CloudInstance
}

func (s *Service) checkHealth(tx *store.Tx, m *resource.Machine) error {
	if s.cfg.CheckHealth == nil || m.IsDisabled || !m.Endpoint.Reachable() {
		return nil
	}
	return s.cfg.CheckHealth(tx, m)
}

// Roles are the target tags in use in a space, sorted.
func (s *Service) Roles(ctx context.Context, by app.Caller, space string) ([]string, error) {
	return s.distinct(ctx, by, resource.MachineKind, space, func(doc resource.Doc) []string { return to[resource.Machine](doc).Roles })
}

// OperatingSystems and shells are those that the machines of a space reported.
func (s *Service) OperatingSystems(ctx context.Context, by app.Caller, k *resource.Kind, space string) ([]string, error) {
	return s.distinct(ctx, by, k, space, func(doc resource.Doc) []string { return []string{nodeOf(doc).OperatingSystem} })
}

// Shells are those that the machines of a space reported.
func (s *Service) Shells(ctx context.Context, by app.Caller, k *resource.Kind, space string) ([]string, error) {
	return s.distinct(ctx, by, k, space, func(doc resource.Doc) []string { return []string{nodeOf(doc).ShellName} })
}

func nodeOf(doc resource.Doc) *resource.Node {
	if w, ok := doc.(*resource.Worker); ok {
		return &w.Node
	}
	return &to[resource.Machine](doc).Node
}

func (s *Service) distinct(ctx context.Context, by app.Caller, k *resource.Kind, space string, of func(resource.Doc) []string) ([]string, error) {
	docs, _, err := s.List(ctx, by, k, space, Query{})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, doc := range docs {
		all = append(all, of(doc)...)
	}
	return sortedSet(all), nil
}
