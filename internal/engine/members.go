package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Members are the machines in the plan's scope as they are now: enabled, in
// the environment, with a role of some step, named by neither limit of the
// plan, and the worker where a step runs on it.
func Members(tx *store.Tx, p *rollout.Plan) ([]rollout.Member, error) {
	query := store.Query{Space: p.Space.ID, Where: map[string][]string{}}
	if p.Environment.ID != "" {
		query.Where["EnvironmentIds"] = []string{p.Environment.ID}
	}
	if len(p.Specific) > 0 {
		query.IDs = p.Specific
	}
	machines, _, err := store.List[resource.Machine](tx, query)
	if err != nil {
		return nil, fmt.Errorf("list machines of %s: %w", p.Task, err)
	}
	began, err := store.Began(tx)
	if err != nil {
		return nil, err
	}
	policies := map[string]*resource.MachinePolicy{}
	var members []rollout.Member
	for i := range machines {
		m := &machines[i]
		if !takesPart(p, m) {
			continue
		}
		policy, err := policyOf(tx, policies, m.MachinePolicyID)
		if err != nil {
			return nil, err
		}
		session, err := store.GetSession(tx, m.ID)
		if err != nil {
			return nil, err
		}
		members = append(members, member(m, policy, silence(session, began, tx.Now())))
	}
	// By zone, else as they are listed: steps that go zone by zone follow it.
	slices.SortStableFunc(members, func(a, b rollout.Member) int { return strings.Compare(a.Zone, b.Zone) })
	if p.NeedsWorker() && p.Kind == rollout.Deploy {
		// Without a worker there are steps left that only ask people.
		members = append(members, rollout.Member{ID: cmp.Or(p.Worker.ID, "Workers-0"), Name: cmp.Or(p.Worker.Name, "the server"), Worker: true})
	}
	return members, nil
}

func takesPart(p *rollout.Plan, m *resource.Machine) bool {
	if m.IsDisabled || slices.Contains(p.Excluded, m.ID) {
		return false
	}
	if p.Kind == rollout.Script {
		return true
	}
	return slices.ContainsFunc(p.Roles(), func(role string) bool {
		return slices.ContainsFunc(m.Roles, func(has string) bool { return strings.EqualFold(role, has) })
	})
}

func policyOf(tx *store.Tx, seen map[string]*resource.MachinePolicy, id string) (*resource.MachinePolicy, error) {
	if policy := seen[id]; policy != nil {
		return policy, nil
	}
	policy, err := store.Get[resource.MachinePolicy](tx, id)
	if err != nil {
		return nil, fmt.Errorf("read machine policy %s: %w", id, err)
	}
	seen[id] = policy
	return policy, nil
}

// silence is for how long the machine has been silent already. Time in which no
// server ran to hear it does not count (P2).
func silence(session *store.Session, began int64, now time.Time) time.Duration {
	if session == nil || session.State == store.SessionConnected {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(max(session.LostAt, began))))
}

func member(m *resource.Machine, policy *resource.MachinePolicy, silent time.Duration) rollout.Member {
	// How long a machine may stay silent: the policy's deadline for the way its
	// link is made (octopus-api.md 2.16).
	patience := policy.ConnectionConnectTimeout.Duration()
	if m.Endpoint.Polling() {
		patience = policy.PollingRequestQueueTimeout.Duration()
	}
	// A machine that has been silent already has used that much of it up.
	patience = min(patience, max(patience-silent, stillSilent))
	return rollout.Member{
		ID: m.ID, Name: m.Name, Roles: m.Roles, Zone: rollout.ZoneOf(m.Roles),
		Patience: max(patience, time.Second).Milliseconds(),
		Facts: map[string]string{
			"Octopus.Machine.Hostname": hostname(m.URI),
		},
	}
}

// stillSilent is how long a machine that is lost since long ago is given to come
// back.
const stillSilent = 5 * time.Second

// hostname is the host in "https://host:10933/"; "" for polling machines.
func hostname(uri string) string {
	_, rest, found := strings.Cut(uri, "://")
	if !found || strings.HasPrefix(uri, "poll:") {
		return ""
	}
	host, _, _ := strings.Cut(strings.TrimSuffix(rest, "/"), ":")
	return host
}
