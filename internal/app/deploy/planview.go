package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// PlanView is a deployment as it would be queued now: what is approved before
// it runs (P7).
type PlanView struct {
	Project     *resource.Project
	Release     *resource.Release
	Environment *resource.Environment
	// Hash is the approval hash: what `--plan-hash` compares.
	Hash string
	// MachinesHash is over machines and batches. They are an estimate: machines
	// come and go, and a change does not stop a deployment (design 5.1).
	MachinesHash string
	Guided       bool
	Steps        []PlannedStep
	Variables    []PlannedVariable
	// ValuesHidden says that the caller may not see values of variables here.
	ValuesHidden bool
	Prompts      []resource.Variable
	LeftOut      []LeftOut
	// Problems are why it cannot be queued as it is, Warnings what somebody
	// should look at first.
	Problems, Warnings []string
}

// PlannedStep is one step with the machines that it would work on now.
type PlannedStep struct {
	Number       int
	Name         string
	Condition    rollout.Condition
	Expression   string
	Roles        []string
	Window       rollout.Window
	AtOnce       int    // machines at once, as the window says for so many
	WindowSays   string // how the window becomes AtOnce; "" is all at once
	ZoneByZone   bool   // one zone ends before the next begins
	WithPrevious bool
	OnServer     bool // on the server's worker, once, rather than on machines
	Skip         string
	Actions      []PlannedAction
	// Batches are the machines in the order of their turn. A window moves on with
	// each machine that is done, so a batch says who begins together at the
	// earliest.
	Batches     [][]PlannedMachine
	Unavailable []PlannedMachine
}

// PlannedAction is one action of a step.
type PlannedAction struct {
	ID, Name, Number, Type string
	Condition              rollout.Condition
	Expression             string
	OnServer, RunOnce      bool
	Skip                   string
	Packages               []rollout.Package
	Files                  []steps.FileChange
}

// PlannedMachine is a machine of a batch.
type PlannedMachine struct{ ID, Name, Health string }

// LeftOut is a machine of the environment that the deployment would not touch.
type LeftOut struct{ ID, Name, Reason string }

// PlanDeployment plans the deployment and throws it away. What would refuse the
// deployment is listed; only what cannot be planned at all is an error.
func (s *Service) PlanDeployment(ctx context.Context, who app.Caller, space string, in NewDeployment) (view *PlanView, err error) {
	if len(in.Environments) != 1 {
		return nil, resource.Errorf(resource.Invalid, "Please name the one environment to plan for.")
	}
	if in.UpdateVariables {
		return nil, resource.Errorf(resource.Invalid, "Give the release its present variables first, then plan: a plan changes nothing.")
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, err := namedProject(tx, who, space, in.Project, authz.ReleaseView)
		if err != nil {
			return err
		}
		release, err := findRelease(tx, project, in.Release)
		if err != nil {
			return err
		}
		env, err := findEnvironment(tx, space, in.Environments[0])
		if err != nil {
			return err
		}
		d, err := deploymentOf(tx, project, release, env, in)
		if err != nil {
			return err
		}
		view, err = planView(tx, who, project, release, env, d)
		return err
	})
	return view, err
}

func planView(tx *store.Tx, who app.Caller, project *resource.Project, release *resource.Release, env *resource.Environment, d *resource.Deployment) (*PlanView, error) {
	d.Name = "Deploy to " + env.Name
	d.ReleaseID, d.EnvironmentID, d.ProjectID, d.ChannelID = release.ID, env.ID, project.ID, release.ChannelID
	in, err := planInput(tx, rollout.Deploy, project, release, env, d)
	if err != nil {
		return nil, err
	}
	hideAnswers(in)
	plan, err := BuildPlan(in)
	if err != nil {
		return nil, err
	}
	view := &PlanView{Project: project, Release: release, Environment: env, Hash: plan.Approval(), Guided: plan.Guided}
	machines, _, err := store.List[resource.Machine](tx, store.Query{Space: project.SpaceID, Where: map[string][]string{"EnvironmentIds": {env.ID}}})
	if err != nil {
		return nil, err
	}
	members := view.members(plan, machines)
	for i := range plan.Steps {
		view.Steps = append(view.Steps, plannedStep(&plan.Steps[i], members, machines))
	}
	view.MachinesHash = view.digest()
	scope := scopeOf(project.SpaceID, project)
	scope.Environment = env.ID
	view.ValuesHidden = !authz.Can(who.Subject, authz.VariableView, scope)
	if view.Variables, view.Warnings, err = plannedVariables(tx, plan, in, members, view.ValuesHidden); err != nil {
		return nil, err
	}
	view.problems(tx, in, plan)
	return view, nil
}

