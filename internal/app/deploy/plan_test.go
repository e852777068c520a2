package deploy_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/variables"
)

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// input is a deployment of the given steps to Environments-1 through
// Channels-1, as the store would hand it to the planner.
func input(list ...resource.Step) *deploy.PlanInput {
	id := func(s string) resource.Document { return resource.Document{ID: s, SpaceID: space} }
	for i := range list {
		list[i].ID = string(rune('a' + i))
		for j := range list[i].Actions {
			list[i].Actions[j].ID = list[i].Actions[j].Name
		}
	}
	return &deploy.PlanInput{
		Kind: rollout.Deploy, TaskID: "ServerTasks-1",
		Space: &resource.Space{Document: id(space), Name: "Default"}, Project: &resource.Project{Document: id("Projects-1"), Name: "Shop"},
		Group: &resource.ProjectGroup{Document: id("ProjectGroups-1"), Name: "All"}, Environment: &resource.Environment{Document: id("Environments-1"), Name: "Staging"},
		Channel: &resource.Channel{Document: id("Channels-1"), Name: "Default"}, Worker: &resource.Worker{},
		Release: &resource.Release{Document: id("Releases-1"), Version: "1.0.0", SelectedPackages: []resource.SelectedPackage{
			{ActionName: "Install", Version: "1.0.0", PackageID: "Shop.Web", FeedID: resource.BuiltInFeed, Sha256: digest, SizeBytes: 10, FileExtension: ".zip"},
		}},
		Deployment: &resource.Deployment{Document: id("Deployments-1"), Name: "Deploy to Staging"},
		Process:    &resource.DeploymentProcess{Document: id("deploymentprocess-Projects-1-s-1-ABCDE"), Steps: list},
		Variables:  []*resource.VariableSet{{ID: "variableset-Projects-1-s-1-ABCDE"}},
	}
}

func with(a resource.Action, edit func(*resource.Action)) resource.Action {
	a.Properties = maps.Clone(a.Properties)
	if a.Properties == nil {
		a.Properties = resource.Properties{}
	}
	edit(&a)
	return a
}

// TestSkipReasons: an action that does not run says why.
func TestSkipReasons(t *testing.T) {
	t.Parallel()
	run := bash("Run", "true")
	once := with(run, func(a *resource.Action) { a.Properties[steps.RunOnce] = resource.Text("true") })
	for name, c := range map[string]struct {
		action resource.Action
		edit   func(*deploy.PlanInput)
		roles  string
		want   string // "" for it runs
	}{
		"runs":                {action: run},
		"disabled":            {action: with(run, func(a *resource.Action) { a.IsDisabled = true }), want: "disabled"},
		"skipped by a person": {action: run, edit: func(in *deploy.PlanInput) { in.Deployment.SkipActions = []string{"Run"} }, want: "skipped"},
		"required, not skipped": {
			action: with(run, func(a *resource.Action) { a.IsRequired = true }),
			edit:   func(in *deploy.PlanInput) { in.Deployment.SkipActions = []string{"Run"} },
		},
		"for this environment":     {action: with(run, func(a *resource.Action) { a.Environments = []string{"Environments-1"} })},
		"for another environment":  {action: with(run, func(a *resource.Action) { a.Environments = []string{"Environments-2"} }), want: "Staging"},
		"not for this environment": {action: with(run, func(a *resource.Action) { a.ExcludedEnvironments = []string{"Environments-1"} }), want: "Staging"},
		"for this channel":         {action: with(run, func(a *resource.Action) { a.Channels = []string{"Channels-1"} })},
		"for another channel":      {action: with(run, func(a *resource.Action) { a.Channels = []string{"Channels-2"} }), want: "Default"},
		"for tenants":              {action: with(run, func(a *resource.Action) { a.TenantTags = []string{"Tier/Gold"} }), want: "tenants"},
		"catching up, on machines": {action: run, edit: func(in *deploy.PlanInput) { in.Kind = rollout.CatchUp }},
		"catching up, no machines": {action: run, roles: "-", edit: func(in *deploy.PlanInput) { in.Kind = rollout.CatchUp }, want: "has run"},
		"catching up, once":        {action: once, edit: func(in *deploy.PlanInput) { in.Kind = rollout.CatchUp }, want: "once per release"},
		"once, the first time":     {action: once},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := webStep("Step", c.action)
			if c.roles == "-" {
				step.Properties = resource.Properties{}
			}
			in := input(step)
			if c.edit != nil {
				c.edit(in)
			}
			plan, err := deploy.BuildPlan(in)
			check(t, err)
			got := plan.Steps[0].Actions[0]
			if (got.Skip == "") != (c.want == "") || !strings.Contains(got.Skip, c.want) {
				t.Errorf("skip %q, want %q", got.Skip, c.want)
			}
			if got.RunOnce && name != "once, the first time" {
				t.Error("the action runs once")
			}
		})
	}
}

