package deploy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/variables"
)

// PlanInput is everything a plan is made of; the planner reads nothing else,
// so the same input gives the same plan (P6, P7).
type PlanInput struct {
	Kind        rollout.Kind
	TaskID      string
	Space       *resource.Space
	Project     *resource.Project
	Group       *resource.ProjectGroup
	Environment *resource.Environment
	Channel     *resource.Channel
	Release     *resource.Release
	Previous    *resource.Release // the release the environment runs now; nil for the first
	Deployment  *resource.Deployment
	Process     *resource.DeploymentProcess // the release's snapshot
	Variables   []*resource.VariableSet     // the release's snapshots: the project's first, then library sets in order
	Worker      *resource.Worker
}

// BuildPlan freezes a deployment of the release.
func BuildPlan(in *PlanInput) (*rollout.Plan, error) {
	d := in.Deployment
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: in.Kind, Task: in.TaskID,
		Space:              rollout.Ref{ID: in.Space.ID, Name: in.Space.Name},
		Project:            rollout.Ref{ID: in.Project.ID, Name: in.Project.Name},
		Environment:        rollout.Ref{ID: in.Environment.ID, Name: in.Environment.Name},
		Release:            rollout.Ref{ID: in.Release.ID, Name: in.Release.Version},
		Deployment:         rollout.Ref{ID: d.ID, Name: d.Name},
		Channel:            rollout.Ref{ID: in.Channel.ID, Name: in.Channel.Name},
		Worker:             rollout.Ref{ID: in.Worker.ID, Name: in.Worker.Name},
		Specific:           d.SpecificMachineIDs,
		Excluded:           d.ExcludedMachineIDs,
		SkipUnavailable:    in.Project.ProjectConnectivityPolicy.SkipMachineBehavior == resource.SkipUnavailable,
		FailWithoutTargets: failsWithoutTargets(in),
		BuiltIns:           builtIns(in),
		Variables:          candidates(in),
		Guided:             in.Kind == rollout.Deploy && d.UseGuidedFailure,
	}
	if err := questions(in, plan); err != nil {
		return nil, err
	}
	for i := range in.Process.Steps {
		step, err := planStep(in, &in.Process.Steps[i], i+1)
		if err != nil {
			return nil, err
		}
		plan.Steps = append(plan.Steps, step)
	}
	return plan, nil
}

// FailWithoutTargets is the project variable that turns the warning about a
// step without machines into a failure.
const FailWithoutTargets = "Slipway.Deployment.FailWithoutTargets"

func failsWithoutTargets(in *PlanInput) bool {
	for _, set := range in.Variables {
		for i := range set.Variables {
			if v := &set.Variables[i]; strings.EqualFold(v.Name, FailWithoutTargets) {
				return strings.EqualFold(strings.TrimSpace(v.Value), "true")
			}
		}
	}
	return false
}

func candidates(in *PlanInput) []variables.Candidate {
	var list []variables.Candidate
	for n, set := range in.Variables {
		rank := variables.Library
		if n == 0 {
			rank = variables.Project
		}
		for i := range set.Variables {
			v := &set.Variables[i]
			if answer, given := prompted(in, v); given {
				list = append(list, answer)
			}
			list = append(list, variables.Candidate{Variable: valued(v), SetID: set.ID, Rank: rank, Order: n})
		}
	}
	return list
}

// valued is the variable, or, for a sensitive one that was never given a value,
// an empty text: there is no secret to open for it.
func valued(v *resource.Variable) *resource.Variable {
	if !v.Sensitive() || v.Secret.HasValue() {
		return v
	}
	empty := *v
	empty.IsSensitive, empty.Type, empty.Value = false, "String", ""
	return &empty
}

