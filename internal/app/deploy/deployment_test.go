package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// TestDeployThroughPhases is the way of a release: first where the lifecycle
// lets it, then on.
func TestDeployThroughPhases(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := r.release("1.0.0")
	_, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Production"}})
	refusedFor(t, err, resource.Invalid, "'Production' yet", "'Staging' first")
	_, err = r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging", "Production"}})
	refusedFor(t, err, resource.Invalid, "'Production' yet")
	if tasks, total, _, _, err := r.Tasks(t.Context(), r.who, store.TaskQuery{}); err != nil || total != 0 {
		t.Errorf("a refused request left tasks: %v, %v", tasks, err) // all or none
	}
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"staging"}, Comments: "first"})
	check(t, err)
	if d := made[0]; d.Name != "Deploy to Staging" || d.DeployedBy != "admin" || d.Comments != "first" || d.ChannelID != release.ChannelID || d.Created.IsZero() {
		t.Errorf("deployment: %+v", d)
	}
	task, err := r.Task(t.Context(), r.who, space, made[0].TaskID)
	check(t, err)
	if task.State != store.TaskQueued || task.Name != "Deploy" || task.Arguments["DeploymentId"] != made[0].ID {
		t.Errorf("task: %+v", task)
	}
	r.succeed(&made[0])
	progress, err := r.ReleaseProgression(t.Context(), r.who, space, release.ID)
	check(t, err)
	if len(progress.Next) != 2 || !progress.Phases[0].Done || progress.Phases[1].Blocked {
		t.Errorf("progress: %+v", progress)
	}
	_, err = r.deploy(deploy.NewDeployment{Release: release.ID, Environments: []string{r.production.ID}})
	check(t, err)
	err = r.DeleteDeployment(t.Context(), r.who, space, made[0].ID)
	check(t, err)
}

func TestDeployRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.release("1.0.0")
	web, other := r.machine("web-1", r.staging, "web"), r.machine("prod-1", r.production, "web")
	for name, c := range map[string]struct {
		in    deploy.NewDeployment
		parts []string
	}{
		"no environment":              {deploy.NewDeployment{Release: "1.0.0"}, []string{"environment"}}, // abuse 33
		"unknown project":             {deploy.NewDeployment{Project: "Nobody", Release: "1.0.0", Environments: []string{"Staging"}}, []string{"Nobody"}},
		"unknown release":             {deploy.NewDeployment{Release: "9.9.9", Environments: []string{"Staging"}}, []string{"9.9.9", "Shop"}},
		"unknown environment":         {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Moon"}}, []string{"Moon"}},
		"unknown specific machine":    {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, SpecificMachines: []string{"web-9"}}, []string{"web-9"}},
		"unknown excluded machine":    {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, ExcludedMachines: []string{"web-9"}}, []string{"web-9"}},
		"machine named twice":         {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, SpecificMachines: []string{"web-1", web.ID}}, []string{"web-1", "twice"}},
		"machine excluded twice":      {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, ExcludedMachines: []string{"web-1", "WEB-1"}}, []string{"web-1", "twice"}},
		"specific and excluded":       {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, SpecificMachines: []string{"web-1"}, ExcludedMachines: []string{"web-1"}}, []string{"web-1", "both"}},
		"specific, other environment": {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, SpecificMachines: []string{other.ID}}, []string{"prod-1", "Staging"}},
		"excluded, other environment": {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, ExcludedMachines: []string{other.ID}}, []string{"prod-1", "Staging"}},
		"unknown step to skip":        {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, SkipSteps: []string{"Dance"}}, []string{"Dance"}},
		"unknown prompt":              {deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"Why": "not"}}, []string{"Why"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.deploy(c.in)
			refusedFor(t, err, resource.Invalid, c.parts...)
		})
	}
	r.project.IsDisabled = true
	r.write(func(tx *store.Tx) error { return store.Update(tx, r.project) })
	_, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	refusedFor(t, err, resource.Invalid, "disabled")
	for _, d := range []*resource.Deployment{
		{ReleaseID: "Releases-404", EnvironmentID: r.staging.ID},
		{ReleaseID: "Releases-1", EnvironmentID: "Environments-404"},
		{ReleaseID: "Releases-1", EnvironmentID: r.staging.ID, TenantID: "Tenants-1"},
	} {
		refusedFor(t, r.CreateDeployment(t.Context(), r.who, space, d, nil), resource.Invalid)
	}
}

