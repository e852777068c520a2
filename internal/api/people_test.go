package api_test

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// octopus-api.md 2.17, abuse 23, 27
func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made := r.post("/api/users/me/apikeys", object{"purpose": "ci", "Expires": "2026-01-03T00:00:00.000+00:00"})
	key, id := made.text("ApiKey"), made.text("Id")
	if !strings.HasPrefix(key, "API-") {
		t.Fatalf("ApiKey is no text: %v", made)
	}
	shown := r.get("/api/users/Users-1/apikeys/" + id)
	if strings.Contains(shown.text("ApiKey", "Hint"), key) || sub(shown["ApiKey"])["HasValue"] != true {
		t.Errorf("shown: %v", shown)
	}
	if _, raw := r.send("GET", "/api/users/Users-1/apikeys", nil); strings.Contains(raw, key) || strings.Contains(raw, "Hash") {
		t.Errorf("the list shows the key: %s", raw)
	}
	if got := r.as(key).get("/api/users/me"); got.text("Username") != "admin" {
		t.Errorf("the key is not his: %v", got)
	}
	r.clock.Store(86_400_000) // over at midnight
	r.as(key).want(401, "GET", "/api/users/me", nil)
	r.clock.Store(0)
	r.del("/api/users/Users-1/apikeys/" + id)
	r.as(key).want(401, "GET", "/api/users/me", nil)
	r.want(400, "POST", "/api/users/me/apikeys", object{"Purpose": "late", "Expires": "2020-01-01T00:00:00Z"})
}

// abuse 24, 38: nobody gets a key of somebody stronger, and nobody makes
// himself stronger.
func TestNobodyBecomesAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	manager := r.member("manager", resource.RoleSystemManager, "")
	manager.want(403, "POST", "/api/users/Users-1/apikeys", object{"Purpose": "steal"})
	manager.want(403, "GET", "/api/users/Users-1/apikeys", nil)
	plain := r.member("plain", "", "")
	plain.want(404, "GET", "/api/users/Users-1", nil)
	plain.want(403, "POST", "/api/users", object{"Username": "x", "Password": "a long enough password"})
	me := plain.get("/api/users/me")
	me["DisplayName"] = "Plain Person"
	if got := plain.put(me.text("Links", "Self"), me); got.text("DisplayName") != "Plain Person" {
		t.Errorf("own name: %v", got)
	}
	me["Username"] = "admin2"
	plain.want(403, "PUT", me.text("Links", "Self"), me)
	sets := plain.get("/api/users/me/permissions")
	if len(list(sets["SystemPermissions"])) != 0 || len(list(sets["Teams"])) != 1 {
		t.Errorf("permissions: %v", sets)
	}
	r.want(400, "DELETE", "/api/users/Users-1", nil)
	key, user := plain.key, me.text("Id")
	r.put("/api/users/"+user, object{"Username": "plain", "DisplayName": "Plain", "IsActive": false})
	r.as(key).want(401, "GET", "/api/users/me", nil)
	r.del("/api/users/" + user)
	r.want(404, "GET", "/api/users/"+user, nil)
}

// abuse 17, 19, 27 over the real store.
func TestLoginWithAPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nobody := r.as("")
	r.clock.Add(10)
	user := nobody.want(200, "POST", "/api/users/login", object{"Username": " ADMIN", "Password": "correct horse battery"})
	if user.text("Id") != "Users-1" || user["PasswordHash"] != nil {
		t.Errorf("user: %v", user)
	}
	wrong := nobody.want(401, "POST", "/api/users/login", object{"Username": "admin", "Password": "wrong"})
	unknown := nobody.want(401, "POST", "/api/users/login", object{"Username": "nobody", "Password": "wrong"})
	if wrong.text("ErrorMessage") != unknown.text("ErrorMessage") {
		t.Error("the answer tells whether there is such a user")
	}
	service := r.post("/api/users", object{"Username": "robot", "DisplayName": "Robot", "IsService": true})
	if service["IsActive"] != true || service["CanPasswordBeEdited"] != false {
		t.Errorf("service: %v", service)
	}
	nobody.want(401, "POST", "/api/users/login", object{"Username": "robot", "Password": ""})
	r.want(400, "POST", "/api/users", object{"Username": "short", "DisplayName": "x", "Password": "short"})
	r.want(400, "POST", "/api/users", object{"Username": "ＡＤＭＩＮ", "DisplayName": "x", "Password": "a long enough password"})
	found := false
	for _, e := range r.get("/api/events?eventGroups=Login").items() {
		found = found || e.text("Category") == resource.EventLoginFailed
	}
	if !found {
		t.Error("a failed login is not in the audit")
	}
}