func planStep(in *PlanInput, s *resource.Step, number int) (rollout.Step, error) {
	window, err := rollout.ParseWindow(s.Properties.Get(steps.MaxParallelism))
	if err != nil {
		return rollout.Step{}, stepError(s.Name, err)
	}
	properties := texts(s.Properties)
	tolerate, err := rollout.ParseTolerance(properties[steps.FailurePolicy])
	if err != nil {
		return rollout.Step{}, stepError(s.Name, err)
	}
	limit, err := steps.Minutes(properties, steps.StepTimeLimit)
	if err != nil {
		return rollout.Step{}, stepError(s.Name, err)
	}
	step := rollout.Step{
		ID: s.ID, Name: s.Name, Number: number, Tolerate: tolerate, Limit: limit, Zonal: steps.Flag(properties, steps.ZoneByZone),
		WithPrevious: number > 1 && s.StartTrigger == resource.StartWithPrevious,
		Condition:    rollout.Condition(s.Condition),
		Expression:   s.Properties.Get(steps.ConditionExpression),
		Roles:        s.Roles(),
		Window:       window,
	}
	for i := range s.Actions {
		name := strconv.Itoa(number)
		if len(s.Actions) > 1 {
			name += "." + strconv.Itoa(i+1)
		}
		action, err := planAction(in, s, &s.Actions[i], name)
		if err != nil {
			return rollout.Step{}, err
		}
		if step.Window == (rollout.Window{}) {
			if step.Window, err = rollout.ParseWindow(s.Actions[i].Properties.Get(steps.MaxParallelism)); err != nil {
				return rollout.Step{}, stepError(s.Name, err)
			}
		}
		step.Actions = append(step.Actions, action)
	}
	return step, nil
}

func stepError(step string, err error) error {
	return resource.Errorf(resource.Invalid, "Step '%s' cannot be planned: %v.", step, err)
}

func planAction(in *PlanInput, s *resource.Step, a *resource.Action, number string) (rollout.Action, error) {
	kind, known := steps.Lookup(a.ActionType)
	action := rollout.Action{
		ID: a.ID, Name: a.Name, Number: number, Type: a.ActionType,
		Condition:  rollout.Condition(a.Condition),
		Expression: a.Properties.Get(steps.ActionExpression),
		Properties: map[string]string{}, Secrets: map[string]rollout.SecretRef{},
		Skip: skipReason(in, s, a),
	}
	for name, value := range a.Properties {
		if value.IsSensitive && value.Secret.HasValue() {
			action.Secrets[name] = rollout.SecretRef{Document: in.Process.ID, Field: "Actions/" + a.ID + "/Properties/" + name}
		} else {
			action.Properties[name] = value.Text
		}
	}
	if action.Skip != "" {
		return action, nil
	}
	if !known {
		return action, resource.Errorf(resource.Invalid, "Step '%s' has the action type '%s', which this version of Slipway does not run. It runs %s.", s.Name, a.ActionType, typeNames())
	}
	if err := kind.Validate(action.Properties); err != nil {
		return action, stepError(s.Name, err)
	}
	action.OnServer = steps.Flag(action.Properties, steps.RunOnServer)
	if action.OnServer && !kind.OnServer {
		return action, resource.Errorf(resource.Invalid, "Step '%s' cannot run on the server: '%s' runs on machines only.", s.Name, kind.Title)
	}
	if len(s.Roles()) == 0 && !kind.OnServer {
		return action, resource.Errorf(resource.Invalid, "Step '%s' needs target roles: '%s' runs on machines only. Set %s.", s.Name, kind.Title, steps.TargetRoles)
	}
	action.RunOnce = steps.Flag(action.Properties, steps.RunOnce)
	action.Receipt = kind.Receipt
	if err := planPolicies(kind, &action); err != nil {
		return action, stepError(s.Name, err)
	}
	var err error
	if action.Packages, err = planPackages(in, a); err != nil {
		return action, err
	}
	if kind.NeedsPackage && len(action.Packages) == 0 {
		return action, resource.Errorf(resource.Invalid, "Step '%s' names no package to deploy.", s.Name)
	}
	return action, nil
}

func typeNames() string {
	var names []string
	for _, t := range steps.All() {
		names = append(names, t.Name)
	}
	return strings.Join(names, " and ")
}

// skipReason says why an action takes no part in this deployment; "" when it
// does.
func skipReason(in *PlanInput, s *resource.Step, a *resource.Action) string {
	env := in.Environment.ID
	switch {
	case a.IsDisabled:
		return "it is disabled"
	case slices.Contains(in.Deployment.SkipActions, a.ID):
		if a.IsRequired {
			return ""
		}
		return "it was skipped when the deployment was created"
	case len(a.Environments) > 0 && !slices.Contains(a.Environments, env), slices.Contains(a.ExcludedEnvironments, env):
		return "it does not run in " + in.Environment.Name
	case len(a.Channels) > 0 && !slices.Contains(a.Channels, in.Channel.ID):
		return "it does not run for channel " + in.Channel.Name
	case len(a.TenantTags) > 0:
		return "it runs only for tenants"
	case in.Kind == rollout.CatchUp && len(s.Roles()) == 0:
		return "it does not run on machines, and has run"
	case in.Kind == rollout.CatchUp && asks(a.ActionType):
		return "it asks people, who have answered"
	case in.Kind == rollout.CatchUp && steps.Flag(texts(a.Properties), steps.RunOnce):
		return "it runs once per release, and has run"
	}
	return ""
}