// TestDeployScope: who may deploy to one environment may not deploy to the
// next (abuse 32).
func TestDeployScope(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.release("1.0.0")
	role, _ := authz.BuiltInRole("userroles-projectdeployer")
	who := app.Caller{Subject: authz.Subject{UserID: "Users-2", Username: "deployer", Grants: []authz.Grant{{
		Space: space, Permissions: authz.Granted(role, false),
		Projects: authz.Any(), ProjectGroups: authz.Any(), Tenants: authz.Any(), Environments: authz.Only(r.staging.ID),
	}}}}
	made, err := r.CreateDeployments(t.Context(), who, space, deploy.NewDeployment{Project: "Shop", Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	r.succeed(&made[0])
	_, err = r.CreateDeployments(t.Context(), who, space, deploy.NewDeployment{Project: "Shop", Release: "1.0.0", Environments: []string{"Production"}})
	refusedFor(t, err, resource.Forbidden, "DeploymentCreate")
}

func TestDeployPrompts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ask := &resource.VariablePrompt{Label: "Ticket", Required: true}
	r.variables(resource.Variable{Name: "Ticket", Prompt: ask}, resource.Variable{Name: "Note", Prompt: &resource.VariablePrompt{}, Value: "none"})
	release := r.release("1.0.0")
	_, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	refusedFor(t, err, resource.Invalid, "Ticket")
	_, err = r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"ticket": "  "}})
	refusedFor(t, err, resource.Invalid, "Ticket")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"ticket": "T-1 #{Password}"}})
	check(t, err)
	plan := r.plan(made[0].TaskID)
	if len(plan.Variables) != 3 || plan.Variables[0].Variable.Value != "T-1 #{Password}" || !plan.Variables[0].Literal { // abuse 63
		t.Errorf("variables of the plan: %+v", plan.Variables)
	}
	view, err := r.PreviewDeployment(t.Context(), r.who, space, release.ID, "Staging", false)
	check(t, err)
	if len(view.Prompts) != 2 || len(view.Steps) != 1 {
		t.Errorf("preview: %+v", view)
	}
}

// plan is the frozen plan of a task.
func (r *rig) plan(task string) *rollout.Plan {
	r.t.Helper()
	var plan *rollout.Plan
	check(r.t, r.db.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		plan, err = store.LoadPlan(tx, task)
		return err
	}))
	return plan
}

// TestDeployFreezesThePlan: what a later edit changes, a queued deployment does
// not see (abuse 36).
func TestDeployFreezesThePlan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.variables(resource.Variable{Name: "Colour", Value: "red"})
	r.release("1.0.0")
	late := resource.TimeOf(time.Now().Add(time.Hour))
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, RunAt: late, SkipSteps: []string{"install"}})
	check(t, err)
	before := r.plan(made[0].TaskID).Hash()
	r.process(webStep("Other", bash("Other", "true")))
	r.variables(resource.Variable{Name: "Colour", Value: "blue"})
	r.staging.Name = "Renamed"
	r.write(func(tx *store.Tx) error { return store.Update(tx, r.staging) })
	plan := r.plan(made[0].TaskID)
	if plan.Hash() != before || plan.Environment.Name != "Staging" || plan.Variables[0].Variable.Value != "red" {
		t.Errorf("the plan changed: %+v", plan)
	}
	if skip := plan.Steps[0].Actions[0].Skip; !strings.Contains(skip, "skipped") {
		t.Errorf("skip reason %q", skip)
	}
	task, err := r.Task(t.Context(), r.who, space, made[0].TaskID)
	check(t, err)
	if task.QueueTime != late.Std().UnixMilli() {
		t.Errorf("queued for %d, want %d", task.QueueTime, late.Std().UnixMilli())
	}
	canceled, err := r.CancelTask(t.Context(), r.who, space, task.ID)
	check(t, err)
	if canceled.State != store.TaskCanceled {
		t.Errorf("a queued task that was canceled is %s", canceled.State)
	}
}

