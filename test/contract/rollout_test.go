package contract_test

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/core"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/deployments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/events"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/machines"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/packages"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/releases"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/tasks"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/variables"
)

const secretText = "pa55word-nobody-sees"

// TestRollout is the whole way: two web machines that the server dials, one
// database machine that polls, a package, secrets, two environments.
func TestRollout(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	web1 := s.startAgent(t, "web-1", "Staging", "TentaclePassive", "web")
	web2 := s.startAgent(t, "web-2", "Staging", "TentaclePassive", "web")
	db := s.startAgent(t, "db-1", "Staging", "TentacleActive", "db")
	for _, a := range []*agent{web1, web2, db} {
		p.healthy(t, a.name)
	}
	p.allEnvironments(t, web1, web2, db)
	p.setVariables(t)
	push(t, p.c, "Shop.Web.1.0.0.zip", archive(t, map[string]string{"shop.conf": "stage=#{Stage}\npassword=#{Password}\n", "index.html": "one"}))
	rolling := step("Roll out", "web", script("Out", `echo "out of the pool on #{Octopus.Machine.Name}"`), deployPackage("Install", "Shop.Web"),
		script("In", `echo "in the pool with password $(get_octopusvariable Password)"`))
	rolling.Properties["Octopus.Action.MaxParallelism"] = core.NewPropertyValue("1", false)
	p.setProcess(t,
		step("Announce", "", onServer(script("Announce", `echo "releasing $(get_octopusvariable Octopus.Release.Number) to #{Stage}"`))),
		rolling,
		step("Migrate", "db", script("Migrate", `echo "migrated by $(get_octopusvariable Octopus.Machine.Name)"`)),
	)

	release := p.release(t, "")
	same(t, "first version", release.Version, "0.0.1")
	same(t, "selected packages", len(release.SelectedPackages), 1)
	same(t, "selected version", release.SelectedPackages[0].Version, "1.0.0")
	p.onlyStaging(t, release)

	task := p.deploy(t, release, "Staging", "Success")
	details, err := tasks.GetDetails(p.c, "Spaces-1", task.ID)
	ok(t, err)
	if len(details.ActivityLogs) != 1 || details.Progress == nil || details.Progress.ProgressPercentage != 100 {
		t.Errorf("details: %+v", details)
	}
	lines := logOf(details.ActivityLogs)
	for _, want := range []string{"releasing 0.0.1 to staging", "out of the pool on web-1", "out of the pool on web-2", "in the pool with password ********", "migrated by db-1"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("the log lacks %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	inOrder(t, details.ActivityLogs[0])
	raw := s.ask(t, http.MethodGet, task.Links["Raw"], "")
	if !strings.HasPrefix(raw.header.Get("Content-Type"), "text/plain") || !strings.Contains(raw.body, "migrated by db-1") {
		t.Errorf("raw log: %s\n%s", raw.header.Get("Content-Type"), raw.body)
	}
	for _, text := range []string{raw.body, strings.Join(lines, "\n"), s.ask(t, http.MethodGet, "/api/tasks/"+task.ID+"/details", "").body} {
		if strings.Contains(text, secretText) {
			t.Error("a log shows the secret")
		}
	}
	for _, a := range []*agent{web1, web2} {
		same(t, "configuration on "+a.name, installed(t, a, "shop.conf"), "stage=staging\npassword="+secretText+"\n")
	}

	p.onward(t, release)
	p.secondRelease(t, s, []*agent{web1, web2})
	p.told(t)
}

// healthy waits until a machine answered.
func (p *shop) healthy(t *testing.T, name string) *machines.DeploymentTarget {
	t.Helper()
	var target *machines.DeploymentTarget
	eventually(t, name+" to be healthy", func() bool {
		found, err := p.c.Machines.GetByIdentifier(name)
		ok(t, err)
		target = found
		return found.HealthStatus == "Healthy"
	})
	return target
}

// allEnvironments puts the machines into production too.
func (p *shop) allEnvironments(t *testing.T, agents ...*agent) {
	t.Helper()
	for _, a := range agents {
		target := p.healthy(t, a.name)
		target.EnvironmentIDs = []string{p.staging.ID, p.production.ID}
		_, err := machines.Update(p.c, target)
		ok(t, err)
	}
}

// setVariables stores a value per environment and a secret, and writes the set
// once more the way the SDK does: with the secret empty.
func (p *shop) setVariables(t *testing.T) {
	t.Helper()
	for env, value := range map[string]string{p.staging.ID: "staging", p.production.ID: "production"} {
		v := variables.NewVariable("Stage")
		v.Value, v.Scope.Environments = value, []string{env}
		_, err := variables.AddSingle(p.c, "Spaces-1", p.project.ID, v)
		ok(t, err)
	}
	secret := variables.NewVariable("Password")
	secret.Value, secret.IsSensitive, secret.Type = secretText, true, "Sensitive"
	_, err := variables.AddSingle(p.c, "Spaces-1", p.project.ID, secret)
	ok(t, err)
	_, err = variables.AddSingle(p.c, "Spaces-1", p.project.ID, variables.NewVariable("Later"))
	ok(t, err)
}

// release makes one by the executions API, as the command line client does,
// and reads it back in all ways.
func (p *shop) release(t *testing.T, version string, specs ...string) *releases.Release {
	t.Helper()
	command := releases.NewCreateReleaseCommandV1("Spaces-1", p.project.Name)
	command.ReleaseVersion, command.Packages, command.ReleaseNotes = version, specs, "notes"
	made, err := releases.CreateReleaseV1(p.c, command)
	ok(t, err)
	release, err := p.c.Releases.GetByID(made.ReleaseID)
	ok(t, err)
	same(t, "version", release.Version, made.ReleaseVersion)
	byVersion, err := releases.GetReleaseInProject(p.c, "Spaces-1", p.project.ID, made.ReleaseVersion)
	ok(t, err)
	same(t, "release by version", byVersion, release)
	list, err := p.c.Projects.GetReleases(p.project)
	ok(t, err)
	same(t, "newest release", list[0], release)
	_, err = deployments.GetDeploymentProcessByID(p.c, "Spaces-1", release.ProjectDeploymentProcessSnapshotID)
	ok(t, err)
	_, err = variables.GetVariableSet(p.c, "Spaces-1", release.ProjectVariableSetSnapshotID)
	ok(t, err)
	return release
}

// onlyStaging: the lifecycle lets a new release into its first phase alone.
func (p *shop) onlyStaging(t *testing.T, release *releases.Release) {
	t.Helper()
	progression, err := p.c.Deployments.GetProgression(release)
	ok(t, err)
	same(t, "next environments", progression.NextDeployments, []string{p.staging.ID})
	same(t, "progress of the first phase", string(progression.Phases[0].Progress), "Current")
	same(t, "the second phase is blocked", progression.Phases[1].Blocked, true)
	command := deployments.NewCreateDeploymentUntenantedCommandV1("Spaces-1", p.project.Name)
	command.ReleaseVersion, command.EnvironmentNames = release.Version, []string{"Production"}
	_, err = deployments.CreateDeploymentUntenantedV1(p.c, command)
	if refused(t, err, http.StatusBadRequest); !strings.Contains(err.Error(), "Staging") {
		t.Errorf("the refusal does not say what comes first: %v", err)
	}
	preview, err := deployments.GetReleaseDeploymentPreview(p.c, "Spaces-1", release.ID, p.staging.ID, true)
	ok(t, err)
	if preview.Form == nil || len(preview.StepsToExecute) != 5 || !slices.Equal(preview.StepsToExecute[1].MachineNames, []string{"web-1", "web-2"}) {
		t.Errorf("preview: %+v", preview)
	}
	several, err := deployments.GetReleaseDeploymentPreviews(p.c, "Spaces-1", release.ID, []deployments.DeploymentPreviewRequest{{EnvironmentId: p.staging.ID}, {EnvironmentId: p.production.ID}}, true)
	ok(t, err)
	same(t, "previews", len(several), 2)
	template, err := releases.GetReleaseDeploymentTemplate(p.c, "Spaces-1", release.ID)
	ok(t, err)
	if len(template.PromoteTo) != 1 || template.PromoteTo[0].ID != p.staging.ID {
		t.Errorf("template: %+v", template)
	}
	missing, err := releases.GetMissingPackages(p.c, release)
	ok(t, err)
	same(t, "missing packages", len(missing), 0)
}

// deploy uses the executions API and waits for the end as clients do: by ids.
func (p *shop) deploy(t *testing.T, release *releases.Release, env string, state string) *tasks.Task {
	t.Helper()
	command := deployments.NewCreateDeploymentUntenantedCommandV1("Spaces-1", p.project.Name)
	command.ReleaseVersion, command.EnvironmentNames = release.Version, []string{env}
	made, err := deployments.CreateDeploymentUntenantedV1(p.c, command)
	ok(t, err)
	if len(made.DeploymentServerTasks) != 1 {
		t.Fatalf("tasks: %+v", made)
	}
	return await(t, p.c, made.DeploymentServerTasks[0].ServerTaskID, state)
}

func await(t *testing.T, c *client.Client, id, state string) *tasks.Task {
	t.Helper()
	var task *tasks.Task
	eventually(t, id+" to end", func() bool {
		list, err := c.Tasks.Get(tasks.TasksQuery{IDs: []string{id}})
		ok(t, err)
		if len(list.Items) != 1 {
			t.Fatalf("%d tasks for one id", len(list.Items))
		}
		task = list.Items[0]
		if task.IsCompleted == nil || task.FinishedSuccessfully == nil {
			t.Fatal("IsCompleted and FinishedSuccessfully have to be there")
		}
		return *task.IsCompleted
	})
	if task.State != state {
		details, err := tasks.GetDetails(c, "Spaces-1", id)
		ok(t, err)
		t.Fatalf("%s ended %s, want %s: %s\n%s", id, task.State, state, task.ErrorMessage, strings.Join(logOf(details.ActivityLogs), "\n"))
	}
	return task
}

// logOf is every line of a tree.
func logOf(activities []*tasks.ActivityElement) []string {
	var lines []string
	for _, a := range activities {
		lines = append(lines, a.Status+": "+a.Name)
		for _, l := range a.LogElements {
			lines = append(lines, l.Category+" "+l.MessageText)
		}
		lines = append(lines, logOf(a.Children)...)
	}
	return lines
}

// inOrder: no step began before the one before it ended, and within the
// rolling step one machine was done before the other began.
func inOrder(t *testing.T, task *tasks.ActivityElement) {
	t.Helper()
	same(t, "steps", len(task.Children), 3)
	for i, step := range task.Children {
		if step.Status != "Success" || step.Started == nil || step.Ended == nil {
			t.Fatalf("step %+v", step)
		}
		if i > 0 && step.Started.Before(*task.Children[i-1].Ended) {
			t.Errorf("%s began before %s ended", step.Name, task.Children[i-1].Name)
		}
	}
	both := slices.Clone(task.Children[1].Children)
	same(t, "machines in the rolling step", len(both), 2)
	slices.SortFunc(both, func(a, b *tasks.ActivityElement) int { return a.Started.Compare(*b.Started) })
	if both[1].Started.Before(*both[0].Ended) {
		t.Errorf("%s began before %s had ended, in a window of 1", both[1].Name, both[0].Name)
	}
}

// installed reads a file of the newest installation on a machine.
func installed(t *testing.T, a *agent, name string) string {
	t.Helper()
	var newest string
	var at time.Time
	err := filepath.WalkDir(a.apps, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() != name {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
		return err
	})
	ok(t, err)
	text, err := os.ReadFile(newest)
	ok(t, err)
	return string(text)
}

// onward deploys to production by the document form.
func (p *shop) onward(t *testing.T, release *releases.Release) {
	t.Helper()
	deployment := deployments.NewDeployment(p.production.ID, release.ID)
	deployment.Comments = "onward"
	made, err := p.c.Deployments.Add(deployment)
	ok(t, err)
	same(t, "name", made.Name, "Deploy to Production")
	same(t, "project", made.ProjectID, p.project.ID)
	again, err := p.c.Deployments.GetByID(made.ID)
	ok(t, err)
	same(t, "links of the deployment", again.Links, made.Links)
	same(t, "time of the deployment", again.Created, made.Created)
	task := await(t, p.c, made.TaskID, "Success")
	same(t, "arguments", task.Arguments["DeploymentId"], any(made.ID))
	progression, err := p.c.Deployments.GetProgression(release)
	ok(t, err)
	for _, phase := range progression.Phases {
		if phase.Progress != "Complete" || len(phase.Deployments) == 0 {
			t.Errorf("phase %s is %s with %d deployments", phase.Name, phase.Progress, len(phase.Deployments))
		}
	}
	of, err := p.c.Deployments.GetDeployments(release)
	ok(t, err)
	same(t, "deployments of the release", len(of.Items), 2)
	same(t, "newest first", of.Items[0].ID, made.ID)
	board, err := p.c.Projects.GetProgression(p.project)
	ok(t, err)
	if len(board.Releases) != 1 || len(board.Releases[0].Deployments[p.production.ID]) != 1 || board.Releases[0].Deployments[p.production.ID][0].DeploymentID != made.ID {
		t.Errorf("progression of the project: %+v", board.Releases)
	}
}

// secondRelease fails on one machine, is not let through to production, and
// can be deployed again once the reason is gone; a script that takes long can
// be canceled.
func (p *shop) secondRelease(t *testing.T, s *instance, web []*agent) {
	t.Helper()
	push(t, p.c, "Shop.Web.2.0.0.zip", archive(t, map[string]string{"shop.conf": "stage=#{Stage}\n", "index.html": "two"}))
	flag := filepath.Join(t.TempDir(), "well")
	p.setProcess(t, step("Roll out", "web", deployPackage("Install", "Shop.Web"), script("Check", `if [ ! -e `+flag+` ]; then echo "not well" >&2; exit 7; fi`)))
	release := p.release(t, "2.0.0", "Shop.Web:2.0.0")
	task := p.deploy(t, release, "Staging", "Failed")
	if !task.HasWarningsOrErrors || task.ErrorMessage == "" {
		t.Errorf("a failed task says nothing: %+v", task)
	}
	command := deployments.NewCreateDeploymentUntenantedCommandV1("Spaces-1", p.project.ID)
	command.ReleaseVersion, command.EnvironmentNames = "2.0.0", []string{p.production.ID}
	_, err := deployments.CreateDeploymentUntenantedV1(p.c, command)
	refused(t, err, http.StatusBadRequest)
	ok(t, os.WriteFile(flag, nil, 0o600))
	p.deploy(t, release, "Staging", "Success")
	for _, a := range web {
		same(t, "page on "+a.name, installed(t, a, "index.html"), "two")
	}
	p.setProcess(t, step("Long", "web", script("Long", "sleep 300")))
	long := p.release(t, "")
	same(t, "next version", long.Version, "2.0.1")
	command.ReleaseVersion, command.EnvironmentNames = long.Version, []string{"staging"}
	made, err := deployments.CreateDeploymentUntenantedV1(p.c, command)
	ok(t, err)
	id := made.DeploymentServerTasks[0].ServerTaskID
	eventually(t, id+" to run", func() bool {
		list, err := p.c.Tasks.Get(tasks.TasksQuery{IDs: []string{id}})
		ok(t, err)
		return list.Items[0].State == "Executing"
	})
	_, err = tasks.Cancel(p.c, "Spaces-1", id)
	ok(t, err)
	await(t, p.c, id, "Canceled")
}

// told: the path left its events and its lists of tasks.
func (p *shop) told(t *testing.T) {
	t.Helper()
	list, err := p.c.Events.Get(events.EventsQuery{Projects: []string{p.project.ID}})
	ok(t, err)
	for _, category := range []string{"DeploymentQueued", "DeploymentStarted", "DeploymentSucceeded", "DeploymentFailed"} {
		if !slices.ContainsFunc(list.Items, func(e *events.Event) bool { return e.Category == category }) {
			t.Errorf("no event %s", category)
		}
	}
	of, err := p.c.Tasks.Get(tasks.TasksQuery{Project: p.project.ID, Name: "Deploy"})
	ok(t, err)
	same(t, "tasks of the project", len(of.Items), 5)
	for i := 1; i < len(of.Items); i++ {
		if of.Items[i].QueueTime.After(*of.Items[i-1].QueueTime) {
			t.Error("the tasks are not newest first")
		}
	}
}

// TestMachines registers by the SDK a machine that listens and one that polls,
// asks how they are, and runs a script on them.
func TestMachines(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	env, err := environments.Add(c, environments.NewEnvironment("Lab"))
	ok(t, err)
	s.startAgent(t, "listens", "Lab", "TentaclePassive", "web", "cache")
	s.startAgent(t, "polls", "Lab", "TentacleActive", "db")
	p := &shop{c: c}
	for name, style := range map[string]string{"listens": "TentaclePassive", "polls": "TentacleActive"} {
		old := p.healthy(t, name)
		same(t, "style of "+name, old.Endpoint.GetCommunicationStyle(), style)
		ok(t, machines.DeleteByID(c, "Spaces-1", old.ID))
		address, err := url.Parse(old.URI)
		ok(t, err)
		var endpoint machines.IEndpoint = machines.NewListeningTentacleEndpoint(address, old.Thumbprint)
		if style == "TentacleActive" {
			endpoint = machines.NewPollingTentacleEndpoint(address, old.Thumbprint)
		}
		target := machines.NewDeploymentTarget(name, endpoint, []string{env.ID}, old.Roles)
		target.Thumbprint, target.URI = old.Thumbprint, old.URI
		made, err := machines.Add(c, target)
		ok(t, err)
		same(t, "policy", made.MachinePolicyID, "MachinePolicies-1")
		if made.ID == old.ID {
			t.Error("an id was used twice")
		}
		p.healthy(t, name)
		status := s.ask(t, http.MethodGet, made.Links["Connection"], "").object(t)
		if status["MachineId"] != made.ID || status["Status"] == "" || status["Logs"] == nil {
			t.Errorf("connection: %v", status)
		}
		_, err = machines.Add(c, machines.NewDeploymentTarget(strings.ToUpper(name), endpoint, []string{env.ID}, []string{"web"}))
		refused(t, err, http.StatusBadRequest)
	}
	all, err := machines.GetAll(c, "Spaces-1")
	ok(t, err)
	same(t, "machines", len(all), 2)
	found, err := machines.Get(c, "Spaces-1", machines.MachinesQuery{Roles: []string{"cache"}, EnvironmentIDs: []string{env.ID}})
	ok(t, err)
	if len(found.Items) != 1 || found.Items[0].Name != "listens" {
		t.Errorf("by role: %v", found.Items)
	}
	roles, err := c.MachineRoles.GetAll()
	ok(t, err)
	var names []string
	for _, r := range roles {
		names = append(names, *r)
	}
	same(t, "roles", names, []string{"cache", "db", "web"})
	policies, err := c.MachinePolicies.GetAll()
	ok(t, err)
	if len(policies) != 1 || policies[0].ConnectionConnectTimeout != time.Minute || policies[0].PollingRequestQueueTimeout != 2*time.Minute || policies[0].MachineHealthCheckPolicy == nil {
		t.Errorf("policies: %+v", policies[0])
	}
	machineID := all[0].ID
	task, err := c.Tasks.Add(&tasks.Task{Name: "AdHocScript", Description: "Look around", Arguments: map[string]any{
		"MachineIds": []string{machineID}, "ScriptBody": "echo here", "Syntax": "Bash",
	}})
	ok(t, err)
	done := await(t, c, task.ID, "Success")
	same(t, "description", done.Description, "Look around")
	health, err := c.Tasks.Add(&tasks.Task{Name: "Health", Arguments: map[string]any{"MachineIds": []string{machineID}}})
	ok(t, err)
	await(t, c, health.ID, "Success")
	env2, err := environments.GetByID(c, "Spaces-1", env.ID)
	ok(t, err)
	err = environments.DeleteByID(c, "Spaces-1", env2.ID) // machines are in it
	refused(t, err, http.StatusBadRequest)
}

// TestReleases are the rules that need no machine (octopus-api.md 1.9, 2.12).
func TestReleases(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	p.setProcess(t, step("Install", "web", deployPackage("Install", "Shop.Web")))
	create := func(edit func(*releases.CreateReleaseCommandV1)) (*releases.CreateReleaseResponseV1, error) {
		command := releases.NewCreateReleaseCommandV1("Spaces-1", p.project.ID)
		edit(command)
		return releases.CreateReleaseV1(p.c, command)
	}
	_, err := create(func(*releases.CreateReleaseCommandV1) {})
	if typed := refused(t, err, http.StatusBadRequest); !strings.Contains(strings.Join(typed.Errors, " "), "Shop.Web") {
		t.Errorf("the refusal does not name the missing package: %v", err)
	}
	for _, version := range []string{"1.0.0", "1.1.0-beta", "1.1.0"} {
		_, _, err := packages.Upload(p.c, "Spaces-1", "Shop.Web."+version+".zip", bytes.NewReader(archive(t, map[string]string{"a": version})), packages.OverwriteModeFailIfExists)
		ok(t, err)
	}
	for _, spec := range []struct{ text, want string }{
		{"Shop.Web:1.0.0", "1.0.0"}, {"Install=1.1.0-beta", "1.1.0-beta"}, {"*:1.0.0", "1.0.0"}, {`Shop.Web/1.1.0`, "1.1.0"}, {"", "1.1.0"},
	} {
		made, err := create(func(c *releases.CreateReleaseCommandV1) {
			if spec.text != "" {
				c.Packages = []string{spec.text}
			}
		})
		ok(t, err)
		release, err := p.c.Releases.GetByID(made.ReleaseID)
		ok(t, err)
		same(t, "version by "+spec.text, release.SelectedPackages[0].Version, spec.want)
	}
	made, err := create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "5.0.0" })
	ok(t, err)
	next, err := create(func(*releases.CreateReleaseCommandV1) {})
	ok(t, err)
	same(t, "next version", next.ReleaseVersion, "5.0.1")
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "DeleteMe5.0" })
	ok(t, err)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "5.0.0" })
	refused(t, err, http.StatusBadRequest)
	same2, err := create(func(c *releases.CreateReleaseCommandV1) {
		c.ReleaseVersion, c.IgnoreIfAlreadyExists = "5.0.0", true
	})
	ok(t, err)
	same(t, "the release that exists", same2.ReleaseID, made.ReleaseID)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.Packages = []string{"Nothing:1.0.0"} })
	refused(t, err, http.StatusBadRequest)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.Packages = []string{"Shop.Web:9.9.9"} })
	refused(t, err, http.StatusBadRequest)

	document := releases.NewRelease("", p.project.ID, "6.0.0")
	document.SelectedPackages = []*packages.SelectedPackage{{ActionName: "Install", Version: "1.0.0"}}
	stored, err := p.c.Releases.Add(document)
	ok(t, err)
	again, err := p.c.Releases.GetByID(stored.ID)
	ok(t, err)
	same(t, "release", again, stored)
	if !again.Assembled.Equal(stored.Assembled) || again.ProjectDeploymentProcessSnapshotID == p.project.DeploymentProcessID {
		t.Errorf("release: %+v", again)
	}
	ok(t, p.c.Releases.DeleteByID(stored.ID))
	_, err = releases.GetReleaseInProject(p.c, "Spaces-1", p.project.ID, "6.0.0")
	refused(t, err, http.StatusNotFound)
}
