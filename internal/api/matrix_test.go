package api_test

import (
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// member makes a user with one role in one space ("" is the system) and
// returns him with his key. role "" gives none.
func (r *rig) member(name, role, space string) *rig {
	r.t.Helper()
	user := r.post("/api/users", object{"Username": name, "DisplayName": name, "Password": "a long enough password"})
	id := user.text("Id")
	key := r.post("/api/users/"+id+"/apikeys", object{"Purpose": "test"}).text("ApiKey")
	if role != "" {
		check(r.t, r.db.Write(r.t.Context(), func(tx *store.Tx) error {
			team := &resource.Team{Name: "Team of " + name, MemberUserIDs: []string{id}}
			team.SpaceID = space
			if err := store.Insert(tx, team); err != nil {
				return err
			}
			scoped := &resource.ScopedUserRole{TeamID: team.ID, UserRoleID: role}
			scoped.SpaceID = space
			return store.Insert(tx, scoped)
		}))
	}
	return r.as(key)
}

// dump is every row of the database except the audit: what a refused request
// must leave as it was (abuse 31, I12).
func (r *rig) dump() string {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.data, "slipway.db")+"?mode=ro")
	check(r.t, err)
	defer db.Close()
	var out strings.Builder
	for _, table := range tables(r.t, db) {
		if table == "counter" { // a claimed number is never given back
			continue
		}
		dumpTable(r.t, db, table, &out)
	}
	return out.String()
}

func tables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		names = append(names, name)
	}
	check(t, rows.Err())
	return names
}

