package api_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/api"
)

// Every client's first calls (octopus-api.md 1.2, 1.3).
func TestStartUpSequence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nobody := r.as("")
	root := nobody.get("/api/")
	for _, name := range []string{"Application", "Version", "ApiVersion", "InstallationId"} {
		if root.text(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if status, _ := nobody.send("GET", "/api/Spaces-1", nil); status != 401 {
		t.Errorf("the root of a space is open: %d", status)
	}
	space := r.get("/api/Spaces-1")
	if space.text("Version") != "" || space.text("ApiVersion") != "" {
		t.Error("the root of a space has a version")
	}
	if n := len(sub(space["Links"])); n != len(api.RootLinks("x"))+1 || n < 140 {
		t.Errorf("%d links", n)
	}
	if status, _ := r.send("GET", "/api/Spaces-404", nil); status != 404 {
		t.Errorf("a space that is not there: %d", status)
	}
	spaces := r.get("/api/spaces").items()
	if len(spaces) != 1 || spaces[0]["IsDefault"] != true {
		t.Errorf("spaces: %v", spaces)
	}
	if all := r.array("/api/spaces/all"); len(all) != 1 {
		t.Errorf("all spaces: %v", all)
	}
	for _, path := range []string{"/api/spaces/Spaces-1", "/api/spaces/default", "/api/SPACES/Default"} {
		if got := r.get(path); got.text("Id") != "Spaces-1" {
			t.Errorf("%s is %v", path, got)
		}
	}
	for _, path := range []string{"/api/Default/environments", "/api/spaces/Spaces-1/environments", "/api/environments", "/api/spaces-1/Environments/"} {
		if got := r.get(path); got.text("Links", "Self") != "/api/Spaces-1/environments?skip=0&take=30" {
			t.Errorf("%s: %v", path, got.text("Links", "Self"))
		}
	}
	if got := r.get("/api/users/me"); got.text("Username") != "admin" || got["IsRequestor"] != true || got["PasswordHash"] != nil {
		t.Errorf("me: %v", got)
	}
	toggles := r.get("/api/configuration/feature-toggles?Name=x")
	if list, ok := toggles["FeatureToggles"].([]any); !ok || len(list) != 0 {
		t.Errorf("toggles: %v", toggles)
	}
}

func TestRootDocumentsAreGolden(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, path := range map[string]string{"root.json": "/api", "space-root.json": "/api/Spaces-1"} {
		_, got := r.send("GET", path, nil)
		golden(t, name, strings.ReplaceAll(got, `","`, "\",\n\"")+"\n")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestOpenAPIIsUpToDate(t *testing.T) {
	t.Parallel()
	spec, err := api.Spec(areas(&rig{})...)
	check(t, err)
	for _, ref := range regexp.MustCompile(`components/schemas/(\w+)`).FindAllStringSubmatch(string(spec), -1) {
		if !strings.Contains(string(spec), "\n    "+ref[1]+":\n") {
			t.Errorf("%s is referred to and not there", ref[1])
		}
	}
	path := filepath.Join("..", "..", "docs", "openapi.yaml")
	if *update {
		check(t, os.WriteFile(path, spec, 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if string(want) != string(spec) {
		t.Error("docs/openapi.yaml is out of date: run go test ./internal/api -run OpenAPI -update")
	}
}

// One document, four ways to read it: deeply equal (octopus-api.md 1.5).
func TestEveryKindReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	environment := r.post("/api/Spaces-1/environments", object{"Name": "Dev"}).text("Id")
	project := r.post("/api/Spaces-1/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"}).text("Id")
	for _, c := range []struct {
		route string
		body  object
	}{
		{"environments", object{"Name": "Production", "Links": nil, "Unknown": object{"a": 1}}},
		{"lifecycles", object{"Name": "Two", "Phases": []any{object{"Name": "One", "OptionalDeploymentTargets": []string{environment}}}}},
		{"projectgroups", object{"Name": "Group"}},
		{"projects", object{"Name": "Second", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"}},
		{"channels", object{"Name": "Beta", "ProjectId": project, "Rules": []any{}, "TenantTags": []any{}}},
		{"libraryvariablesets", object{"Name": "Shared", "ContentType": "Variables"}},
		{"feeds", object{"Name": "NuGet", "FeedType": "NuGet", "FeedUri": "https://example.com/v3/index.json", "Password": object{"HasValue": true, "NewValue": "hush"}}},
		{"machinepolicies", object{"Name": "Strict", "ConnectionConnectTimeout": "00:00:30"}},
		{"workerpools", object{"Name": "Pool", "WorkerPoolType": "StaticWorkerPool"}},
		{"machines", object{
			"Name": "web-1", "EnvironmentIds": []string{environment}, "Roles": []string{"web"}, "Thumbprint": "1234567890ABCDEF", "Uri": "https://example.com/",
			"MachinePolicyId": "MachinePolicies-1", "Endpoint": object{"CommunicationStyle": "OfflineDrop", "ApplicationsDirectory": "C:\\apps"},
		}},
		{"machines", object{
			"Name": "web-2", "EnvironmentIds": []string{environment}, "Roles": []string{"web"},
			"Endpoint": object{"CommunicationStyle": "TentaclePassive", "Uri": "https://web-2:10933/", "Thumbprint": "1234567890ABCDEF"},
		}},
	} {
		posted := r.post("/api/Spaces-1/"+c.route, c.body)
		id := posted.text("Id")
		r.clock.Add(1000) // what was written keeps its time
		got := r.get("/api/Spaces-1/" + c.route + "/" + id)
		if diff := cmp.Diff(posted, got); diff != "" {
			t.Errorf("%s POST and GET (-post +get):\n%s", c.route, diff)
		}
		if diff := cmp.Diff([]object{posted}, r.get("/api/"+c.route+"?ids="+id).items()); diff != "" {
			t.Errorf("%s POST and list:\n%s", c.route, diff)
		}
		found := false
		for _, item := range r.array("/api/Spaces-1/" + c.route + "/all") {
			if diff := cmp.Diff(map[string]any(posted), item); sub(item)["Id"] == id && diff != "" {
				t.Errorf("%s POST and all:\n%s", c.route, diff)
			} else if sub(item)["Id"] == id {
				found = true
			}
		}
		if !found {
			t.Errorf("%s is not in all", id)
		}
		if slug := posted.text("Slug"); slug != "" && r.get("/api/Spaces-1/"+c.route+"/"+slug).text("Id") != id {
			t.Errorf("%s is not found by its slug", id)
		}
		if name := url.PathEscape(c.body.text("Name")); r.get("/api/Spaces-1/"+c.route+"/"+name).text("Id") != id {
			t.Errorf("%s is not found by its name", id)
		}
		changed := r.put("/api/Spaces-1/"+c.route+"/"+id, got)
		delete(got, "LastModifiedOn")
		delete(changed, "LastModifiedOn")
		if diff := cmp.Diff(got, changed); diff != "" {
			t.Errorf("%s: writing back what was read changes it:\n%s", c.route, diff)
		}
		r.want(400, "POST", "/api/Spaces-1/"+c.route, c.body) // the name is taken
		r.del("/api/Spaces-1/" + c.route + "/" + id)
		r.want(404, "GET", "/api/Spaces-1/"+c.route+"/"+id, nil)
	}
	if n := r.checks.Load(); n != 1 {
		t.Errorf("%d health checks for the one new machine that has an agent", n)
	}
}

func TestProjectComesWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/api/Spaces-1/projects", object{"name": "Shop", "lifecycleID": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	id := p.text("Id")
	if p.text("PersistenceSettings", "Type") != "Database" || p["AllowIgnoreChannelRules"] != true || p.text("VariableSetId") != "variableset-"+id {
		t.Errorf("project: %v", p)
	}
	channels := r.get("/api/Spaces-1/projects/" + id + "/channels").items()
	if len(channels) != 1 || channels[0]["IsDefault"] != true || channels[0].text("Type") != "Lifecycle" {
		t.Fatalf("channels: %v", channels)
	}
	process := r.get(p.text("Links", "DeploymentProcess"))
	if process.text("Id") != "deploymentprocess-"+id || len(list(process["Steps"])) != 0 {
		t.Errorf("process: %v", process)
	}
	settings := r.get(p.text("Links", "DeploymentSettings"))
	settings["ForcePackageDownload"] = true
	if got := r.put(settings.text("Links", "Self"), settings); got["ForcePackageDownload"] != true || got.text("Id") != "deploymentsettings-"+id {
		t.Errorf("settings: %v", got)
	}
	if got := r.get("/api/projects/" + id); got["ForcePackageDownload"] != true {
		t.Error("the settings are not the project's")
	}
	if got := r.get(p.text("Links", "Summary")); got["HasDeploymentProcess"] != false {
		t.Errorf("summary: %v", got)
	}
	r.want(400, "DELETE", "/api/Spaces-1/channels/"+channels[0].text("Id"), nil)
	beta := r.post("/api/Spaces-1/channels", object{"Name": "Beta", "ProjectId": id, "IsDefault": true})
	for _, c := range r.get("/api/Spaces-1/projects/" + id + "/channels").items() {
		if want := c.text("Id") == beta.text("Id"); c["IsDefault"] != want {
			t.Errorf("channel %s default: %v", c.text("Name"), c["IsDefault"])
		}
	}
	if body := r.want(400, "DELETE", "/api/Spaces-1/lifecycles/Lifecycles-1", nil); !strings.Contains(fmt.Sprint(body["Errors"]), "Shop") {
		t.Errorf("the error does not say who uses it: %v", body)
	}
	r.del("/api/Spaces-1/projects/" + id)
	for _, path := range []string{"projects/" + id, "channels/" + beta.text("Id"), "deploymentprocesses/deploymentprocess-" + id, "variables/variableset-" + id} {
		r.want(404, "GET", "/api/Spaces-1/"+path, nil)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/api/Spaces-1/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	process := r.get(p.text("Links", "DeploymentProcess"))
	process["Steps"] = []any{object{
		"Name": "Deploy web", "StartTrigger": "StartWithPrevious", "Properties": object{"Octopus.Action.TargetRoles": "web", "Gone": nil},
		"Actions": []any{object{
			"Name": "Deploy web", "ActionType": "Octopus.TentaclePackage",
			"Properties": object{"Secret": object{"HasValue": true, "NewValue": "hush"}, "Plain": "text"},
			"Packages":   []any{object{"PackageId": "Shop.Web", "FeedId": "feeds-builtin"}},
		}},
	}}
	saved := r.put(process.text("Links", "Self"), process)
	step := sub(list(saved["Steps"])[0])
	action := sub(list(step["Actions"])[0])
	if step["StartTrigger"] != "StartAfterPrevious" || step["Id"] == "" || action.text("Id") == "" || action.text("Slug") != "deploy-web" {
		t.Errorf("step: %v", step)
	}
	if _, there := sub(step["Properties"])["Gone"]; there {
		t.Error("a null came back: clients take it for a secret")
	}
	if diff := cmp.Diff(map[string]any{"HasValue": true, "NewValue": nil, "Hint": nil}, sub(action["Properties"])["Secret"]); diff != "" {
		t.Errorf("secret:\n%s", diff)
	}
	if sub(action["Properties"])["Octopus.Action.Package.PackageId"] != "Shop.Web" {
		t.Error("the old package properties are not in step")
	}
	if body := r.want(409, "PUT", process.text("Links", "Self"), process); body["Errors"] == nil {
		t.Errorf("a lost lock: %v", body)
	}
	again := r.put(saved.text("Links", "Self"), saved)
	if again["Version"] != number(saved["Version"])+1 {
		t.Errorf("version %v after %v", again["Version"], saved["Version"])
	}
	template := r.get(before(saved.text("Links", "Template"), "{") + "?channel=Channels-1")
	if template.text("NextVersionIncrement") != "0.0.1" || len(list(template["Packages"])) != 1 {
		t.Errorf("template: %v", template)
	}
}

// A secret is written once and read never (octopus-api.md 1.8, 2.7).
func TestVariables(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	environment := r.post("/api/Spaces-1/environments", object{"Name": "Dev"}).text("Id")
	p := r.post("/api/Spaces-1/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	set := r.get(p.text("Links", "Variables"))
	set["Variables"] = []any{
		object{"Name": "Url", "Value": "dev.example.com", "Scope": object{"Environment": []string{environment}}},
		object{"Name": "Url", "Value": "example.com"},
		object{"Name": "Password", "Value": "hush", "IsSensitive": true, "Type": "Sensitive"},
	}
	saved := r.put(set.text("Links", "Self"), set)
	secretOf := func(s object) object { return sub(list(s["Variables"])[2]) }
	if v := secretOf(saved); v["Value"] != nil || v.text("Id") == "" || v["IsSensitive"] != true || v["IsEditable"] != true {
		t.Errorf("secret: %v", v)
	}
	kept := r.put(saved.text("Links", "Self"), saved)
	if _, raw := r.send("GET", saved.text("Links", "Self"), nil); strings.Contains(raw, "hush") {
		t.Error("the secret is readable")
	}
	if got := r.secretIn(kept.text("Id"), secretOf(kept).text("Id")); got != "hush" {
		t.Errorf("writing null back left %q", got)
	}
	values := sub(kept["ScopeValues"])
	for _, name := range []string{"Environments", "Machines", "Actions", "Roles", "Channels", "TenantTags", "Processes"} {
		if _, ok := values[name].([]any); !ok {
			t.Errorf("ScopeValues.%s is %v", name, values[name])
		}
	}
	preview := r.get("/api/Spaces-1/variables/preview?project=shop&environment=" + environment)
	if v := list(preview["Variables"]); len(v) != 2 || sub(v[1]).text("Value") != "dev.example.com" {
		t.Errorf("preview: %v", v)
	}
	if names := r.array("/api/Spaces-1/variables/names?project=Shop"); len(names) != 2 {
		t.Errorf("names: %v", names)
	}
	r.want(409, "PUT", set.text("Links", "Self"), set)
	r.want(404, "GET", "/api/Spaces-1/variables/variableset-Projects-999", nil)
}
