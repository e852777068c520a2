package contract_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/channels"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/core"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/deployments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/lifecycles"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/projectgroups"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/projects"
)

// TestOneDocumentEverywhere: what POST answers is what the list, /all and GET
// by id show, links and dates included (traps 7 and 8).
func TestOneDocumentEverywhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	for path, body := range map[string]string{
		"environments":        `{"Name":"Third"}`,
		"lifecycles":          `{"Name":"Third"}`,
		"projectgroups":       `{"Name":"Third"}`,
		"projects":            `{"Name":"Third","LifecycleId":"Lifecycles-1","ProjectGroupId":"ProjectGroups-1"}`,
		"channels":            `{"Name":"Third","ProjectId":"` + p.project.ID + `"}`,
		"feeds":               `{"Name":"Third","FeedType":"NuGet","FeedUri":"https://nuget.example/v3/index.json"}`,
		"libraryvariablesets": `{"Name":"Third","ContentType":"Variables"}`,
		"machinepolicies":     `{"Name":"Third"}`,
		"workerpools":         `{"Name":"Third","WorkerPoolType":"StaticWorkerPool"}`,
		"machines": `{"Name":"Third","EnvironmentIds":["` + p.staging.ID + `"],"Roles":["web"],` +
			`"Endpoint":{"CommunicationStyle":"None"}}`,
	} {
		made := s.ask(t, http.MethodPost, "/api/Spaces-1/"+path, body)
		if made.status != http.StatusCreated {
			t.Errorf("POST %s: %d %s", path, made.status, made.body)
			continue
		}
		want := made.object(t)
		forget(want)
		id := want["Id"].(string)
		one := s.ask(t, http.MethodGet, "/api/Spaces-1/"+path+"/"+id, "").object(t)
		list := s.ask(t, http.MethodGet, "/api/Spaces-1/"+path+"?take=2147483647", "").object(t)["Items"].([]any)
		var all []any
		if err := json.Unmarshal([]byte(s.ask(t, http.MethodGet, "/api/Spaces-1/"+path+"/all", "").body), &all); err != nil {
			t.Fatal(path, err)
		}
		if path == "workerpools" {
			all = nil // summaries
		}
		for where, got := range map[string]map[string]any{"GET": one, "list": withID(list, id), "all": withID(all, id)} {
			if where == "all" && path == "workerpools" {
				continue
			}
			forget(got)
			same(t, where+" "+path+" beside POST", got, want)
		}
		noNullProperties(t, path, want)
	}
}

// forget drops what a health check may change in between.
func forget(document map[string]any) {
	for _, name := range []string{"LastModifiedOn", "LastModifiedBy", "HealthStatus", "HealthCheckedOn", "Status", "StatusSummary"} {
		delete(document, name)
	}
}

func withID(items []any, id string) map[string]any {
	for _, item := range items {
		if object := item.(map[string]any); object["Id"] == id {
			return object
		}
	}
	return nil
}

// texts end like lists and are none.
var texts = []string{"Notes", "ReleaseNotes", "Expires", "Comments", "Details", "Differences"}