func texts(p resource.Properties) map[string]string {
	plain := make(map[string]string, len(p))
	for name, value := range p {
		plain[name] = value.Text
	}
	return plain
}

// planPackages pins the action's packages to the bytes the release chose.
func planPackages(in *PlanInput, a *resource.Action) ([]rollout.Package, error) {
	var list []rollout.Package
	for i := range a.Packages {
		ref := &a.Packages[i]
		at := slices.IndexFunc(in.Release.SelectedPackages, func(p resource.SelectedPackage) bool {
			return p.ActionName == a.Name && strings.EqualFold(p.PackageReferenceName, ref.Name)
		})
		if at < 0 || in.Release.SelectedPackages[at].Sha256 == "" {
			return nil, resource.Errorf(resource.Invalid, "Release %s has no version of package '%s' for step '%s'. Create a new release.", in.Release.Version, ref.PackageID, a.Name)
		}
		chosen := &in.Release.SelectedPackages[at]
		list = append(list, rollout.Package{
			Name: ref.Name, PackageID: chosen.PackageID, Version: chosen.Version, SHA256: chosen.Sha256, Size: chosen.SizeBytes,
			Extension: chosen.FileExtension, Extract: ref.Name == "" || strings.EqualFold(ref.Properties["Extract"], "true"),
		})
	}
	slices.SortStableFunc(list, func(a, b rollout.Package) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// builtIns are the variables of configuration.md 2.6 that are the same for
// every machine and action.
func builtIns(in *PlanInput) map[string]string {
	d := in.Deployment
	vars := map[string]string{
		"Octopus.Release.Id":                    in.Release.ID,
		"Octopus.Release.Number":                in.Release.Version,
		"Octopus.Release.Notes":                 in.Release.ReleaseNotes,
		"Octopus.Release.Created":               in.Release.Assembled.String(),
		"Octopus.Release.Channel.Name":          in.Channel.Name,
		"Octopus.Deployment.Id":                 d.ID,
		"Octopus.Deployment.Name":               d.Name,
		"Octopus.Deployment.Comments":           d.Comments,
		"Octopus.Deployment.Created":            d.Created.String(),
		"Octopus.Deployment.CreatedBy.Id":       d.DeployedByID,
		"Octopus.Deployment.CreatedBy.Username": d.DeployedBy,
		"Octopus.Deployment.SpecificMachines":   strings.Join(d.SpecificMachineIDs, ","),
		"Octopus.Deployment.ExcludedMachines":   strings.Join(d.ExcludedMachineIDs, ","),
		"Octopus.Environment.Id":                in.Environment.ID,
		"Octopus.Environment.Name":              in.Environment.Name,
		"Octopus.Environment.SortOrder":         strconv.Itoa(in.Environment.SortOrder),
		"Octopus.Project.Id":                    in.Project.ID,
		"Octopus.Project.Name":                  in.Project.Name,
		"Octopus.ProjectGroup.Id":               in.Group.ID,
		"Octopus.ProjectGroup.Name":             in.Group.Name,
		"Octopus.Space.Id":                      in.Space.ID,
		"Octopus.Space.Name":                    in.Space.Name,
		"Octopus.Task.Id":                       in.TaskID,
		"Octopus.Task.Name":                     string(in.Kind),
	}
	for name, value := range in.Release.CustomFields {
		vars[fmt.Sprintf("Octopus.Release.CustomFields[%s]", name)] = value
	}
	if in.Previous != nil {
		vars["Octopus.Release.CurrentForEnvironment.Id"] = in.Previous.ID
		vars["Octopus.Release.CurrentForEnvironment.Number"] = in.Previous.Version
		vars["Octopus.Release.PreviousForEnvironment.Id"] = in.Previous.ID
		vars["Octopus.Release.PreviousForEnvironment.Number"] = in.Previous.Version
	}
	return vars
}