func TestTeamsAndRoles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if n := len(r.get("/api/teams").items()); n != 4 {
		t.Errorf("%d teams", n)
	}
	if n := len(r.get("/api/Spaces-1/teams?includeSystem=false").items()); n != 1 {
		t.Errorf("%d teams of the space", n)
	}
	team := r.get("/api/teams/teams-administrators")
	roles := r.get(before(team.text("Links", "ScopedUserRoles"), "{")).items()
	if len(roles) == 0 || roles[0].text("TeamId") != "teams-administrators" {
		t.Errorf("roles: %v", roles)
	}
	admin := r.get("/api/userroles/userroles-systemadministrator")
	if len(list(admin["GrantedSystemPermissions"])) == 0 || admin["CanBeDeleted"] != false {
		t.Errorf("role: %v", admin)
	}
	spaces := r.array("/api/users/Users-1/spaces")
	if len(spaces) != 1 {
		t.Fatalf("spaces: %v", spaces)
	}
	for _, path := range []string{"/api/userroles/all", "/api/users/all", "/api/teams/all", "/api/users/me/teams", "/api/permissions/all"} {
		if len(r.array(path)) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
}

// abuse 5, 6: a token lets exactly one machine in, within its grant.
func TestRegistrationToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dev := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	prod := r.post("/api/environments", object{"Name": "Prod"}).text("Id")
	issue := func() *rig {
		issued := r.post("/api/Spaces-1/machines/registration-tokens", object{"Name": "web", "EnvironmentIds": []string{"Dev"}, "Roles": []string{"web", "db"}})
		return r.as(issued.text("Token"))
	}
	machine := func(name string, more object) object {
		body := object{"Name": name, "Endpoint": object{"CommunicationStyle": "TentacleActive", "Uri": "poll://abc/", "Thumbprint": "AB12"}}
		maps.Copy(body, more)
		return body
	}
	token := issue()
	for name, body := range map[string]object{
		"another environment": {"Environments": []string{prod}}, "both": {"Environments": []string{dev, prod}},
		"another role": {"Roles": []string{"web", "admin"}}, "an unknown environment": {"Environments": []string{"Nowhere"}},
	} {
		if status, answer := token.send("POST", "/api/machines/register", machine("greedy", body)); status != 403 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if n := len(r.array("/api/machines/all")); n != 0 {
		t.Fatalf("%d machines after refusals", n)
	}
	got := token.post("/api/machines/register", machine("web-1", object{"Roles": []string{"WEB"}}))
	if ids := list(got["EnvironmentIds"]); len(ids) != 1 || ids[0] != dev {
		t.Errorf("machine: %v", got)
	}
	token.want(409, "POST", "/api/machines/register", machine("web-2", nil))

	token = issue()
	var wait sync.WaitGroup
	results := make([]int, 8)
	for i := range results {
		wait.Go(func() {
			results[i], _ = token.send("POST", "/api/machines/register", machine("race-"+string(rune('a'+i)), nil))
		})
	}
	wait.Wait()
	count := map[int]int{}
	for _, status := range results {
		count[status]++
	}
	if count[201] != 1 || count[409] != len(results)-1 {
		t.Errorf("eight at once: %v", count)
	}

	token = issue()
	r.clock.Add(3_600_001)
	token.want(403, "POST", "/api/machines/register", machine("late", nil))
	r.as("REG-"+strings.Repeat("A", 40)).want(403, "POST", "/api/machines/register", machine("guess", nil))
	r.as("").want(401, "POST", "/api/machines/register", machine("nobody", nil))
	token.want(401, "GET", "/api/machines", nil) // it opens nothing else
	if _, raw := r.send("GET", "/api/machines/registration-tokens", nil); strings.Contains(raw, "Hash") || strings.Contains(raw, token.key) {
		t.Errorf("the list shows tokens: %s", raw)
	}
}