// noNullProperties: the SDK reads null in a property dictionary as a secret
// (trap 9), and arrays are never null (octopus-api.md 1.5).
func noNullProperties(t *testing.T, where string, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if name == "Properties" || name == "Links" || name == "Arguments" {
				for key, property := range member.(map[string]any) {
					if property == nil {
						t.Errorf("%s: %s[%s] is null", where, name, key)
					}
				}
			}
			if member == nil && strings.HasSuffix(name, "s") && !slices.Contains(texts, name) {
				t.Errorf("%s: the list %s is null", where, name)
			}
			noNullProperties(t, where+"."+name, member)
		}
	case []any:
		for _, member := range v {
			noNullProperties(t, where, member)
		}
	}
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	again, err := lifecycles.GetByID(p.c, "Spaces-1", p.lifecycle.ID)
	ok(t, err)
	same(t, "lifecycle", again, p.lifecycle)
	if len(again.Phases) != 2 || again.Phases[0].ID == "" || again.Phases[0].MinimumEnvironmentsBeforePromotion != 1 {
		t.Errorf("phases: %+v", again.Phases)
	}
	for _, keep := range []*core.RetentionPeriod{core.SpaceDefaultRetentionPeriod(), core.KeepForeverRetentionPeriod(), core.CountBasedRetentionPeriod(7, "Items")} {
		again.ReleaseRetentionPolicy, again.Phases[0].TentacleRetentionPolicy = keep, keep
		again, err = lifecycles.Update(p.c, again)
		ok(t, err)
		same(t, "retention of the lifecycle", again.ReleaseRetentionPolicy.Strategy, keep.Strategy)
		same(t, "retention of the phase", again.Phases[0].TentacleRetentionPolicy.Strategy, keep.Strategy)
		same(t, "retention of the other phase", again.Phases[1].TentacleRetentionPolicy, core.CountBasedRetentionPeriod(30, "Days"))
	}
	users, err := p.c.Lifecycles.GetProjects(again)
	ok(t, err)
	if len(users) != 1 || users[0].ID != p.project.ID {
		t.Errorf("projects of the lifecycle: %v", users)
	}
	err = lifecycles.DeleteByID(p.c, "Spaces-1", again.ID) // in use
	if refused(t, err, http.StatusBadRequest); !strings.Contains(err.Error(), "Web Shop") {
		t.Errorf("the refusal does not say who uses it: %v", err)
	}
	err = environments.DeleteByID(p.c, "Spaces-1", p.staging.ID) // a phase has it
	refused(t, err, http.StatusBadRequest)
	ok(t, lifecycles.DeleteByID(p.c, "Spaces-1", "Lifecycles-1")) // the default one, unused
}

func TestProject(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	again, err := projects.GetByID(p.c, "Spaces-1", p.project.ID)
	ok(t, err)
	same(t, "project", again, p.project)
	if again.PersistenceSettings == nil || again.PersistenceSettings.Type() != projects.PersistenceSettingsTypeDatabase { // trap 6
		t.Errorf("persistence settings: %v", again.PersistenceSettings)
	}
	same(t, "slug", again.Slug, "web-shop")
	same(t, "variable set", again.VariableSetID, "variableset-"+again.ID)
	same(t, "process", again.DeploymentProcessID, "deploymentprocess-"+again.ID)
	same(t, "version template", again.VersioningStrategy.Template, "#{Octopus.Version.LastMajor}.#{Octopus.Version.LastMinor}.#{Octopus.Version.NextPatch}")
	for _, name := range []string{"Web Shop", "web shop", "web-shop", again.ID} {
		found, err := projects.GetByIdentifier(p.c, "Spaces-1", name)
		ok(t, err)
		same(t, "project by "+name, found.ID, again.ID)
	}
	again.Name = "Other Shop"
	renamed, err := projects.Update(p.c, again)
	ok(t, err)
	same(t, "slug after a rename", renamed.Slug, "web-shop")
	inGroup, err := p.c.ProjectGroups.GetProjects(p.group)
	ok(t, err)
	if len(inGroup) != 1 || inGroup[0].ID != again.ID {
		t.Errorf("projects of the group: %v", inGroup)
	}
	err = projectgroups.DeleteByID(p.c, "Spaces-1", p.group.ID)
	refused(t, err, http.StatusBadRequest)
	summary, err := p.c.Projects.GetSummary(renamed)
	ok(t, err)
	same(t, "has a process", summary.HasDeploymentProcess, false)
	settings, err := p.c.Deployments.GetDeploymentSettings(renamed, "")
	ok(t, err)
	same(t, "settings are the project's", settings.ProjectID, again.ID)
	ok(t, projects.DeleteByID(p.c, "Spaces-1", again.ID))
	_, err = deployments.GetDeploymentProcessByID(p.c, "Spaces-1", again.DeploymentProcessID)
	refused(t, err, http.StatusNotFound)
}

