package deploy

import (
	"strconv"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

// planAnswer is a plan as the wire has it: Slipway's own, in the form of the
// executions API.
type planAnswer struct {
	Project        named
	Release        named // its name is the version
	Environment    named
	PlanHash       string
	MachinesHash   string
	GuidedFailure  bool
	Steps          []planStep
	Variables      []planVariable
	ValuesHidden   bool
	Prompts        []formElement
	MachinesNotIn  []planLeftOut
	Problems       []string
	Warnings       []string
	CanBeQueuedNow bool
	Links          api.Links
}

type planStep struct {
	Number              int
	Name                string
	Condition           string
	ConditionExpression string `json:",omitempty"`
	Roles               []string
	Window              string // "2" or "25%"; "" is all machines at once
	MachinesAtOnce      int
	WindowExplained     string // how the window becomes MachinesAtOnce, with its rounding
	ZoneByZone          bool
	StartsWithPrevious  bool
	OnServer            bool
	Skipped             string `json:",omitempty"`
	Actions             []planAction
	Batches             [][]planMachine
	UnavailableMachines []planMachine
}

type planAction struct {
	ID                  string `json:"Id"`
	Name                string
	Number              string
	ActionType          string
	Condition           string
	ConditionExpression string `json:",omitempty"`
	OnServer            bool
	RunsOnce            bool
	Skipped             string `json:",omitempty"`
	Packages            []planPackage
	FileChanges         []planFile
}

type planPackage struct {
	PackageID string `json:"PackageId"`
	Version   string
	Sha256    string
	Size      int64
}

// planFile is what an action does to a file or to all that a glob finds.
type planFile struct{ Path, Change string }

type planMachine struct {
	ID           string `json:"Id"`
	Name         string
	HealthStatus string
}

type planLeftOut struct {
	ID     string `json:"Id"`
	Name   string
	Reason string
}

type planVariable struct {
	Name   string
	Values []planValue
}

type planValue struct {
	Value       string
	IsSensitive bool
	Source      string
	Scope       string
	Why         []string
	Where       []planPlace // none: everywhere
}

type planPlace struct {
	Action       string
	MachineNames []string
}

// secretMask stands for the value of a secret.
const secretMask = "********"

func (h *handler) planV1(c *api.Call, in createDeploymentV1) (*planAnswer, error) {
	wanted := in.deployment()
	if in.EnvironmentName != "" && len(wanted.Environments) == 0 {
		wanted.Environments = []string{in.EnvironmentName}
	}
	view, err := h.deploy.PlanDeployment(c.Context(), c.Caller, c.Space, wanted)
	if err != nil {
		return nil, err
	}
	answer := &planAnswer{
		Project:     named{view.Project.ID, view.Project.Name, api.LinksOf(view.Project)},
		Release:     named{view.Release.ID, view.Release.Version, api.LinksOf(view.Release)},
		Environment: named{view.Environment.ID, view.Environment.Name, api.LinksOf(view.Environment)},
		PlanHash:    view.Hash, MachinesHash: view.MachinesHash, GuidedFailure: view.Guided, ValuesHidden: view.ValuesHidden,
		Steps: []planStep{}, Variables: []planVariable{}, Prompts: formElements(view.Prompts), MachinesNotIn: []planLeftOut{},
		Problems: list(view.Problems), Warnings: list(view.Warnings), CanBeQueuedNow: len(view.Problems) == 0, Links: api.Links{"Self": c.Path()},
	}
	for i := range view.Steps {
		answer.Steps = append(answer.Steps, planStepOf(&view.Steps[i]))
	}
	for _, v := range view.Variables {
		answer.Variables = append(answer.Variables, planVariableOf(&v))
	}
	for _, m := range view.LeftOut {
		answer.MachinesNotIn = append(answer.MachinesNotIn, planLeftOut(m))
	}
	return answer, nil
}

func planStepOf(s *deploy.PlannedStep) planStep {
	step := planStep{
		Number: s.Number, Name: s.Name, Condition: string(s.Condition), ConditionExpression: s.Expression, Roles: list(s.Roles),
		MachinesAtOnce: s.AtOnce, WindowExplained: s.WindowSays, ZoneByZone: s.ZoneByZone, StartsWithPrevious: s.WithPrevious, OnServer: s.OnServer, Skipped: s.Skip,
		Actions: []planAction{}, Batches: [][]planMachine{}, UnavailableMachines: planMachines(s.Unavailable),
	}
	switch {
	case s.Window.Percent > 0:
		step.Window = strconv.Itoa(s.Window.Percent) + "%"
	case s.Window.Number > 0:
		step.Window = strconv.Itoa(s.Window.Number)
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		action := planAction{
			ID: a.ID, Name: a.Name, Number: a.Number, ActionType: a.Type, Condition: string(a.Condition), ConditionExpression: a.Expression,
			OnServer: a.OnServer, RunsOnce: a.RunOnce, Skipped: a.Skip, Packages: []planPackage{}, FileChanges: []planFile{},
		}
		for _, p := range a.Packages {
			action.Packages = append(action.Packages, planPackage{p.PackageID, p.Version, p.SHA256, p.Size})
		}
		for _, f := range a.Files {
			action.FileChanges = append(action.FileChanges, planFile(f))
		}
		step.Actions = append(step.Actions, action)
	}
	for _, batch := range s.Batches {
		step.Batches = append(step.Batches, planMachines(batch))
	}
	return step
}

func planMachines(machines []deploy.PlannedMachine) []planMachine {
	answer := make([]planMachine, 0, len(machines))
	for _, m := range machines {
		answer = append(answer, planMachine{m.ID, m.Name, m.Health})
	}
	return answer
}

func planVariableOf(v *deploy.PlannedVariable) planVariable {
	variable := planVariable{Name: v.Name, Values: []planValue{}}
	for i := range v.Values {
		from := &v.Values[i]
		value := planValue{
			Value: from.Value, IsSensitive: from.Sensitive, Source: from.Source, Scope: from.Scope, Why: list(from.Why), Where: []planPlace{},
		}
		if value.IsSensitive {
			value.Value = secretMask
		}
		for _, place := range from.Where {
			value.Where = append(value.Where, planPlace{place.Action, list(place.Machines)})
		}
		variable.Values = append(variable.Values, value)
	}
	return variable
}

// formElements are the prompts of a release as the wire has them
// (octopus-api.md 2.12).
func formElements(prompts []resource.Variable) []formElement {
	elements := make([]formElement, 0, len(prompts))
	for i := range prompts {
		v := &prompts[i]
		elements = append(elements, formElement{Name: v.ID, IsValueRequired: v.Prompt.Required, Control: formControl{
			Type: "VariableValue", Name: v.Name, Label: v.Prompt.Label, Description: v.Prompt.Description, Required: v.Prompt.Required, DisplaySettings: v.Prompt.DisplaySettings,
		}})
	}
	return elements
}