// TestDeployUpdatesVariables: the release gets the current variables together
// with the deployment, or not at all (abuse 31).
func TestDeployUpdatesVariables(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.variables(resource.Variable{Name: "Colour", Value: "red"})
	release := r.release("1.0.0")
	r.variables(resource.Variable{Name: "Colour", Value: "blue"})
	_, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Production"}, UpdateVariables: true})
	refusedFor(t, err, resource.Invalid, "'Production' yet")
	after, err := r.Release(t.Context(), r.who, space, release.ID)
	check(t, err)
	if after.ProjectVariableSetSnapshotID != release.ProjectVariableSetSnapshotID {
		t.Error("a refused deployment changed its release")
	}
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, UpdateVariables: true})
	check(t, err)
	if plan := r.plan(made[0].TaskID); plan.Variables[0].Variable.Value != "blue" {
		t.Errorf("variables of the plan: %+v", plan.Variables)
	}
}

// TestStaleVersions: two people edit; the second to save is told (octopus-api.md
// 2.6, 2.7).
func TestStaleVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var process *resource.DeploymentProcess
	var set *resource.VariableSet
	r.write(func(tx *store.Tx) (err error) {
		if process, err = store.Get[resource.DeploymentProcess](tx, r.project.DeploymentProcessID); err != nil {
			return err
		}
		set, err = store.Get[resource.VariableSet](tx, r.project.VariableSetID)
		return err
	})
	r.process(webStep("Newer", bash("Newer", "true")))
	r.variables(resource.Variable{Name: "Newer"})
	for _, doc := range []resource.Doc{process, set} {
		err := r.db.Write(t.Context(), func(tx *store.Tx) error { return store.Update(tx, doc) })
		if code := resource.CodeOf(err); code != resource.Conflict && code != resource.Invalid {
			t.Errorf("a stale %s was stored: %v", doc.Kind().Noun, err)
		}
	}
	release := r.release("1.0.0") // of what the first one saved
	made, err := r.deploy(deploy.NewDeployment{Release: release.Version, Environments: []string{"Staging"}})
	check(t, err)
	if plan := r.plan(made[0].TaskID); plan.Steps[0].Name != "Newer" {
		t.Errorf("steps: %+v", plan.Steps)
	}
}

