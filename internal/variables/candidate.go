package variables

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Rank says where a value comes from. Of two that are equally specific the
// lower rank wins (configuration.md 2.2).
type Rank uint8

// The ranks, strongest first.
const (
	Prompted      Rank = iota // typed in when the deployment was created, or set by its trigger
	Project                   // the project's own set
	TenantProject             // a tenant's value of one of the project's templates
	TenantCommon              // a tenant's value of a library set's template
	Library                   // a library variable set
)

func (r Rank) String() string {
	return [...]string{"prompted value", "project", "tenant's project value", "tenant's common value", "library variable set"}[r]
}

// Candidate is a variable with its origin.
type Candidate struct {
	*resource.Variable
	SetID string
	Rank  Rank
	// Order is the place of the set among those of its rank, as the project
	// declares them; the earlier one wins a tie.
	Order int
	// Tenant and Project restrict the value by where it is kept, in the way
	// Scope does by what it says.
	Tenant, Project string
	// Literal values are never expanded: answers to prompts (abuse 63).
	Literal bool
}

// SecretRef says where a sensitive value is kept.
type SecretRef struct{ SetID, VariableID string }

// SecretRef is the reference to a sensitive value; ok is false for other values.
func (c *Candidate) SecretRef() (ref SecretRef, ok bool) {
	if !c.Sensitive() {
		return SecretRef{}, false
	}
	return SecretRef{SetID: c.SetID, VariableID: c.ID}, true
}

// Context is what a value is resolved for. A dimension that is empty here does
// not exist in the context: nothing scoped to it applies (configuration.md
// 2.1).
type Context struct {
	Environment   string
	Machine       string
	MachineRoles  []string // of Machine
	StepRoles     []string // targeted by the step
	Action        string
	Channel       string
	Tenant        string
	TenantTags    []string
	ProcessOwners []string // the deployment's project, or the runbook
	Project       string
}

// Dimension is one way in which a value can be scoped.
type Dimension uint16

// The dimensions, most specific first (configuration.md 2.2). TargetRole is a
// role of the machine that the step targets, Role one that it does not.
const (
	Action Dimension = 1 << iota
	Machine
	TargetRole
	Role
	Tenant
	TenantTag
	Environment
	Channel
	ProcessOwner
	ProjectScope
	dimensionEnd
)

// weight is the published score of a dimension. Scores add, so that a tenant
// tag with an environment beats a tenant alone; for all others the sum compares
// as the order does.
func (d Dimension) weight() int {
	switch d {
	case Action:
		return 10_000_000
	case Machine:
		return 1_000_000
	case TargetRole:
		return 100_000
	case Role:
		return 10_000
	case Tenant:
		return 1001
	case TenantTag:
		return 1000
	case Environment:
		return 100
	case Channel:
		return 10
	case ProcessOwner:
		return 5
	case ProjectScope:
		return 1
	case dimensionEnd:
	}
	return 0
}

func (d Dimension) String() string {
	switch d {
	case Action:
		return "step"
	case Machine:
		return "machine"
	case TargetRole:
		return "target tag of the step"
	case Role:
		return "target tag of the machine"
	case Tenant:
		return "tenant"
	case TenantTag:
		return "tenant tag"
	case Environment:
		return "environment"
	case Channel:
		return "channel"
	case ProcessOwner:
		return "process"
	case ProjectScope:
		return "project"
	case dimensionEnd:
	}
	return "nothing"
}

// Specificity is the set of dimensions a value is scoped to, as they matched.
type Specificity uint16

// Score is the sum of the dimensions' weights.
func (s Specificity) Score() int {
	sum := 0
	for d := Action; d < dimensionEnd; d <<= 1 {
		if Dimension(s)&d != 0 {
			sum += d.weight()
		}
	}
	return sum
}

func (s Specificity) String() string {
	var names []string
	for d := Action; d < dimensionEnd; d <<= 1 {
		if Dimension(s)&d != 0 {
			names = append(names, d.String())
		}
	}
	if names == nil {
		return "unscoped"
	}
	return "scoped to " + strings.Join(names, " and ")
}

// Match says whether the value applies in the context and how specifically;
// when it does not, missed is the first dimension that rules it out.
func (c *Candidate) Match(ctx *Context) (s Specificity, missed Dimension, ok bool) {
	scope := &c.Scope
	for _, check := range [...]struct {
		dimension Dimension
		scoped    []string
		actual    string
	}{
		{Action, scope.Action, ctx.Action},
		{Machine, scope.Machine, ctx.Machine},
		{Environment, scope.Environment, ctx.Environment},
		{Channel, scope.Channel, ctx.Channel},
	} {
		if len(check.scoped) == 0 {
			continue
		}
		//guard:scope I10: a value is for the machines, steps and environments of its scope; seen by ./internal/variables TestWhatDoesNotApply
		if !contains(check.scoped, check.actual) {
			return 0, check.dimension, false
		}
		s |= Specificity(check.dimension)
	}
	if len(scope.Role) > 0 {
		level := ctx.role(scope.Role)
		if level == 0 {
			return 0, Role, false
		}
		s |= Specificity(level)
	}
	for _, check := range [...]struct {
		dimension Dimension
		scoped    []string
		actual    []string
	}{
		{TenantTag, scope.TenantTag, ctx.TenantTags},
		{ProcessOwner, scope.ProcessOwner, ctx.ProcessOwners},
	} {
		if len(check.scoped) == 0 {
			continue
		}
		if !overlap(check.scoped, check.actual) {
			return 0, check.dimension, false
		}
		s |= Specificity(check.dimension)
	}
	return c.matchKeeper(ctx, s)
}

// matchKeeper adds the dimensions that come from where the value is kept.
func (c *Candidate) matchKeeper(ctx *Context, s Specificity) (Specificity, Dimension, bool) {
	if c.Tenant != "" {
		if c.Tenant != ctx.Tenant {
			return 0, Tenant, false
		}
		s |= Specificity(Tenant)
	}
	if c.Project != "" {
		if c.Project != ctx.Project {
			return 0, ProjectScope, false
		}
		s |= Specificity(ProjectScope)
	}
	return s, 0, true
}

// role says how the scoped target tags match: a tag that the machine carries
// and the step targets is stronger than one the machine merely carries
// (configuration.md 2.2.6). Where there is no machine the step's tags stand for
// it.
func (ctx *Context) role(scoped []string) Dimension {
	if ctx.Machine == "" {
		if overlap(scoped, ctx.StepRoles) {
			return TargetRole
		}
		return 0
	}
	var level Dimension
	for _, role := range ctx.MachineRoles {
		if !contains(scoped, role) {
			continue
		}
		if contains(ctx.StepRoles, role) {
			return TargetRole
		}
		level = Role
	}
	return level
}

// contains compares as names are compared: without case.
func contains(list []string, want string) bool {
	if want == "" {
		return false
	}
	for _, have := range list {
		if strings.EqualFold(have, want) {
			return true
		}
	}
	return false
}

func overlap(a, b []string) bool {
	for _, item := range b {
		if contains(a, item) {
			return true
		}
	}
	return false
}