// members are the machines in the plan's scope, in the order in which a rollout
// would look at them. The others are noted with the reason.
func (v *PlanView) members(p *rollout.Plan, machines []resource.Machine) []rollout.Member {
	var list []rollout.Member
	roles := p.Roles()
	for i := range machines {
		m := &machines[i]
		reason := ""
		switch {
		case m.IsDisabled:
			reason = "it is disabled"
		case slices.Contains(p.Excluded, m.ID):
			reason = "it is excluded from this deployment"
		case len(p.Specific) > 0 && !slices.Contains(p.Specific, m.ID):
			reason = "the deployment is for other machines only"
		case !sharesRole(roles, m.Roles):
			reason = "no step has one of its roles"
		}
		if reason != "" {
			v.LeftOut = append(v.LeftOut, LeftOut{m.ID, m.Name, reason})
			continue
		}
		list = append(list, rollout.Member{ID: m.ID, Name: m.Name, Roles: m.Roles, Zone: rollout.ZoneOf(m.Roles), Ord: int64(len(list) + 1), State: rollout.MemberLive})
	}
	slices.SortStableFunc(list, func(a, b rollout.Member) int { return strings.Compare(a.Zone, b.Zone) })
	return list
}

func plannedStep(spec *rollout.Step, members []rollout.Member, machines []resource.Machine) PlannedStep {
	step := PlannedStep{
		Number: spec.Number, Name: spec.Name, Condition: spec.Condition, Expression: spec.Expression, Roles: spec.Roles,
		Window: spec.Window, ZoneByZone: spec.Zonal, WithPrevious: spec.WithPrevious, OnServer: len(spec.Roles) == 0,
	}
	skipped := 0
	for i := range spec.Actions {
		a := &spec.Actions[i]
		action := PlannedAction{
			ID: a.ID, Name: a.Name, Number: a.Number, Type: a.Type, Condition: a.Condition, Expression: a.Expression,
			OnServer: a.OnServer, RunOnce: a.RunOnce, Skip: a.Skip, Packages: a.Packages,
		}
		if a.Skip == "" {
			action.Files = steps.FileChanges(a.Properties)
		} else {
			skipped++
			step.Skip = a.Skip
		}
		step.Actions = append(step.Actions, action)
	}
	if skipped < len(spec.Actions) {
		step.Skip = ""
		step.place(spec, members, machines)
	}
	return step
}

// place cuts the step's machines into batches.
func (s *PlannedStep) place(spec *rollout.Step, members []rollout.Member, machines []resource.Machine) {
	health := make(map[string]string, len(machines))
	for i := range machines {
		health[machines[i].ID] = machines[i].HealthStatus
	}
	var inScope []PlannedMachine
	zones := map[string][]PlannedMachine{}
	for i := range members {
		m := &members[i]
		if !spec.Covers(m) {
			continue
		}
		planned := PlannedMachine{m.ID, m.Name, health[m.ID]}
		inScope = append(inScope, planned)
		zones[m.Zone] = append(zones[m.Zone], planned)
		if planned.Health == resource.HealthUnavailable {
			s.Unavailable = append(s.Unavailable, planned)
		}
	}
	if len(inScope) == 0 {
		return
	}
	s.AtOnce, s.WindowSays = min(spec.Window.Size(len(inScope)), len(inScope)), spec.Window.Says(len(inScope))
	if !s.ZoneByZone {
		zones = map[string][]PlannedMachine{"": inScope}
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		s.Batches = slices.AppendSeq(s.Batches, slices.Chunk(zones[zone], s.AtOnce))
	}
}

// digest is the hash of steps, batches and machines, by id.
func (v *PlanView) digest() string {
	text, err := json.Marshal(struct {
		Steps   []PlannedStep
		LeftOut []LeftOut
	}{v.Steps, v.LeftOut})
	if err != nil {
		panic("deploy: a plan always marshals: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// problems lists what would refuse the deployment if it were queued now, and
// what would make it do less than its process says.
func (v *PlanView) problems(tx *store.Tx, in *PlanInput, plan *rollout.Plan) {
	refuse := func(err error) {
		if err != nil {
			v.Problems = append(v.Problems, err.Error())
		}
	}
	if in.Project.IsDisabled {
		refuse(resource.Errorf(resource.Invalid, "Project '%s' is disabled. Enable it to deploy.", in.Project.Name))
	}
	refuse(checkLifecycle(tx, in.Project, in.Release, in.Environment))
	refuse(checkMachines(tx, in.Environment, in.Deployment))
	refuse(checkWorker(plan))
	for _, set := range in.Variables {
		for i := range set.Variables {
			if set.Variables[i].Prompt != nil {
				v.Prompts = append(v.Prompts, set.Variables[i])
			}
		}
	}
	refuse(unanswered(in))
	for i := range v.Steps {
		step := &v.Steps[i]
		if step.Skip == "" && !step.OnServer && len(step.Batches) == 0 {
			v.Warnings = append(v.Warnings, fmt.Sprintf("Step %d '%s' finds no machine: none in %s has one of its roles.", step.Number, step.Name, in.Environment.Name))
		}
	}
}

// unanswered is checkPrompts for a deployment that has no task yet.
func unanswered(in *PlanInput) error {
	asked := *in
	asked.TaskID = "planned"
	return checkPrompts(&asked)
}