// TestCatchUp: a machine that came later gets what its environment runs, and
// only that which concerns it.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := &resource.Worker{}
	worker.SpaceID, worker.Name, worker.MachinePolicyID, worker.WorkerPoolIDs = space, "Built-in worker", "MachinePolicies-1", []string{"WorkerPools-1"}
	worker.Endpoint = resource.PollingEndpoint("poll://worker/", strings.Repeat("A", 64))
	storetest.Insert(t, r.db, worker)
	once := bash("Once", "true")
	once.Properties["Slipway.Action.RunOnce"] = resource.Text("True")
	r.process(webStep("Install", install(), once), resource.Step{Name: "Tell", Actions: []resource.Action{bash("Tell", "true")}})
	release := r.release("1.0.0")
	web, db := r.machine("web-1", r.staging, "web"), r.machine("db-1", r.staging, "db")
	catchUp := func() (task string, without []string) {
		r.write(func(tx *store.Tx) (err error) {
			task, without, err = r.CatchUp(tx, r.project.ID, r.staging.ID, []string{web.ID, db.ID})
			return err
		})
		return task, without
	}
	if task, without := catchUp(); task != "" || len(without) != 2 {
		t.Errorf("where nothing is deployed: task %q, without %v", task, without)
	}
	made, err := r.deploy(deploy.NewDeployment{Release: release.Version, Environments: []string{"Staging"}})
	check(t, err)
	r.succeed(&made[0])
	task, without := catchUp()
	if len(without) != 1 || without[0] != db.ID {
		t.Errorf("without: %v", without)
	}
	plan := r.plan(task)
	if plan.Kind != rollout.CatchUp || len(plan.Specific) != 1 || plan.Specific[0] != web.ID {
		t.Errorf("plan: %+v", plan)
	}
	for i, want := range []string{"", "runs once per release", "does not run on machines"} {
		var actions []rollout.Action
		for _, step := range plan.Steps {
			actions = append(actions, step.Actions...)
		}
		if got := actions[i].Skip; (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("action %s: skip %q, want %q", actions[i].Name, got, want)
		}
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.release("1.0.0")
	r.release("2.0.0")
	for _, version := range []string{"1.0.0", "2.0.0"} {
		made, err := r.deploy(deploy.NewDeployment{Release: version, Environments: []string{"Staging"}})
		check(t, err)
		r.succeed(&made[0])
	}
	board, err := r.Dashboard(t.Context(), r.who, space, deploy.DashboardQuery{})
	check(t, err)
	if len(board.Items) != 1 || board.Items[0].Version != "2.0.0" || !board.Items[0].Current {
		t.Errorf("items: %+v", board.Items)
	}
	board, err = r.Dashboard(t.Context(), r.who, space, deploy.DashboardQuery{IncludePrevious: true})
	check(t, err)
	if len(board.Items) != 2 || board.Items[1].Version != "1.0.0" || !board.Items[1].Previous {
		t.Errorf("items with the previous: %+v", board.Items)
	}
	for _, q := range []deploy.DashboardQuery{{Projects: []string{"Projects-404"}}, {Environments: []string{"Environments-404"}}, {Projects: []string{}}} { // abuse 33
		board, err = r.Dashboard(t.Context(), r.who, space, q)
		check(t, err)
		if len(board.Items) != 0 {
			t.Errorf("%+v shows %+v", q, board.Items)
		}
	}
}

func TestRunScript(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	web, off := r.machine("web-1", r.staging, "web"), r.machine("web-2", r.staging, "web")
	off.IsDisabled = true
	r.write(func(tx *store.Tx) error { return store.Update(tx, off) })
	r.machine("prod-1", r.production, "web")
	task, err := r.RunScript(t.Context(), r.who, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Environments: []string{r.staging.ID}, Roles: []string{"WEB"}})
	check(t, err)
	if plan := r.plan(task.ID); len(plan.Specific) != 1 || plan.Specific[0] != web.ID || plan.Kind != rollout.Script {
		t.Errorf("plan: %+v", plan)
	}
	for _, in := range []deploy.AdHocScript{
		{Body: "true", Syntax: "Bash"}, // abuse 33
		{Body: "true", Syntax: "Bash", Machines: []string{"Machines-404"}},
		{Body: "true", Syntax: "Bash", Machines: []string{off.ID}},
		{Body: "", Syntax: "Bash", Machines: []string{web.ID}},
		{Body: "true", Syntax: "Cobol", Machines: []string{web.ID}},
	} {
		_, err := r.RunScript(t.Context(), r.who, space, in)
		refusedFor(t, err, resource.Invalid)
	}
	stranger := app.Caller{Subject: authz.Subject{UserID: "Users-9"}}
	_, err = r.RunScript(t.Context(), stranger, space, deploy.AdHocScript{Body: "true", Syntax: "Bash", Machines: []string{web.ID}}) // abuse 41
	refusedFor(t, err, resource.Forbidden)
	_, err = r.Task(t.Context(), stranger, space, task.ID) // abuse 30
	refusedFor(t, err, resource.NotFound)
}