// abuse 32, 33, 40: limits of a grant hold for what is read, for what is
// written, and for where it goes.
func TestGrantsWithLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dev := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	prod := r.post("/api/environments", object{"Name": "Prod"}).text("Id")
	keeper := r.member("keeper", "userroles-environmentmanager", "Spaces-1")
	r.limit("keeper", func(s *resource.ScopedUserRole) { s.EnvironmentIDs = []string{dev} })
	machine := func(name, environment string) object {
		return object{"Name": name, "EnvironmentIds": []string{environment}, "Roles": []string{"web"}, "Endpoint": object{"CommunicationStyle": "None"}}
	}
	theirs := r.post("/api/machines", machine("prod-1", prod)).text("Id")
	own := keeper.post("/api/Spaces-1/machines", machine("dev-1", dev))
	keeper.want(403, "POST", "/api/Spaces-1/machines", machine("prod-2", prod))
	keeper.want(404, "GET", "/api/Spaces-1/machines/"+theirs, nil)
	if list := keeper.get("/api/Spaces-1/machines?take=1"); list["TotalResults"] != 1.0 || len(list.items()) != 1 {
		t.Errorf("list: %v", list)
	}
	own["EnvironmentIds"] = []string{prod}
	keeper.want(403, "PUT", own.text("Links", "Self"), own) // abuse 40
	keeper.want(403, "POST", "/api/Spaces-1/environments", object{"Name": "New"})
	keeper.want(404, "DELETE", "/api/Spaces-1/environments/"+prod, nil)
	if n := len(keeper.array("/api/Spaces-1/environments/all")); n != 1 {
		t.Errorf("sees %d environments", n)
	}
}

// limit narrows the one role that member gave.
func (r *rig) limit(name string, change func(*resource.ScopedUserRole)) {
	r.t.Helper()
	check(r.t, r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		team, err := store.Find[resource.Team](tx, "Spaces-1", "Team of "+name)
		if err != nil {
			return err
		}
		scoped, err := store.First[resource.ScopedUserRole](tx, store.Query{AllSpaces: true, Where: map[string][]string{"TeamId": {team.ID}}})
		if err != nil {
			return err
		}
		change(scoped)
		return store.Update(tx, scoped)
	}))
}

func TestServerStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.clock.Add(61_000)
	if got := r.get("/api/serverstatus/health"); got.text("Description") == "" || got["IsOperatingNormally"] != true {
		t.Errorf("health: %v", got)
	}
	info := r.get("/api/serverstatus/system-info")
	for _, name := range []string{"Version", "ClrVersion", "OSVersion", "Uptime"} {
		if info.text(name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if counts := r.get("/api/serverstatus/counts"); sub(counts["Global"])["Spaces"] != 1.0 {
		t.Errorf("counts: %v", counts)
	}
	status, body := r.send(http.MethodGet, "/api/serverstatus/system-report", nil)
	if status != 200 || !strings.HasPrefix(body, "PK") {
		t.Errorf("report: %d %.20q", status, body)
	}
	for _, path := range []string{"/api/events/agents", "/api/events/categories", "/api/events/documenttypes", "/api/events/groups", "/api/serverstatus/timezones"} {
		if len(r.array(path)) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	for _, path := range []string{"/api/Spaces-1/interruptions", "/api/Spaces-1/tagsets?scopes=Target", "/api/Spaces-1/tenants?projectId=x", "/api/Spaces-1/accounts"} {
		if got := r.get(path); got["TotalResults"] != 0.0 {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := r.get("/api/Spaces-1/retentionpolicies?RetentionType=LifecycleRelease"); got.text("Strategy") != "Forever" || got["QuantityToKeep"] != 0.0 {
		t.Errorf("retention: %v", got)
	}
}
