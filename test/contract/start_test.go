package contract_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/feeds"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/lifecycles"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/projectgroups"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/spaces"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/tasks"
)

// TestStart is the sequence that every client begins with (octopus-api.md 1.2,
// 1.3): a system client, the default space, a space by its id.
func TestStart(t *testing.T) {
	t.Parallel()
	s := start(t)
	system := s.connect(t, "")
	if system.GetSpaceID() != "Spaces-1" {
		t.Fatalf("the default space is %q", system.GetSpaceID())
	}
	root, err := system.Root.Get()
	ok(t, err)
	if root.Application == "" || root.Version == "" || root.APIVersion == "" || root.InstallationID.String() == "" {
		t.Errorf("the root document lacks a member: %+v", root)
	}
	for _, path := range []string{"/api", "/api/"} { // trap 1
		if a := s.ask(t, http.MethodGet, path, ""); a.status != http.StatusOK || len(a.object(t)["Links"].(map[string]any)) < 100 {
			t.Errorf("GET %s: status %d", path, a.status)
		}
	}
	home := s.ask(t, http.MethodGet, "/api/Spaces-1", "").object(t)
	for _, name := range []string{"Version", "ApiVersion"} {
		if _, has := home[name]; has {
			t.Errorf("the space's root document has %s", name)
		}
	}
	rootLinks, homeLinks := s.ask(t, http.MethodGet, "/api", "").object(t)["Links"].(map[string]any), home["Links"].(map[string]any)
	for name := range rootLinks {
		if homeLinks[name] == nil || homeLinks[name] == "" {
			t.Errorf("the space's root document has no link %s", name)
		}
	}
	s.connect(t, "Spaces-1")
	address, err := url.Parse(s.url)
	ok(t, err)
	if _, err := client.NewClient(nil, address, adminKey, "Spaces-404"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a client for a space that is not there: %v", err)
	}
	if _, err := client.NewClient(nil, address, "API-NOTTHEKEYNOTTHEKEYNOTTHEKEY", ""); err == nil {
		t.Error("a client with a wrong key was made")
	}
}

// TestSeed is what clients hard-code of a new server (octopus-api.md 2.0).
func TestSeed(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	space, err := spaces.GetDefaultSpace(c)
	ok(t, err)
	if space.ID != "Spaces-1" || !space.IsDefault || space.Name != "Default" || space.Slug != "default" || space.TaskQueueStopped {
		t.Errorf("default space: %+v", space)
	}
	if !slices.Contains(space.SpaceManagersTeams, "teams-spacemanagers-Spaces-1") {
		t.Errorf("teams of the default space: %v", space.SpaceManagersTeams)
	}
	lifecycle, err := lifecycles.GetByID(c, "Spaces-1", "Lifecycles-1")
	ok(t, err)
	if lifecycle.Name != "Default Lifecycle" || len(lifecycle.Phases) != 0 {
		t.Errorf("default lifecycle: %+v", lifecycle)
	}
	group, err := projectgroups.GetByID(c, "Spaces-1", "ProjectGroups-1")
	ok(t, err)
	same(t, "default group", group.Name, "Default Project Group")
	policy, err := c.MachinePolicies.GetByID("MachinePolicies-1")
	ok(t, err)
	if !policy.IsDefault || policy.Name != "Default Machine Policy" {
		t.Errorf("default policy: %+v", policy)
	}
	pool, err := c.WorkerPools.GetByID("WorkerPools-1")
	ok(t, err)
	same(t, "default pool", pool.GetName(), "Default Worker Pool")
	feed, err := feeds.GetByID(c, "Spaces-1", "feeds-builtin")
	ok(t, err)
	same(t, "type of the built-in feed", feed.GetFeedType(), feeds.FeedTypeBuiltIn)
	all, err := feeds.GetAll(c, "Spaces-1")
	ok(t, err)
	if !slices.ContainsFunc(all, func(f feeds.IFeed) bool { return f.GetFeedType() == feeds.FeedTypeOctopusProject }) {
		t.Error("there is no project feed")
	}
	list, err := c.Tasks.Get(tasks.TasksQuery{})
	ok(t, err)
	if len(list.Items) == 0 { // trap 12
		t.Error("the task list of a new server is empty")
	}
	second := spaces.NewSpace("Second")
	second.SpaceManagersTeamMembers = []string{"Users-1"}
	made, err := c.Spaces.Add(second)
	ok(t, err)
	for _, find := range []func() int{ // trap 11
		func() int { l, err := lifecycles.GetAll(c, made.ID); ok(t, err); return len(l) },
		func() int { l, err := projectgroups.GetAll(c, made.ID); ok(t, err); return len(l) },
		func() int { l, err := feeds.GetAll(c, made.ID); ok(t, err); return len(l) },
	} {
		if find() == 0 {
			t.Error("a new space was not seeded")
		}
	}
	other := s.connect(t, made.ID)
	if list, err := other.MachinePolicies.GetAll(); err != nil || len(list) != 1 || list[0].ID == "MachinePolicies-1" {
		t.Errorf("machine policies of the second space: %v, %v", list, err)
	}
}

// TestErrors are the forms that the SDK's two layers tell apart
// (octopus-api.md 1.7, traps 2-4).
func TestErrors(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	_, err := environments.GetByID(c, "Spaces-1", "Environments-404")
	refused(t, err, http.StatusNotFound)
	_, err = c.Environments.GetByID("Environments-404")
	refused(t, err, http.StatusNotFound)
	_, err = c.Projects.GetByID("Projects-404")
	refused(t, err, http.StatusNotFound)
	_, err = environments.Add(c, environments.NewEnvironment(strings.Repeat("x", 300)))
	if typed := refused(t, err, http.StatusBadRequest); len(typed.Errors) == 0 {
		t.Error("a 400 without a sentence")
	}
	env, err := environments.Add(c, environments.NewEnvironment("Once"))
	ok(t, err)
	_, err = environments.Add(c, environments.NewEnvironment("once"))
	refused(t, err, http.StatusBadRequest)
	ok(t, c.Environments.DeleteByID(env.ID)) // the older layer takes nothing but 200
	err = environments.DeleteByID(c, "Spaces-1", env.ID)
	refused(t, err, http.StatusNotFound)
	for _, path := range []string{"/api/nowhere", "/api/Spaces-1/nowhere", "/api/Spaces-1/projects/none/progression"} {
		a := s.ask(t, http.MethodGet, path, "")
		if a.status != http.StatusNotFound || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.object(t)["ErrorMessage"] == "" {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	if a := s.ask(t, http.MethodPatch, "/api/Spaces-1/projects", ""); a.status != http.StatusMethodNotAllowed || a.object(t)["ErrorMessage"] == "" {
		t.Errorf("PATCH: %d %s", a.status, a.body)
	}
}

// TestAliases: every space-scoped route is served under three prefixes, in any
// case (octopus-api.md 1.4).
func TestAliases(t *testing.T) {
	t.Parallel()
	s := start(t)
	want := s.ask(t, http.MethodGet, "/api/Spaces-1/environments/all", "").body
	for _, path := range []string{"/api/environments/all", "/api/spaces/Spaces-1/environments/all", "/api/Spaces-1/Environments/ALL", "/api/default/environments/all"} {
		if a := s.ask(t, http.MethodGet, path, ""); a.status != http.StatusOK || a.body != want {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	if a := s.ask(t, http.MethodGet, "/api/spaces/Spaces-1", ""); a.object(t)["Name"] != "Default" {
		t.Errorf("GET /api/spaces/Spaces-1 is no space: %s", a.body)
	}
}
