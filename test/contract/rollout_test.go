package contract_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/core"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/deployments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/events"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/machines"
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
	p.shown(t, s)
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

// TestSelfReference: a variable that needs its own value fails the deployment
// and is named (abuse 62), and a script that the server runs needs no machine.
func TestSelfReference(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	for name, value := range map[string]string{"Ping": "#{Pong}", "Pong": "#{Ping}", "Fine": "fine"} {
		v := variables.NewVariable(name)
		v.Value = value
		_, err := variables.AddSingle(p.c, "Spaces-1", p.project.ID, v)
		ok(t, err)
	}
	p.setProcess(t, step("Say", "", onServer(script("Say", `echo "all is #{Fine}"`))))
	p.deploy(t, p.release(t, "1.0.0"), "Staging", "Success")
	p.setProcess(t, step("Say", "", onServer(script("Say", `echo "#{Ping}"`))))
	task := p.deploy(t, p.release(t, "2.0.0"), "Staging", "Failed")
	if raw := s.ask(t, http.MethodGet, task.Links["Raw"], ""); !strings.Contains(raw.body, "Ping") {
		t.Errorf("the log does not name the variable:\n%s", raw.body)
	}
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

// shown: the board has no member that strict clients do not know
// (octopus-api.md 2.19), and nothing on the path has a null where clients read
// a list or a property (trap 9).
func (p *shop) shown(t *testing.T, s *instance) {
	t.Helper()
	type reference struct {
		ID    string `json:"Id"`
		Name  string
		Links map[string]string
	}
	var board struct {
		Projects []struct {
			reference
			Slug, ProjectGroupID           string
			EnvironmentIDs                 []string
			TenantedDeploymentMode         string
			CanPerformUntenantedDeployment bool
			IsDisabled                     bool
		}
		ProjectGroups []struct {
			reference
			EnvironmentIDs []string
		}
		Environments, Tenants []reference
		Items                 []struct {
			ID, ProjectID, EnvironmentID, ReleaseID, DeploymentID, TaskID, TenantID, ChannelID, ReleaseVersion        string
			Created, QueueTime, StartTime, CompletedTime                                                              *time.Time
			State, ErrorMessage, Duration                                                                             string
			HasPendingInterruptions, HasPendingPreconditions, HasWarningsOrErrors, IsCurrent, IsPrevious, IsCompleted bool
			PendingInterruptionTypes, PendingPreconditionTypes                                                        []string
			Links                                                                                                     map[string]string
		}
		ProjectLimit *int
		IsFiltered   bool
		Links        map[string]string
	}
	strict := json.NewDecoder(strings.NewReader(s.ask(t, http.MethodGet, "/api/Spaces-1/dashboard/dynamic?includePrevious=true", "").body))
	strict.DisallowUnknownFields()
	ok(t, strict.Decode(&board))
	current := 0
	for _, item := range board.Items {
		if item.IsCurrent {
			current++
		}
	}
	if len(board.Items) < 3 || current != 2 || board.IsFiltered {
		t.Errorf("board: %d items, %d current, filtered %v", len(board.Items), current, board.IsFiltered)
	}
	filtered := s.ask(t, http.MethodGet, "/api/Spaces-1/dashboard/dynamic?projects=Projects-404", "").object(t)
	same(t, "items of an unknown project", filtered["Items"], []any{})
	same(t, "filtered", filtered["IsFiltered"], any(true))
	for _, path := range []string{
		"deployments", "releases", "tasks", "events", "machines", "dashboard", "environments/summary", "projects/" + p.project.ID + "/progression",
		"projects/" + p.project.ID + "/deploymentprocesses", "machinepolicies", "feeds", "lifecycles",
	} {
		noNullProperties(t, path, s.ask(t, http.MethodGet, "/api/Spaces-1/"+path, "").object(t))
	}
}
