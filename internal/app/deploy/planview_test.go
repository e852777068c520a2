package deploy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

func (r *rig) planned(in deploy.NewDeployment) *deploy.PlanView {
	r.t.Helper()
	if in.Project == "" {
		in.Project = r.project.Name
	}
	if in.Environments == nil {
		in.Environments = []string{"Staging"}
	}
	view, err := r.PlanDeployment(r.t.Context(), r.who, space, in)
	check(r.t, err)
	return view
}

// batchesOf writes batches as "a b | c".
func batchesOf(step deploy.PlannedStep) string {
	var batches []string
	for _, batch := range step.Batches {
		var names []string
		for _, m := range batch {
			names = append(names, m.Name)
		}
		batches = append(batches, strings.Join(names, " "))
	}
	return strings.Join(batches, " | ")
}

// P7: the plan shows who comes when, and what each machine gets and why.
func TestPlanShowsBatchesValuesAndFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	step := webStep("Install", install())
	step.Properties[steps.MaxParallelism] = resource.Text("2")
	step.Actions[0].Properties = resource.Properties{
		steps.EnabledFeatures: resource.Text("Octopus.Features.SubstituteInFiles,Octopus.Features.JsonConfigurationVariables"),
		steps.SubstituteFiles: resource.Text("*.ini\nconf/*.txt"),
		steps.StructuredFiles: resource.Text("appsettings.json"),
		steps.CustomDirectory: resource.Text("/srv/shop"),
	}
	r.process(step)
	db := r.machine("db-1", r.staging, "db")
	for i := range 5 {
		m := r.machine(fmt.Sprintf("web-%d", i+1), r.staging, "web")
		if i == 4 {
			m.IsDisabled = true
			r.write(func(tx *store.Tx) error { return store.Update(tx, m) })
		}
		if i == 1 {
			r.variables(
				resource.Variable{Name: "Port", Value: "80"},
				resource.Variable{Name: "port", Value: "8080", Scope: resource.VariableScope{Machine: []string{m.ID}}},
				resource.Variable{Name: "Key", IsSensitive: true, Type: "Sensitive", Secret: resource.Plain("canary-secret")},
				resource.Variable{Name: "Elsewhere", Value: "1", Scope: resource.VariableScope{Environment: []string{r.production.ID}}},
			)
		}
	}
	r.release("1.0.0")
	view := r.planned(deploy.NewDeployment{Release: "1.0.0"})
	if got := batchesOf(view.Steps[0]); got != "web-1 web-2 | web-3 web-4" || view.Steps[0].AtOnce != 2 {
		t.Errorf("batches %q, at once %d", got, view.Steps[0].AtOnce)
	}
	left := fmt.Sprint(view.LeftOut)
	if !strings.Contains(left, db.ID+" db-1 no step has one of its roles") || !strings.Contains(left, "web-5 it is disabled") || len(view.LeftOut) != 2 {
		t.Errorf("left out: %s", left)
	}
	if got := fmt.Sprint(view.Steps[0].Actions[0].Files); got != "[{*.ini variables are substituted} {conf/*.txt variables are substituted} "+
		"{appsettings.json structured values are replaced} {/srv/shop the package is copied over it}]" {
		t.Errorf("files: %s", got)
	}
	var lines []string
	for _, v := range view.Variables {
		for _, value := range v.Values {
			lines = append(lines, fmt.Sprintf("%s=%s %v %s %v %v", v.Name, value.Value, value.Sensitive, value.Scope, value.Why, value.Where))
		}
	}
	want := `Key= true unscoped [] []
Port=80 false unscoped [] [{1 Install [web-1 web-3 web-4]}]
Port=8080 false scoped to machine [it is more specific: another, from project Shop, is unscoped] [{1 Install [web-2]}]`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("variables:\n%s\nwant\n%s", got, want)
	}
	if text, err := json.Marshal(view); err != nil || strings.Contains(string(text), "canary-secret") { // abuse 74
		t.Errorf("the plan shows a secret, %v", err)
	}
	if len(view.Problems) != 0 || len(view.Hash) != 64 {
		t.Errorf("problems %v, hash %q", view.Problems, view.Hash)
	}
}