func dumpTable(t *testing.T, db *sql.DB, table string, out *strings.Builder) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM "`+table+`"`)
	check(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	check(t, err)
	var lines []string
	for rows.Next() {
		cells, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			places[i] = &cells[i]
		}
		check(t, rows.Scan(places...))
		lines = append(lines, fmt.Sprintln(table, cells))
	}
	check(t, rows.Err())
	slices.Sort(lines)
	out.WriteString(strings.Join(lines, ""))
}

// pathOf is an address of a route: with a space where it has one, and with ids
// that exist where the test knows some.
func pathOf(r api.Route, space string, ids map[string]string) string {
	path := "/api"
	if r.Scope != route.Global && space != "" {
		path += "/" + space
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(r.Pattern, "/"), "/")
	for segment := range strings.SplitSeq(strings.TrimPrefix(r.Pattern, "/"), "/") {
		if strings.HasPrefix(segment, "{") {
			if segment = ids[kind]; segment == "" {
				segment = "nothing-1"
			}
		}
		if segment != "" {
			path += "/" + segment
		}
	}
	return path
}

// open says that a route needs no caller (a session's own routes, the root
// document, registration by token).
func open(r api.Route) bool { return r.Permission == authz.Public || r.Permission == api.Token }

// abuse 23, 29, 31: every route of the table refuses whom it does not know,
// with JSON, and leaves the database as it was.
func TestEveryRouteRefusesStrangers(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	r := newRig(t)
	outsider := r.member("outsider", "", "")
	ids := map[string]string{
		"projects": "Projects-1", "environments": "Environments-1", "machines": "Machines-1", "lifecycles": "Lifecycles-1",
		"spaces": "Spaces-1", "users": "Users-1", "teams": "teams-administrators", "channels": "Channels-1", "feeds": "feeds-builtin",
		"deploymentprocesses": "deploymentprocess-Projects-1", "variables": "variableset-Projects-1",
		"machinepolicies": "MachinePolicies-1", "workerpools": "WorkerPools-1", "projectgroups": "ProjectGroups-1",
	}
	environment := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	r.post("/api/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	r.post("/api/machines", object{"Name": "m", "EnvironmentIds": []string{environment}, "Roles": []string{"web"}, "Endpoint": object{"CommunicationStyle": "None"}})
	before := r.dump()
	strangers := []struct {
		name   string
		who    *rig
		status []int
	}{
		{"nobody", r.as(""), []int{401}},
		{"a wrong key", r.as("API-" + strings.Repeat("A", 36)), []int{401}},
		// Somebody without any role does not learn that the space exists. What
		// asks for no permission answers about himself only.
		{"somebody without a role", outsider, []int{403, 404}},
	}
	routes := api.PermissionsOf(areas(r)...)
	for _, entry := range routes {
		for _, s := range strangers {
			if open(entry) || s.who == outsider && entry.Permission == authz.SignedIn {
				continue
			}
			path := pathOf(entry, "Spaces-1", ids)
			status, body := s.who.send(entry.Method, path, bodyFor(entry))
			if !slices.Contains(s.status, status) || !strings.HasPrefix(body, `{"ErrorMessage":`) {
				t.Errorf("I12: %s: %s %s: %d %.200s", s.name, entry.Method, path, status, body)
			}
		}
	}
	if after := r.dump(); after != before {
		t.Error("I12: a refused request changed the database")
	}
	if len(routes) < 150 {
		t.Errorf("only %d routes were walked", len(routes))
	}
}

func bodyFor(r api.Route) any {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		return nil
	}
	if r.Pattern == "/environments/sortorder" {
		return []string{}
	}
	return object{"Name": "Intruder", "Username": "intruder", "Version": 1}
}

// abuse 29, 31: who may only look changes nothing, whatever he sends; and what
// is refused, for whatever reason, leaves no trace.
func TestViewersChangeNothing(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	r := newRig(t)
	viewer := r.member("viewer", "userroles-projectviewer", "Spaces-1")
	environment := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	r.post("/api/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	r.post("/api/machines", object{"Name": "m", "EnvironmentIds": []string{environment}, "Roles": []string{"web"}, "Endpoint": object{"CommunicationStyle": "None"}})
	ids := map[string]string{"projects": "Projects-1", "environments": "Environments-1", "machines": "Machines-1", "lifecycles": "Lifecycles-1", "channels": "Channels-1"}
	if got := viewer.get("/api/Spaces-1/projects/Projects-1"); got.text("Name") != "Shop" {
		t.Fatalf("a viewer does not see: %v", got)
	}
	before := r.dump()
	for _, entry := range api.PermissionsOf(areas(r)...) {
		if entry.Method == http.MethodGet || open(entry) || strings.Contains(entry.Pattern, "apikeys") {
			continue // everybody makes keys of his own
		}
		status, body := viewer.send(entry.Method, pathOf(entry, "Spaces-1", ids), bodyFor(entry))
		harmless := status == 200 && (strings.HasSuffix(entry.Pattern, "/rule-test") || strings.HasSuffix(entry.Pattern, "/previews"))
		if status < 400 && !harmless {
			t.Errorf("I12: %s: %d %.200s", entry, status, body)
		}
	}
	if after := r.dump(); after != before {
		t.Error("I12: a viewer changed the database")
	}
}

// abuse 31, 40: what a grant's limits do not cover is refused, and leaves no
// trace.
func TestRefusedInTheirScope(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	r := newRig(t)
	dev := r.post("/api/environments", object{"Name": "Dev"}).text("Id")
	prod := r.post("/api/environments", object{"Name": "Prod"}).text("Id")
	keeper := r.member("keeper", "userroles-environmentmanager", "Spaces-1")
	r.limit("keeper", func(s *resource.ScopedUserRole) { s.EnvironmentIDs = []string{dev} })
	machine := func(name, environment string) object {
		return object{"Name": name, "EnvironmentIds": []string{environment}, "Roles": []string{"web"}, "Endpoint": object{"CommunicationStyle": "None"}}
	}
	own := keeper.post("/api/Spaces-1/machines", machine("dev-1", dev))
	moved := maps.Clone(own)
	moved["EnvironmentIds"] = []string{prod}
	before := r.dump()
	for what, try := range map[string]struct {
		method, path string
		body         object
	}{
		"a machine made elsewhere":  {"POST", "/api/Spaces-1/machines", machine("prod-1", prod)},
		"a machine moved elsewhere": {"PUT", own.text("Links", "Self"), moved},
		"an environment made":       {"POST", "/api/Spaces-1/environments", object{"Name": "New"}},
	} {
		if status, body := keeper.send(try.method, try.path, try.body); status != 403 {
			t.Errorf("I12: %s: %d %.200s", what, status, body)
		}
	}
	if after := r.dump(); after != before {
		t.Error("I12: a refused request changed the database")
	}
}

// abuse 30: what is in another space is as missing as what never was, in every
// answer, by every address, and as a reference.
func TestSpacesAreIsolated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := r.post("/api/spaces", object{"Name": "Second", "SpaceManagersTeamMembers": []string{"Users-1"}}).text("Id")
	if second != "Spaces-2" {
		t.Fatalf("second space is %s", second)
	}
	mine := r.post("/api/Spaces-2/environments", object{"Name": "Theirs"}).text("Id")
	guest := r.member("guest", "userroles-spacemanager", "Spaces-1")
	for _, path := range []string{"/api/Spaces-2", "/api/Spaces-2/environments", "/api/spaces/Spaces-2/environments", "/api/spaces/Spaces-2", "/api/second/environments/all"} {
		_, there := guest.send("GET", path, nil)
		_, none := guest.send("GET", strings.NewReplacer("Spaces-2", "Spaces-9", "second", "ninth").Replace(path), nil)
		if strings.NewReplacer("Spaces-2", "Spaces-9", "second", "ninth").Replace(there) != none || !strings.Contains(none, "was not found") {
			t.Errorf("%s tells a space that is there (%s) from one that is not (%s)", path, there, none)
		}
	}
	if spaces := guest.array("/api/spaces/all"); len(spaces) != 1 {
		t.Errorf("a guest sees %d spaces", len(spaces))
	}
	for _, who := range []*rig{r, guest} {
		who.want(404, "GET", "/api/Spaces-1/environments/"+mine, nil)
		who.want(404, "DELETE", "/api/Spaces-1/environments/"+mine, nil)
		if n := len(who.get("/api/Spaces-1/environments?ids=" + mine).items()); n != 0 {
			t.Error("ids= reaches into another space")
		}
		who.want(400, "POST", "/api/Spaces-1/machines", object{
			"Name": "spy", "EnvironmentIds": []string{mine}, "Roles": []string{"web"}, "Endpoint": object{"CommunicationStyle": "None"},
		})
	}
	events := guest.get("/api/events?take=1000").items()
	for _, e := range events {
		if e.text("SpaceId") != "Spaces-1" {
			t.Errorf("a guest reads %s of %q", e.text("Id"), e.text("SpaceId"))
		}
	}
	if len(r.get("/api/events?spaces=Spaces-2").items()) == 0 {
		t.Error("the administrator does not read the second space's audit")
	}
}