func TestChannels(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	own, err := p.c.Projects.GetChannels(p.project)
	ok(t, err)
	if len(own) != 1 || own[0].Name != "Default" || !own[0].IsDefault || own[0].LifecycleID != "" || own[0].Type != "Lifecycle" { // trap 6
		t.Fatalf("channels of a new project: %+v", own[0])
	}
	raw := s.ask(t, http.MethodGet, "/api/Spaces-1/channels/"+own[0].ID, "").object(t)
	for _, name := range []string{"Rules", "TenantTags", "GitReferenceRules", "GitResourceRules"} {
		same(t, name, raw[name], []any{})
	}
	beta, err := channels.Add(p.c, channels.NewChannel("Beta", p.project.ID))
	ok(t, err)
	again, err := channels.GetByID(p.c, "Spaces-1", beta.ID)
	ok(t, err)
	same(t, "channel", again, beta)
	again.IsDefault = true
	_, err = channels.Update(p.c, again)
	ok(t, err)
	was, err := channels.GetByID(p.c, "Spaces-1", own[0].ID)
	ok(t, err)
	same(t, "the other is no default any more", was.IsDefault, false)
	err = channels.DeleteByID(p.c, "Spaces-1", beta.ID)
	refused(t, err, http.StatusBadRequest)
	ok(t, channels.DeleteByID(p.c, "Spaces-1", was.ID))
}

func TestProcess(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	first := step("First", "web", script("First", "echo 1"))
	first.StartTrigger = deployments.DeploymentStepStartTriggerStartWithPrevious
	second := step("Second", "web,db", script("Out", "echo out"), deployPackage("Install", "Shop.Web"), script("In", "echo in"))
	second.Properties["Octopus.Action.MaxParallelism"] = core.NewPropertyValue("2", false)
	third := step("Third", "", onServer(script("Third", "echo 3")))
	third.Actions[0].Properties["Secret"] = core.NewPropertyValue("s3cr3t", true)
	saved := p.setProcess(t, first, second, third)
	if saved.Version != 1 || saved.Steps[0].StartTrigger != deployments.DeploymentStepStartTriggerStartAfterPrevious {
		t.Errorf("version %d, first step %s", saved.Version, saved.Steps[0].StartTrigger)
	}
	var names []string
	for _, step := range saved.Steps {
		names = append(names, step.Name)
		if step.ID == "" {
			t.Errorf("step %s has no id", step.Name)
		}
		for _, action := range step.Actions {
			if action.ID == "" || action.Slug == "" {
				t.Errorf("action %s has id %q and slug %q", action.Name, action.ID, action.Slug)
			}
		}
	}
	same(t, "order of the steps", names, []string{"First", "Second", "Third"})
	install := saved.Steps[1].Actions[1]
	same(t, "package id as a property", install.Properties["Octopus.Action.Package.PackageId"].Value, "Shop.Web")
	if len(install.Packages) != 1 || install.Packages[0].ID == "" || install.Packages[0].Name != "" {
		t.Errorf("packages: %+v", install.Packages)
	}
	secret := saved.Steps[2].Actions[0].Properties["Secret"]
	if !secret.IsSensitive || !secret.SensitiveValue.HasValue || secret.SensitiveValue.NewValue != nil {
		t.Errorf("a sensitive property reads %+v", secret.SensitiveValue)
	}
	raw := s.ask(t, http.MethodGet, "/api/Spaces-1/deploymentprocesses/"+saved.ID, "")
	noNullProperties(t, "process", raw.object(t))
	if strings.Contains(raw.body, "s3cr3t") {
		t.Error("the process shows a secret")
	}
	byProject := s.ask(t, http.MethodGet, "/api/Spaces-1/projects/"+p.project.ID+"/deploymentprocesses", "").object(t)
	same(t, "process by project", byProject, raw.object(t))

	stale := *saved
	saved.Steps[0].Name = "Renamed"
	after, err := deployments.UpdateDeploymentProcess(p.c, saved)
	ok(t, err)
	same(t, "ids of steps stay", after.Steps[0].ID, saved.Steps[0].ID)
	same(t, "version", after.Version, int32(2))
	_, err = deployments.UpdateDeploymentProcess(p.c, &stale)
	if err == nil {
		t.Error("a stale process was written over a newer one")
	}
	template, err := deployments.GetDeploymentProcessTemplate(p.c, after, "", "")
	ok(t, err)
	if len(template.Packages) != 1 || template.Packages[0].PackageID != "Shop.Web" || template.Packages[0].ActionName != "Install" || !template.Packages[0].IsResolvable {
		t.Errorf("template: %+v", template.Packages)
	}
	same(t, "next version", template.NextVersionIncrement, "0.0.1")
	every, err := deployments.GetAllDeploymentProcesses(p.c, "Spaces-1")
	ok(t, err)
	if !slices.ContainsFunc(every, func(d *deployments.DeploymentProcess) bool { return d.ID == after.ID }) {
		t.Error("the process is not in the list")
	}
}
