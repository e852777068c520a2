package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/variables"
)

// PlannedVariable is one variable with every value that a machine or an action
// of the plan gets.
type PlannedVariable struct {
	Name   string
	Values []PlannedValue
}

// PlannedValue is a value and why it won. It is a template as it was written:
// machines evaluate it.
type PlannedValue struct {
	Value     string // "" for a secret, and where values are hidden
	Sensitive bool
	Source    string // the set that it is from
	Scope     string // how specifically it applies
	// Why names, for each of the others that apply as well, the rule by which it
	// lost.
	Why []string
	// Where are the actions, and in them the machines, that get this value; none
	// where all of them do.
	Where []ValuePlace
}

// ValuePlace is where a value applies.
type ValuePlace struct {
	Action   string   // number and name
	Machines []string // names; none: on the server
}

// valueReader resolves every variable for every action on every machine. What
// cannot make a difference is resolved once: its cost grows with the contexts
// that differ, not with machines times actions.
type valueReader struct {
	plan     *rollout.Plan
	resolver *variables.Resolver
	sources  map[string]string // by set
	hidden   bool
	matters  scoped
	contexts map[string]*valueContext
	order    []*valueContext
}

// valueContext is what several places have in common: one result.
type valueContext struct {
	result variables.Result
	places []ValuePlace
}

func plannedVariables(tx *store.Tx, p *rollout.Plan, in *PlanInput, members []rollout.Member, hidden bool) ([]PlannedVariable, []string, error) {
	r := &valueReader{
		plan: p, resolver: variables.NewResolver(p.Variables), hidden: hidden,
		matters: scopedIn(p.Variables), contexts: map[string]*valueContext{},
	}
	var err error
	if r.sources, err = sourcesOf(tx, in); err != nil {
		return nil, nil, err
	}
	for i := range p.Steps {
		step := &p.Steps[i]
		for j := range step.Actions {
			action := &step.Actions[j]
			if action.Skip != "" {
				continue
			}
			if len(step.Roles) == 0 {
				r.read(step, action, nil)
			}
			for k := range members {
				if step.Covers(&members[k]) {
					r.read(step, action, &members[k])
				}
			}
		}
	}
	list, warnings := r.list()
	return list, warnings, nil
}

// sourcesOf names the sets that variables come from.
func sourcesOf(tx *store.Tx, in *PlanInput) (map[string]string, error) {
	sources := map[string]string{in.Deployment.ID: "answer to a prompt"}
	for n, set := range in.Variables {
		if n == 0 {
			sources[set.ID] = "project " + in.Project.Name
			continue
		}
		library, err := store.Get[resource.LibraryVariableSet](tx, set.OwnerID)
		switch {
		case resource.CodeOf(err) == resource.NotFound: // deleted since the release was made
			sources[set.ID] = "library variable set " + set.OwnerID
		case err != nil:
			return nil, err
		default:
			sources[set.ID] = "library variable set " + library.Name
		}
	}
	return sources, nil
}

// scoped are the actions, machines and roles that any variable is scoped to,
// folded.
type scoped struct{ actions, machines, roles map[string]bool }

func scopedIn(candidates []variables.Candidate) scoped {
	s := scoped{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for i := range candidates {
		scope := &candidates[i].Scope
		for _, part := range []struct {
			into map[string]bool
			from []string
		}{{s.actions, scope.Action}, {s.machines, scope.Machine}, {s.roles, scope.Role}} {
			for _, key := range part.from {
				part.into[strings.ToLower(key)] = true
			}
		}
	}
	return s
}

// key is the same for all places that get the same values.
func (s *scoped) key(step *rollout.Step, action *rollout.Action, m *rollout.Member) string {
	var key strings.Builder
	add := func(known map[string]bool, list ...string) {
		folded := make([]string, 0, len(list))
		for _, item := range list {
			if item = strings.ToLower(item); known[item] {
				folded = append(folded, item)
			}
		}
		slices.Sort(folded)
		fmt.Fprintf(&key, "%q", folded)
	}
	add(s.actions, action.ID)
	add(s.roles, step.Roles...)
	if m != nil {
		add(s.machines, m.ID)
		add(s.roles, m.Roles...)
	}
	return key.String()
}

func (r *valueReader) read(step *rollout.Step, action *rollout.Action, m *rollout.Member) {
	key := r.matters.key(step, action, m)
	found := r.contexts[key]
	if found == nil {
		ctx := variables.Context{
			Environment: r.plan.Environment.ID, Channel: r.plan.Channel.ID, Tenant: r.plan.Tenant.ID, Project: r.plan.Project.ID,
			ProcessOwners: []string{r.plan.Project.ID}, StepRoles: step.Roles, Action: action.ID,
		}
		if m != nil {
			ctx.Machine, ctx.MachineRoles = m.ID, m.Roles
		}
		found = &valueContext{result: r.resolver.Resolve(ctx)}
		r.contexts[key] = found
		r.order = append(r.order, found)
	}
	place := action.Number + " " + action.Name
	if n := len(found.places); n == 0 || found.places[n-1].Action != place {
		found.places = append(found.places, ValuePlace{Action: place})
	}
	if m != nil {
		last := &found.places[len(found.places)-1]
		last.Machines = append(last.Machines, m.Name)
	}
}

// list puts the contexts' choices together by name, in order of the names.
func (r *valueReader) list() (list []PlannedVariable, warnings []string) {
	type chosen struct {
		value    PlannedValue
		contexts int
	}
	values := map[string]map[*variables.Candidate]*chosen{}
	order := map[string][]*chosen{}
	names := map[string]string{}
	for _, c := range r.order {
		for i := range c.result.Choices {
			choice := &c.result.Choices[i]
			key := strings.ToLower(choice.Name)
			if values[key] == nil {
				values[key], names[key] = map[*variables.Candidate]*chosen{}, choice.Name
			}
			v := values[key][choice.Candidate]
			if v == nil {
				v = &chosen{value: r.valueOf(choice)}
				values[key][choice.Candidate] = v
				order[key] = append(order[key], v)
			}
			v.contexts++
			v.value.Where = append(v.value.Where, c.places...)
		}
		for _, w := range c.result.Warnings {
			if text := w.String(); !slices.Contains(warnings, text) {
				warnings = append(warnings, text)
			}
		}
	}
	for key, all := range order {
		planned := PlannedVariable{Name: names[key]}
		for _, v := range all {
			if v.contexts == len(r.order) {
				v.value.Where = nil
			}
			planned.Values = append(planned.Values, v.value)
		}
		list = append(list, planned)
	}
	slices.SortFunc(list, func(a, b PlannedVariable) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return list, warnings
}

func (r *valueReader) valueOf(c *variables.Choice) PlannedValue {
	v := PlannedValue{Sensitive: c.Sensitive(), Source: r.sources[c.SetID], Scope: c.Specificity.String()}
	if !v.Sensitive && !r.hidden {
		v.Value = c.Value
	}
	for _, loser := range c.Losers {
		v.Why = append(v.Why, fmt.Sprintf("it %s: another, from %s, is %s", loser.Rule, r.sources[loser.SetID], loser.Specificity))
	}
	return v
}
