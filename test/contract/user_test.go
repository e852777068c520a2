package contract_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/events"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/spaces"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/users"
)

// TestUsers is octopus-api.md 2.17: who am I, and keys that are strings once
// and objects ever after (trap 10).
func TestUsers(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	me, err := c.Users.GetMe()
	ok(t, err)
	if me.ID != "Users-1" || me.Username != "admin" || !me.IsRequestor || !me.IsActive {
		t.Errorf("me: %+v", me)
	}
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	key := users.NewAPIKey("a contract", me.ID)
	key.Expires = &expires
	made, err := c.APIKeys.Create(key)
	ok(t, err)
	if !regexp.MustCompile(`^API-[A-Z0-9]{26,36}$`).MatchString(made.APIKey) { // trap 5
		t.Errorf("the new key is %q", made.APIKey)
	}
	read, err := c.APIKeys.GetByID(me.ID, made.ID)
	ok(t, err)
	if read.APIKey == nil || !read.APIKey.HasValue || read.Purpose != "a contract" || read.Expires == nil || !read.Expires.Equal(expires) || !read.Created.Equal(*made.Created) {
		t.Errorf("the key reads %+v", read)
	}
	if read.APIKey.Hint == "" || read.APIKey.Hint == made.APIKey {
		t.Error("the key is shown whole, or not at all")
	}
	list, err := c.APIKeys.GetByUserID(me.ID)
	ok(t, err)
	if !slices.ContainsFunc(list, func(k *users.APIKey) bool { return k.ID == made.ID }) {
		t.Error("the key is not in the list")
	}
	address, err := url.Parse(s.url)
	ok(t, err)
	other, err := client.NewClient(nil, address, made.APIKey, "Spaces-1")
	ok(t, err)
	a := s.ask(t, http.MethodDelete, "/api/users/"+me.ID+"/apikeys/"+made.ID, "")
	same(t, "status of a DELETE", a.status, http.StatusOK)
	if _, err := other.Users.GetMe(); err == nil {
		t.Error("a revoked key is let in")
	}
	mine, err := c.Users.GetSpaces(me)
	ok(t, err)
	space, err := spaces.GetByID(c, "Spaces-1")
	ok(t, err)
	if len(mine) != 1 {
		t.Fatalf("my spaces: %v", mine)
	}
	same(t, "my space", mine[0], space)
	teams, err := c.Users.GetTeams(me)
	ok(t, err)
	if len(*teams) == 0 {
		t.Error("the administrator is in no team")
	}
	permissions, err := c.Users.GetPermissions(me)
	ok(t, err)
	if len(permissions.SystemPermissions) == 0 || !permissions.IsPermissionsComplete {
		t.Errorf("permissions: %+v", permissions)
	}
	service := users.NewUser("robot", "Robot")
	service.IsService = true
	robot, err := users.Add(c, service)
	ok(t, err)
	again, err := users.GetByID(c, robot.ID)
	ok(t, err)
	same(t, "user", again, robot)
	ok(t, users.DeleteByID(c, robot.ID))
	if err := users.DeleteByID(c, me.ID); err == nil {
		t.Error("the administrator deleted himself")
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	env, err := environments.Add(c, environments.NewEnvironment("Watched"))
	ok(t, err)
	list, err := c.Events.Get(events.EventsQuery{})
	ok(t, err)
	at := slices.IndexFunc(list.Items, func(e *events.Event) bool { return slices.Contains(e.RelatedDocumentIds, env.ID) })
	if at < 0 {
		t.Fatal("no event tells of the new environment")
	}
	event := list.Items[at]
	if event.Category != "Created" || event.Username != "admin" || event.Message == "" || event.Occurred.IsZero() {
		t.Errorf("event: %+v", event)
	}
	for i := 1; i < len(list.Items); i++ {
		if list.Items[i].Occurred.After(list.Items[i-1].Occurred) {
			t.Error("the events are not newest first")
		}
	}
	about, err := c.Events.Get(events.EventsQuery{Regarding: env.ID})
	ok(t, err)
	same(t, "events about it", len(about.Items), 1)
	categories, err := c.Events.GetCategories(events.EventCategoriesQuery{})
	ok(t, err)
	groups, err := c.Events.GetGroups(events.EventGroupsQuery{})
	ok(t, err)
	documents, err := c.Events.GetDocumentTypes()
	ok(t, err)
	agents, err := c.Events.GetAgents()
	ok(t, err)
	if len(*categories) == 0 || len(*groups) == 0 || len(*documents) == 0 || agents == nil {
		t.Error("a list of the events' vocabulary is empty")
	}
}
