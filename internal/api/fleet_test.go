package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func TestSpaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.want(400, "POST", "/api/spaces", object{"Name": "Nobody's"})
	space := r.post("/api/spaces", object{"Name": "Second", "SpaceManagersTeamMembers": []string{"Users-1"}, "TaskQueueStopped": true, "IsDefault": true})
	id := space.text("Id")
	if space["IsDefault"] != false || space["TaskQueueStopped"] != false || fmt.Sprint(space["SpaceManagersTeams"]) != "[teams-spacemanagers-"+id+"]" {
		t.Errorf("space: %v", space)
	}
	for _, route := range []string{"lifecycles", "projectgroups", "machinepolicies", "workerpools", "feeds"} {
		if len(r.array("/api/"+id+"/"+route+"/all")) == 0 {
			t.Errorf("a new space has no %s", route)
		}
	}
	r.post("/api/"+id+"/projects", object{
		"Name": "P", "LifecycleId": sub(r.array("/api/" + id + "/lifecycles/all")[0])["Id"], "ProjectGroupId": sub(r.array("/api/" + id + "/projectgroups/all")[0])["Id"],
	})
	space["SpaceManagersTeams"] = []string{} // as Terraform sends it
	space["Name"] = "Renamed"
	changed := r.put("/api/spaces/"+id, space)
	if changed.text("Slug") != "second" || len(list(changed["SpaceManagersTeams"])) != 1 {
		t.Errorf("changed: %v", changed)
	}
	r.want(400, "DELETE", "/api/spaces/"+id, nil)
	r.want(400, "DELETE", "/api/spaces/Spaces-1", nil)
	changed["TaskQueueStopped"] = true
	r.put("/api/spaces/"+id, changed)
	r.del("/api/spaces/" + id)
	r.want(404, "GET", "/api/"+id+"/projects", nil)
}

func TestEnvironmentOrderAndSummary(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for _, name := range []string{"Dev", "Test", "Prod"} {
		ids = append(ids, r.post("/api/environments", object{"Name": name}).text("Id"))
	}
	for i, name := range []string{"web-1", "web-2"} {
		r.post("/api/machines", object{"Name": name, "IsDisabled": i == 1, "EnvironmentIds": []string{ids[0]}, "Roles": []string{"web", "Db"}, "Endpoint": object{"CommunicationStyle": "None"}})
	}
	r.want(200, "GET", "/api/lifecycles/Lifecycles-1/preview", nil)
	sort := []string{ids[2], ids[0]}
	if status, answer := r.send("PUT", "/api/environments/sortorder", sort); status != 200 {
		t.Fatalf("sort: %d %s", status, answer)
	}
	got := ""
	for _, e := range r.get("/api/environments").items() {
		got += e.text("Name") + " "
	}
	if got != "Prod Dev Test " {
		t.Errorf("order: %s", got)
	}
	phases := list(r.get("/api/lifecycles/Lifecycles-1/preview")["Phases"])
	if len(phases) != 3 || sub(phases[0])["Name"] != "Prod" {
		t.Errorf("phases: %v", phases)
	}
	summary := r.get("/api/environments/summary?hideEmptyEnvironments=true")
	if summary["TotalMachines"] != 2.0 || summary["TotalDisabledMachines"] != 1.0 || len(list(summary["EnvironmentSummaries"])) != 1 {
		t.Errorf("summary: %v", summary)
	}
	if roles := r.array("/api/machineroles/all"); fmt.Sprint(roles) != "[Db web]" {
		t.Errorf("roles: %v", roles)
	}
	if got := r.get("/api/environments/v2?name=de").items(); len(got) != 1 || got[0].text("Type") != "Static" {
		t.Errorf("v2: %v", got)
	}
	if n := len(r.get("/api/environments/" + ids[0] + "/machines").items()); n != 2 {
		t.Errorf("%d machines of Dev", n)
	}
	if n := len(r.get("/api/machines?roles=WEB&isDisabled=false").items()); n != 1 {
		t.Errorf("%d enabled web machines", n)
	}
	r.want(400, "DELETE", "/api/environments/"+ids[0], nil) // machines use it
}

