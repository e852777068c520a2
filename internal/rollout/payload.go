package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/variables"
)

// SecretRef points at a sealed value: a field of a stored document. Where the
// document is a rollout's output variable, Document is empty and Field is the
// output's number.
type SecretRef struct{ Document, Field string }

// Payload is what an attempt is sent, with references in the place of secrets:
// a pure function of the plan, the member's facts at the join and the first
// Attempt.Outputs output variables (design 5.7).
type Payload struct {
	ActionType string
	Variables  []PayloadVariable // by name
	Packages   []Package
	// Exclusive asks the agent for its own lock, behind the server's slot.
	Exclusive bool
}

// PayloadVariable is one variable of a payload.
type PayloadVariable struct {
	Name   string
	Value  string     `json:",omitempty"`
	Secret *SecretRef `json:",omitempty"`
	// Literal values are never expanded: what scripts have set (abuse 63).
	Literal bool `json:",omitempty"`
}

// Hash is the SHA-256 of the payload as referenced, lower-case hex. The
// attempt's row keeps it, so a node that renders other bytes notices.
func (p *Payload) Hash() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("rollout: a payload always marshals: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Render builds the attempt's payload. outputs may hold more than the attempt
// sees; the first a.Outputs count.
func Render(p *Plan, m *Member, a *Attempt, outputs []Output) *Payload {
	step := &p.Steps[a.Cell.Step]
	action := &step.Actions[a.Cell.Action]
	bag := variableBag{}
	bag.addPlan(p, step, action, m)
	bag.addOutputs(p, m, outputs[:min(a.Outputs, len(outputs))])
	bag.addBuiltIns(step, action, m, a)
	return &Payload{
		ActionType: action.Type,
		Variables:  bag.sorted(),
		Packages:   action.Packages,
		Exclusive:  a.Executor == m.ID && !m.Worker,
	}
}

// variableBag collects variables under their case-insensitive names; later
// ones win.
type variableBag map[string]PayloadVariable

func (b variableBag) put(name, value string) {
	b[strings.ToLower(name)] = PayloadVariable{Name: name, Value: value}
}

// literal puts a value that is never expanded.
func (b variableBag) literal(name, value string) {
	b[strings.ToLower(name)] = PayloadVariable{Name: name, Value: value, Literal: true}
}

func (b variableBag) secret(name string, ref SecretRef) {
	b[strings.ToLower(name)] = PayloadVariable{Name: name, Secret: &ref}
}

func (b variableBag) sorted() []PayloadVariable {
	list := make([]PayloadVariable, 0, len(b))
	//guard:same-payload I15: the same rows give the same payload; less `slices.Sorted(maps.Keys(b))`, with `slices.Collect(maps.Keys(b))`; seen by ./internal/rollout TestTheSameHistoryGivesTheSameState
	for _, key := range slices.Sorted(maps.Keys(b)) {
		list = append(list, b[key])
	}
	return list
}

// addPlan puts the variables that win for the action on the machine, and the
// built-ins that are the same everywhere. action is nil for a step's condition.
func (b variableBag) addPlan(p *Plan, step *Step, action *Action, m *Member) {
	b.addResolved(p, step, action, m)
	for name, value := range p.BuiltIns {
		b.put(name, value)
	}
}

// addResolved puts the variables that win. A machine's own values count where
// the step runs on or for that machine (configuration.md 2.2).
func (b variableBag) addResolved(p *Plan, step *Step, action *Action, m *Member) {
	ctx := variables.Context{
		Environment: p.Environment.ID, Channel: p.Channel.ID, Tenant: p.Tenant.ID, Project: p.Project.ID,
		ProcessOwners: []string{p.Project.ID}, StepRoles: step.Roles,
	}
	if m.ID != "" && !m.Worker {
		ctx.Machine, ctx.MachineRoles = m.ID, m.Roles
	}
	if action != nil {
		ctx.Action = action.ID
	}
	for _, c := range p.resolver().Resolve(ctx).Choices {
		if ref, secret := c.SecretRef(); secret {
			field := "Variables/" + ref.VariableID
			if c.Rank == variables.Prompted { // the deployment keeps what was typed in
				field = "FormValues/" + ref.VariableID
			}
			b[strings.ToLower(c.Name)] = PayloadVariable{Name: c.Name, Secret: &SecretRef{Document: ref.SetID, Field: field}, Literal: c.Literal}
			continue
		}
		b[strings.ToLower(c.Name)] = PayloadVariable{Name: c.Name, Value: c.Value, Literal: c.Literal}
	}
}

func (b variableBag) addBuiltIns(step *Step, action *Action, m *Member, a *Attempt) {
	for name, value := range m.Facts {
		b.put(name, value)
	}
	b.put("Octopus.Machine.Id", m.ID)
	b.put("Octopus.Machine.Name", m.Name)
	b.put("Octopus.Machine.Roles", strings.Join(m.Roles, ","))
	b.put("Octopus.Step.Id", step.ID)
	b.put("Octopus.Step.Name", step.Name)
	b.put("Octopus.Step.Number", strconv.Itoa(step.Number))
	b.put("Octopus.Action.Id", action.ID)
	b.put("Octopus.Action.Name", action.Name)
	b.put("Octopus.Action.Number", action.Number)
	b.put(steps.TargetRoles, strings.Join(step.Roles, ","))
	b.put("Slipway.Attempt.Id", a.ID)
	b.put("Slipway.Attempt.Number", strconv.Itoa(a.Try))
	for name, value := range action.Properties {
		b.put(name, value)
	}
	for name, ref := range action.Secrets {
		b.secret(name, ref)
	}
	for _, pkg := range action.Packages {
		prefix := "Octopus.Action.Package."
		if pkg.Name != "" {
			prefix = "Octopus.Action.Package[" + pkg.Name + "]."
		}
		b.put(prefix+"PackageId", pkg.PackageID)
		b.put(prefix+"PackageVersion", pkg.Version)
	}
}

// addOutputs puts the output variables under their names of configuration.md
// 2.4: by machine, and without it the member's own or else the latest.
func (b variableBag) addOutputs(p *Plan, m *Member, outputs []Output) {
	own := map[string]bool{}
	for i := range outputs {
		out := &outputs[i]
		step := &p.Steps[out.Step]
		names := []string{step.Name}
		if action := step.Actions[out.Action].Name; action != step.Name {
			names = append(names, action)
		}
		for _, name := range names {
			b.output(fmt.Sprintf("Octopus.Action[%s].Output[%s].%s", name, out.MemberName, out.Name), out)
			plain := fmt.Sprintf("Octopus.Action[%s].Output.%s", name, out.Name)
			if mine := out.Member == m.ID; mine || !own[plain] {
				own[plain] = own[plain] || mine
				b.output(plain, out)
			}
		}
	}
}

func (b variableBag) output(name string, out *Output) {
	v := PayloadVariable{Name: name, Value: out.Value, Literal: true}
	if out.Secret {
		v.Secret = &SecretRef{Field: strconv.Itoa(out.N)}
	}
	b[strings.ToLower(name)] = v
}