// TestPlan freezes one process of every shape.
func TestPlan(t *testing.T) {
	t.Parallel()
	onServer := with(bash("Announce", "true"), func(a *resource.Action) { a.Properties[steps.RunOnServer] = resource.Text("True") })
	rolling := webStep("Roll out", bash("Out", "true"), install(), with(bash("Migrate", "true"), func(a *resource.Action) {
		a.Properties[steps.RunOnce] = resource.Text("True")
		a.Properties["Token"] = resource.Secret(resource.Sealed([]byte("box")))
	}))
	rolling.Properties[steps.MaxParallelism] = resource.Text("25%")
	in := input(resource.Step{Name: "Announce", Actions: []resource.Action{onServer}}, rolling)
	in.Deployment.SpecificMachineIDs = []string{"Machines-1"}
	in.Release.CustomFields = map[string]string{"Ticket": "T-1"}
	in.Previous = &resource.Release{Document: resource.Document{ID: "Releases-0"}, Version: "0.9.0"}
	in.Project.ProjectConnectivityPolicy.SkipMachineBehavior = resource.SkipUnavailable
	in.Variables = append(in.Variables, &resource.VariableSet{ID: "library"})
	in.Variables[0].Variables = []resource.Variable{{ID: "v1", Name: "Password", IsSensitive: true, Secret: resource.Sealed([]byte("box"))}, {ID: "v2", Name: "Empty", IsSensitive: true}, {Name: deploy.FailWithoutTargets, Value: " True "}}
	in.Variables[1].Variables = []resource.Variable{{ID: "v3", Name: "Shared", Value: "#{Shared}"}} // abuse 62: kept as it is, refused where it is expanded
	plan, err := deploy.BuildPlan(in)
	check(t, err)
	announce, roll := plan.Steps[0], plan.Steps[1]
	if announce.Number != 1 || announce.Actions[0].Number != "1" || !announce.Actions[0].OnServer || len(announce.Roles) != 0 {
		t.Errorf("first step: %+v", announce)
	}
	if roll.Window != (rollout.Window{Percent: 25}) || roll.Actions[0].Number != "2.1" || roll.Actions[2].Number != "2.3" || !roll.Actions[2].RunOnce || roll.Actions[0].OnServer {
		t.Errorf("second step: %+v", roll)
	}
	if secrets := roll.Actions[2].Secrets; secrets["Token"] != (rollout.SecretRef{Document: in.Process.ID, Field: "Actions/Migrate/Properties/Token"}) {
		t.Errorf("secrets: %+v", secrets)
	}
	if _, shown := roll.Actions[2].Properties["Token"]; shown {
		t.Error("the plan holds a secret")
	}
	want := rollout.Package{PackageID: "Shop.Web", Version: "1.0.0", SHA256: digest, Size: 10, Extension: ".zip", Extract: true}
	if pkg := roll.Actions[1].Packages; len(pkg) != 1 || pkg[0] != want || !roll.Actions[1].Receipt {
		t.Errorf("package: %+v", pkg)
	}
	if !plan.Limited() || !plan.SkipUnavailable || !plan.FailWithoutTargets {
		t.Errorf("plan: %+v", plan)
	}
	for name, value := range map[string]string{
		"Octopus.Release.Number": "1.0.0", "Octopus.Environment.Name": "Staging", "Octopus.Release.CustomFields[Ticket]": "T-1",
		"Octopus.Release.PreviousForEnvironment.Number": "0.9.0", "Octopus.Task.Id": "ServerTasks-1",
	} {
		if plan.BuiltIns[name] != value {
			t.Errorf("%s is %q, want %q", name, plan.BuiltIns[name], value)
		}
	}
	if v := plan.Variables; !v[0].Variable.Sensitive() || v[1].Variable.Sensitive() || v[0].Rank != variables.Project || v[3].Rank != variables.Library || v[3].Variable.Value != "#{Shared}" {
		t.Errorf("variables: %+v", v)
	}
	again, err := deploy.BuildPlan(in)
	check(t, err)
	if again.Hash() != plan.Hash() {
		t.Error("the same input gave another plan")
	}
}

func TestPlanRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  resource.Step
		edit  func(*deploy.PlanInput)
		parts []string
	}{
		"unknown action type": {step: webStep("Odd", resource.Action{Name: "Odd", ActionType: "Octopus.KubernetesDeployRawYaml"}), parts: []string{"Odd", "Octopus.KubernetesDeployRawYaml", "Octopus.Script"}},
		"bad window": {
			step: func() resource.Step {
				s := webStep("Roll", bash("Run", "true"))
				s.Properties[steps.MaxParallelism] = resource.Text("all of them")
				return s
			}(),
			parts: []string{"Roll", "all of them"},
		},
		"script without a body":    {step: webStep("Run", bash("Run", "")), parts: []string{"Run", steps.ScriptBody}},
		"package on the server":    {step: webStep("Install", with(install(), func(a *resource.Action) { a.Properties[steps.RunOnServer] = resource.Text("true") })), parts: []string{"Install", "server"}},
		"package without machines": {step: resource.Step{Name: "Install", Actions: []resource.Action{install()}}, parts: []string{"Install", steps.TargetRoles}},
		"no package":               {step: webStep("Install", with(install(), func(a *resource.Action) { a.Packages = nil })), parts: []string{"Install", "package"}},
		"package not chosen":       {step: webStep("Install", install()), edit: func(in *deploy.PlanInput) { in.Release.SelectedPackages = nil }, parts: []string{"1.0.0", "Shop.Web", "new release"}},
		"package without a digest": {step: webStep("Install", install()), edit: func(in *deploy.PlanInput) { in.Release.SelectedPackages[0].Sha256 = "" }, parts: []string{"Shop.Web"}},
		"another action's package": {step: webStep("Install", with(install(), func(a *resource.Action) { a.Name = "Renamed" })), parts: []string{"Shop.Web", "Renamed"}},
		"another reference chosen": {step: webStep("Install", install()), edit: func(in *deploy.PlanInput) { in.Release.SelectedPackages[0].PackageReferenceName = "tools" }, parts: []string{"Shop.Web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(c.step)
			if c.edit != nil {
				c.edit(in)
			}
			_, err := deploy.BuildPlan(in)
			refusedFor(t, err, resource.Invalid, c.parts...)
		})
	}
	skipped := with(resource.Action{Name: "Odd", ActionType: "Octopus.Unknown"}, func(a *resource.Action) { a.IsDisabled = true })
	if _, err := deploy.BuildPlan(input(webStep("Odd", skipped))); err != nil {
		t.Errorf("a disabled action of an unknown type stops the plan: %v", err)
	}
}