// A plan says what would refuse the deployment instead of refusing itself.
func TestPlanListsProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.variables(resource.Variable{Name: "Who", Prompt: &resource.VariablePrompt{Required: true}})
	r.release("1.0.0")
	view := r.planned(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Production"}})
	if got := strings.Join(view.Problems, "\n"); !strings.Contains(got, "'Staging' first") || !strings.Contains(got, "'Who'") {
		t.Errorf("problems: %s", got)
	}
	if len(view.Warnings) != 1 || !strings.Contains(view.Warnings[0], "finds no machine") {
		t.Errorf("warnings: %v", view.Warnings)
	}
	for name, in := range map[string]deploy.NewDeployment{
		"two environments": {Release: "1.0.0", Environments: []string{"Staging", "Production"}},
		"no release":       {Release: "9.9", Environments: []string{"Staging"}},
		"new variables":    {Release: "1.0.0", Environments: []string{"Staging"}, UpdateVariables: true},
	} {
		in.Project = r.project.Name
		_, err := r.PlanDeployment(t.Context(), r.who, space, in)
		if resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// abuse 36: what was approved is what runs, or nothing does.
func TestApprovedPlanIsTheOneThatIsQueued(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("web-1", r.staging, "web")
	r.variables(
		resource.Variable{Name: "Port", Value: "80"},
		resource.Variable{Name: "Who", Prompt: &resource.VariablePrompt{}},
		resource.Variable{Name: "Pin", IsSensitive: true, Type: "Sensitive", Prompt: &resource.VariablePrompt{}},
	)
	release := r.release("1.0.0")
	in := deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"Who": "me", "Pin": "1234"}}
	first := r.planned(in)
	r.machine("web-2", r.staging, "web") // machines come and go
	again := r.planned(in)
	if again.Hash != first.Hash || again.MachinesHash == first.MachinesHash {
		t.Errorf("hash %s then %s, machines %s then %s", first.Hash, again.Hash, first.MachinesHash, again.MachinesHash)
	}
	for name, changed := range map[string]deploy.NewDeployment{
		"another answer":  {Variables: map[string]string{"Who": "you", "Pin": "1234"}},
		"another scope":   {Variables: in.Variables, SpecificMachines: []string{"web-1"}},
		"a step less":     {Variables: in.Variables, SkipSteps: []string{"Install"}},
		"people asked":    {Variables: in.Variables, UseGuidedFailure: new(true)},
		"another comment": {Variables: in.Variables, Comments: "quick"},
	} {
		changed.Release, changed.Environments, changed.PlanHash = "1.0.0", in.Environments, first.Hash
		_, err := r.deploy(changed)
		refusedFor(t, err, resource.Conflict, "not the one that was approved", first.Hash[:12])
		if t.Failed() {
			t.Fatal(name)
		}
	}
	in.PlanHash = strings.ToUpper(first.Hash)
	made, err := r.deploy(in)
	check(t, err)
	if made[0].PlanHash != first.Hash {
		t.Errorf("the deployment keeps hash %q", made[0].PlanHash)
	}
	if got := r.plan(made[0].TaskID).Approval(); got != first.Hash {
		t.Errorf("the queued plan has hash %s, approved was %s", got, first.Hash)
	}
	r.variables(resource.Variable{Name: "Port", Value: "8080"})
	_, err = r.SnapshotVariables(t.Context(), r.who, space, release.ID)
	check(t, err)
	in.Variables = nil
	_, err = r.deploy(in)
	refusedFor(t, err, resource.Conflict)
	in.Environments = []string{"Staging", "Production"}
	_, err = r.deploy(in)
	refusedFor(t, err, resource.Invalid, "one environment")
	if _, total, _, _, err := r.Tasks(t.Context(), r.who, store.TaskQuery{}); err != nil || total != 1 {
		t.Errorf("%d tasks after refusals, %v", total, err)
	}
}

// Who may plan but not see variables gets the plan without their values.
func TestPlanHidesValuesFromWhoMayNotSeeThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("web-1", r.staging, "web")
	r.variables(resource.Variable{Name: "Port", Value: "80"})
	r.release("1.0.0")
	r.who = app.Caller{Subject: authz.Subject{UserID: "Users-9", Grants: []authz.Grant{{
		Space: space, Permissions: authz.SetOf(authz.ProjectView, authz.ReleaseView),
		Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Any(), Tenants: authz.Any(),
	}}}}
	view := r.planned(deploy.NewDeployment{Release: "1.0.0"})
	if !view.ValuesHidden || len(view.Variables) != 1 || view.Variables[0].Values[0].Value != "" || view.Variables[0].Values[0].Scope != "unscoped" {
		t.Errorf("%v %+v", view.ValuesHidden, view.Variables)
	}
}
