package rollout_test

import (
	"encoding/json"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/variables"
)

// approved is a plan with everything that an approval could trip over.
func approved() *rollout.Plan {
	return &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Deploy, Task: "ServerTasks-7", Deployment: rollout.Ref{ID: "Deployments-7", Name: "Deploy to Test"},
		Worker: rollout.Ref{ID: "Workers-1"}, Environment: rollout.Ref{ID: "Environments-1", Name: "Test"}, Specific: []string{"Machines-2", "Machines-1"},
		BuiltIns: map[string]string{
			"Octopus.Task.Id": "ServerTasks-7", "Octopus.Deployment.Created": "now", "Octopus.Deployment.Id": "Deployments-7",
			"Octopus.Deployment.SpecificMachines": "Machines-2,Machines-1", "Octopus.Deployment.Comments": "why", "Octopus.Release.Number": "1.0",
		},
		Variables: []variables.Candidate{
			{Variable: &resource.Variable{ID: "v1", Name: "Who", Value: "me"}, SetID: "Deployments-7", Rank: variables.Prompted, Literal: true},
			{Variable: &resource.Variable{ID: "v2", Name: "Port", Value: "80"}, SetID: "set-1", Rank: variables.Project},
		},
		Steps: []rollout.Step{{ID: "s1", Name: "Install", Roles: []string{"web"}, Actions: []rollout.Action{{ID: "a1", Packages: []rollout.Package{{SHA256: "00"}}}}}},
	}
}

func TestApprovalNamesThePlanAndNotTheRun(t *testing.T) {
	t.Parallel()
	want := approved().Approval()
	for name, change := range map[string]func(*rollout.Plan){
		"another task": func(p *rollout.Plan) { p.Task = "ServerTasks-8"; p.BuiltIns["Octopus.Task.Id"] = "ServerTasks-8" },
		"another deployment": func(p *rollout.Plan) {
			p.Deployment.ID = ""
			p.BuiltIns["Octopus.Deployment.Id"] = ""
			p.Variables[0].SetID = ""
		},
		"another time":   func(p *rollout.Plan) { p.BuiltIns["Octopus.Deployment.Created"] = "then" },
		"another order":  func(p *rollout.Plan) { p.Specific[0], p.Specific[1] = p.Specific[1], p.Specific[0] },
		"another worker": func(p *rollout.Plan) { p.Worker.ID = "Workers-2" },
	} {
		p := approved()
		change(p)
		if got := p.Approval(); got != want {
			t.Errorf("%s changes the approval", name)
		}
	}
	for name, change := range map[string]func(*rollout.Plan){
		"rules":          func(p *rollout.Plan) { p.Rules++ },
		"release":        func(p *rollout.Plan) { p.BuiltIns["Octopus.Release.Number"] = "1.1" },
		"comment":        func(p *rollout.Plan) { p.BuiltIns["Octopus.Deployment.Comments"] = "" },
		"scope":          func(p *rollout.Plan) { p.Specific = p.Specific[:1] },
		"answer":         func(p *rollout.Plan) { p.Variables[0].Value = "you" },
		"variable set":   func(p *rollout.Plan) { p.Variables[1].SetID = "set-2" },
		"package digest": func(p *rollout.Plan) { p.Steps[0].Actions[0].Packages[0].SHA256 = "01" },
		"run once":       func(p *rollout.Plan) { p.Steps[0].Actions[0].RunOnce = true },
		"policy":         func(p *rollout.Plan) { p.SkipUnavailable = true },
		"environment":    func(p *rollout.Plan) { p.Environment.ID = "Environments-2" },
		"tenant":         func(p *rollout.Plan) { p.Tenant.ID = "Tenants-1" },
	} {
		p := approved()
		change(p)
		if p.Approval() == want {
			t.Errorf("another %s keeps the approval", name)
		}
	}
}

// The stored plan has the hash that was approved.
func TestApprovalOutlivesTheStore(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(approved())
	if err != nil {
		t.Fatal(err)
	}
	var stored rollout.Plan
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	before := approved().Hash()
	if stored.Approval() != approved().Approval() || approved().Hash() != before || stored.Hash() != before {
		t.Error("reading a plan, or approving it, changed it")
	}
}
