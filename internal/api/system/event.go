package system

import (
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) events() []api.Route {
	routes := []api.Route{
		api.Get("/events", authz.EventView, "List the audit, newest first", a.listEvents).Paged().With("regarding", "regardingAny", "user", "users",
			"projects", "environments", "eventCategories", "eventGroups", "from", "to", "fromAutoId", "toAutoId", "documentTypes", "ids", "spaces", "includeSystem", "excludeDifference"),
		api.Get("/events/agents", authz.EventView, "What kinds of programs act", eventAgents),
		api.Get("/events/categories", authz.EventView, "The categories of events", eventCategories).With("appliesTo"),
		api.Get("/events/documenttypes", authz.EventView, "What events can be about", documentTypes),
		api.Get("/events/groups", authz.EventView, "Categories by what they have in common", eventGroups).With("appliesTo"),
		api.Get("/events/{id}", authz.EventView, "Get an event", a.event),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Both)
	}
	return routes
}

// Event is an event with its links.
type Event struct {
	resource.Event
	Links api.Links
}

func eventOf(e *resource.Event) Event {
	return Event{*e, api.Links{"Self": "/api/events/" + e.ID}}
}

func (a *area) listEvents(c *api.Call) (api.Collection[Event], error) {
	q, err := eventQuery(c)
	if err != nil {
		return api.Collection[Event]{}, err
	}
	events, total, err := a.Docs.Events(c.Context(), c.Caller, q)
	items := make([]Event, 0, len(events))
	for i := range events {
		items = append(items, eventOf(&events[i]))
	}
	return api.CollectionOf(c, "Event", items, total), err
}

func eventQuery(c *api.Call) (documents.EventQuery, error) {
	page := c.Page()
	q := documents.EventQuery{
		System: c.Space == "" && (c.Text("includeSystem") == "" || c.Flag("includeSystem")), Regarding: c.List("regarding"),
		Users: append(c.List("users"), c.List("user")...), Categories: categoriesOf(c), DocumentTypes: c.List("documentTypes"),
		IDs: c.List("ids"), Skip: page.Skip, Take: page.Take, WithoutDifferences: c.Flag("excludeDifference"),
	}
	switch spaces := c.List("spaces"); {
	case c.Space != "":
		q.Spaces = []string{c.Space}
	case spaces != nil && spaces[0] != "all":
		q.Spaces = spaces
	}
	for _, name := range []string{"regardingAny", "projects", "environments"} {
		if ids := c.List(name); ids != nil {
			q.RegardingAny = append(q.RegardingAny, ids)
		}
	}
	if page.Take == 0 {
		q.IDs = []string{}
	}
	for _, bound := range []struct {
		name string
		to   *resource.Time
	}{{"from", &q.From}, {"to", &q.To}} {
		if text := c.Text(bound.name); text != "" {
			t, err := resource.ParseTime(text)
			if err != nil {
				return q, err
			}
			*bound.to = t
		}
	}
	for _, bound := range []struct {
		name string
		to   *int64
	}{{"fromAutoId", &q.FromNumber}, {"toAutoId", &q.ToNumber}} {
		if text := c.Text(bound.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return q, resource.Errorf(resource.Invalid, "%s has to be a number.", bound.name)
			}
			*bound.to = n
		}
	}
	return q, nil
}

// categoriesOf are the categories that a request names, one by one or by
// group; nil for all.
func categoriesOf(c *api.Call) []string {
	list := c.List("eventCategories")
	for _, name := range c.List("eventGroups") {
		list = append(list, "") // a group that is not known matches nothing
		for _, g := range groups() {
			if strings.EqualFold(g.ID, name) {
				list = append(list, g.EventCategories...)
			}
		}
	}
	return list
}

func (a *area) event(c *api.Call) (Event, error) {
	e, err := a.Docs.Event(c.Context(), c.Caller, c.Param("id"))
	if err != nil {
		return Event{}, err
	}
	if c.Space != "" && e.SpaceID != c.Space {
		return Event{}, resource.Missing(c.Param("id"))
	}
	return eventOf(e), nil
}

// Named is something that is only its name.
type Named struct {
	ID    string `json:"Id"`
	Name  string
	Links api.Links
}

func named(names ...string) []Named {
	list := make([]Named, 0, len(names))
	for _, name := range names {
		list = append(list, Named{ID: name, Name: spaced(name), Links: api.Links{}})
	}
	return list
}

// spaced is a name in words: "LoginFailed" is "Login failed".
func spaced(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func eventAgents(*api.Call) ([]Named, error) {
	return named("SlipwayCli", "OctopusCli", "TerraformProvider", "Browser"), nil
}

func eventCategories(*api.Call) ([]Named, error) { return named(resource.EventCategories()...), nil }

func documentTypes(*api.Call) ([]Named, error) {
	var list []Named
	for _, k := range resource.Kinds() {
		if k.IDPrefix != "" {
			list = append(list, Named{ID: k.IDPrefix, Name: strings.ToUpper(k.Noun[:1]) + k.Noun[1:], Links: api.Links{}})
		}
	}
	return list, nil
}

// EventGroup is a set of categories.
type EventGroup struct {
	ID              string `json:"Id"`
	Name            string
	EventCategories []string
	Links           api.Links
}

func groups() []EventGroup {
	group := func(id, name string, categories ...string) EventGroup {
		return EventGroup{ID: id, Name: name, EventCategories: categories, Links: api.Links{}}
	}
	return []EventGroup{
		group("Document", "Document events", resource.EventCreated, resource.EventModified, resource.EventDeleted),
		group("Deployment", "Deployment events", resource.EventDeploymentQueued, resource.EventDeploymentStarted,
			resource.EventDeploymentSucceeded, resource.EventDeploymentFailed, resource.EventDeploymentResumed),
		group("Machine", "Machine events", resource.EventMachineAdded, resource.EventMachineDeleted, resource.EventMachineDisabled,
			resource.EventMachineEnabled, resource.EventMachineHealthy, resource.EventMachineUnavailable, resource.EventMachineUnhealthy),
		group("MachineAvailabilityChanged", "Machine became available or unavailable", resource.EventMachineHealthy, resource.EventMachineUnavailable, resource.EventMachineUnhealthy),
		group("Login", "Login events", resource.EventLoginSucceeded, resource.EventLoginFailed),
		group("Task", "Task events", resource.EventTaskQueued, resource.EventTaskSucceeded, resource.EventTaskFailed, resource.EventTaskCanceled, resource.EventTaskStateChanged),
	}
}

func eventGroups(*api.Call) ([]EventGroup, error) { return groups(), nil }