func TestMachinesKeepWhatAgentsReport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dev := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	m := r.post("/api/machines", object{
		"Name": "web", "EnvironmentIds": []string{dev}, "Roles": []string{"web"}, "HealthStatus": "Healthy", "KeySha256": strings.Repeat("a", 64),
		"Endpoint": object{"CommunicationStyle": "TentaclePassive", "Uri": "https://web:10933/", "Thumbprint": "AA"},
	})
	if m.text("HealthStatus") != "Unknown" || m["KeySha256"] != nil || m.text("MachinePolicyId") != "MachinePolicies-1" || m.text("Thumbprint") != "AA" {
		t.Errorf("machine: %v", m)
	}
	id := m.text("Id")
	check(t, r.db.Write(t.Context(), func(tx *store.Tx) error { // as the gateway does
		stored, err := store.Get[resource.Machine](tx, id)
		if err != nil {
			return err
		}
		stored.HealthStatus, stored.KeySha256 = resource.Healthy, strings.Repeat("b", 64)
		return store.Update(tx, stored)
	}))
	if got := r.put("/api/machines/"+id, m); got.text("HealthStatus") != "Healthy" || got.text("KeySha256") != strings.Repeat("b", 64) {
		t.Errorf("an edit lost what the agent reported: %v", got)
	}
	m["Endpoint"] = object{"CommunicationStyle": "TentaclePassive", "Uri": "https://web:10933/", "Thumbprint": "BB"}
	if got := r.put("/api/machines/"+id, m); got["KeySha256"] != nil || got.text("Thumbprint") != "BB" {
		t.Errorf("the key of another agent stays trusted: %v", got)
	}
	if n := r.checks.Load(); n != 2 {
		t.Errorf("%d health checks for a machine that came and was replaced", n)
	}
	if got := r.get("/api/machines/" + id + "/connection"); got.text("MachineId") != id || len(list(got["Logs"])) != 1 {
		t.Errorf("connection: %v", got)
	}
	r.want(503, "GET", "/api/machines/discover?host=web&port=10933", nil)
	for _, query := range []string{"", "host=https://web/", "host=web&port=x", "host=web&port=65536", "host=web&type=Ssh", "host=web&proxyId=Proxies-1"} {
		r.want(400, "GET", "/api/machines/discover?"+query, nil)
	}
}

func TestMachinePolicies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.want(400, "DELETE", "/api/machinepolicies/MachinePolicies-1", nil)
	template := r.get("/api/machinepolicies/template")
	template["Name"] = "Mine"
	policy := r.post("/api/machinepolicies", template)
	for _, span := range []string{"PollingRequestQueueTimeout", "ConnectionConnectTimeout", "ConnectionRetryTimeLimit"} {
		if len(policy.text(span)) != 8 {
			t.Errorf("%s is %q", span, policy.text(span))
		}
	}
	dev := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	m := r.post("/api/machines", object{
		"Name": "m", "EnvironmentIds": []string{dev}, "Roles": []string{"web"}, "MachinePolicyId": policy.text("Id"), "Endpoint": object{"CommunicationStyle": "None"},
	})
	r.del("/api/machinepolicies/" + policy.text("Id"))
	if got := r.get("/api/machines/" + m.text("Id")); got.text("MachinePolicyId") != "MachinePolicies-1" {
		t.Errorf("the machine has no policy: %v", got)
	}
}

func TestFeedsAndRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	check(t, r.db.Write(t.Context(), func(tx *store.Tx) error {
		for _, version := range []string{"1.0.0", "1.10.0", "1.9.0", "2.0.0-beta.1"} {
			p := &resource.Package{PackageID: "Shop.Web", Version: version, FeedID: resource.BuiltInFeed, FileExtension: ".zip", Sha256: strings.Repeat("0", 64)}
			p.SpaceID = resource.DefaultSpace
			if err := store.InsertAs(tx, p, resource.PackageID(p.SpaceID, p.PackageID, version)); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := r.get("/api/feeds/stats"); got["TotalPackages"] != 4.0 {
		t.Errorf("stats: %v", got)
	}
	found := r.get("/api/feeds/feeds-builtin/packages/search?term=shop").items()
	if len(found) != 1 || found[0].text("LatestVersion") != "2.0.0-beta.1" {
		t.Fatalf("search: %v", found)
	}
	versions := func(query string) (list string) {
		path := before(found[0].text("Links", "SearchPackageVersionsTemplate"), "{")
		for _, v := range r.get(path + query).items() {
			list += v.text("Version") + " "
		}
		return list
	}
	for query, want := range map[string]string{
		"":                           "2.0.0-beta.1 1.10.0 1.9.0 1.0.0 ",
		"&includePreRelease=false":   "1.10.0 1.9.0 1.0.0 ",
		"&versionRange=%5B1.0,1.10)": "1.9.0 1.0.0 ",
		"&preReleaseTag=beta":        "2.0.0-beta.1 ",
		"&take=1&skip=1":             "1.10.0 ",
	} {
		if got := versions(query); got != want {
			t.Errorf("versions%s: %q, want %q", query, got, want)
		}
	}
	r.want(400, "GET", "/api/feeds/feeds-builtin/packages/versions?packageId=Shop.Web&versionRange=%5B1", nil)
	remote := r.post("/api/feeds", object{"Name": "Hub", "FeedType": "Docker", "FeedUri": "https://hub.invalid", "Username": "u", "Password": object{"HasValue": true, "NewValue": "hush"}})
	if got := r.get("/api/feeds/" + remote.text("Id") + "/packages/search?term=x"); got["TotalResults"] != 0.0 {
		t.Errorf("remote: %v", got)
	}
	remote["FeedUri"] = "https://evil.invalid" // abuse 42: a credential does not move to another host
	if got := r.put("/api/feeds/"+remote.text("Id"), remote); got["Password"] != nil {
		t.Errorf("the password went along: %v", got["Password"])
	}
	r.want(400, "DELETE", "/api/feeds/feeds-builtin", nil)
	r.want(400, "POST", "/api/feeds", object{"Name": "Second", "FeedType": "BuiltIn"})
	rule := r.get("/api/channels/rule-test?version=1.5.0-beta&versionRange=%5B1.0,2.0)&preReleaseTag=%5Ebeta$")
	if rule["SatisfiesVersionRange"] != true || rule["SatisfiesPreReleaseTag"] != true || rule["IsValid"] != true {
		t.Errorf("rule: %v", rule)
	}
	if bad := r.get("/api/channels/rule-test?version=1.0&versionRange=%5B1&preReleaseTag=("); bad["IsValid"] != false || len(list(bad["Errors"])) != 2 {
		t.Errorf("bad rule: %v", bad)
	}
}

func TestCloneProject(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/api/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1", "Description": "old"})
	set := r.get(p.text("Links", "Variables"))
	set["Variables"] = []any{object{"Name": "Password", "Value": "hush", "IsSensitive": true}, object{"Name": "Url", "Value": "x"}}
	r.put(set.text("Links", "Self"), set)
	clone := r.post("/api/projects?clone="+p.text("Id"), object{"Name": "Copy", "ProjectGroupId": "ProjectGroups-1", "LifecycleId": "Lifecycles-1"})
	if clone.text("ClonedFromProjectId") != p.text("Id") || clone.text("VariableSetId") != "variableset-"+clone.text("Id") {
		t.Errorf("clone: %v", clone)
	}
	copied := list(r.get(clone.text("Links", "Variables"))["Variables"])
	if len(copied) != 2 {
		t.Fatalf("variables: %v", copied)
	}
	if got := r.secretIn(clone.text("VariableSetId"), sub(copied[0]).text("Id")); got != "hush" {
		t.Errorf("the copy's secret is %q", got)
	}
}

// Every change of a document is one row of the audit, with what changed and
// without a secret (abuse 73, I11).
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.post("/api/environments", object{"Name": "Dev"})
	id := e.text("Id")
	e["Description"] = "for developers"
	r.put("/api/environments/"+id, e)
	r.put("/api/environments/"+id, e) // changes nothing
	r.del("/api/environments/" + id)
	events := r.get("/api/events?regarding=" + id).items()
	got := ""
	for _, event := range events {
		got += event.text("Category") + " "
		if event.text("Username") != "admin" || event.text("SpaceId") != "Spaces-1" || !strings.HasPrefix(event.text("IdentityEstablishedWith"), "API key APIKeys-") {
			t.Errorf("event: %v", event)
		}
	}
	if got != "Deleted Modified Created " {
		t.Fatalf("I11: events: %s", got)
	}
	if diff := fmt.Sprint(events[1]["ChangeDetails"]); !strings.Contains(diff, "for developers") {
		t.Errorf("differences: %s", diff)
	}
	if one := r.get("/api/events/" + events[0].text("Id")); one.text("Message") != "Environment Dev was deleted." {
		t.Errorf("message: %v", one)
	}
	if n := len(r.get("/api/Spaces-1/events?eventCategories=Created&users=Users-1&documentTypes=Environments").items()); n != 1 {
		t.Errorf("%d events by filter", n)
	}
}
