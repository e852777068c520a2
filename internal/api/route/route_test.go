package route_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/api/route"
)

// table holds the overlaps of the wire contract (octopus-api.md 1.4).
func table(t *testing.T) *route.Table[string] {
	t.Helper()
	var tab route.Table[string]
	for _, e := range []struct {
		scope  route.Scope
		method string
		path   string
	}{
		{route.Global, "GET", ""},
		{route.Spaced, "GET", ""},
		{route.Global, "GET", "/spaces"},
		{route.Global, "GET", "/spaces/all"},
		{route.Global, "GET", "/spaces/{id}"},
		{route.Global, "GET", "/spaces/{id}/logo"},
		{route.Global, "GET", "/users/{id}/apikeys"},
		{route.Both, "GET", "/tasks/{id}"},
		{route.Both, "POST", "/tasks/{id}/cancel"},
		{route.Both, "GET", "/tasks/taskTypes"},
		{route.Spaced, "GET", "/projects"},
		{route.Spaced, "GET", "/projects/all"},
		{route.Spaced, "GET", "/projects/{id}"},
		{route.Spaced, "DELETE", "/projects/{id}"},
		{route.Spaced, "GET", "/projects/{id}/channels/{channel}"},
		{route.Spaced, "GET", "/projects/pulse/deep"},
		{route.Spaced, "GET", "/packages/{id}/{version}/delta-signature"},
	} {
		if err := tab.Add(e.scope, e.method, e.path, e.path); err != nil {
			t.Fatal(err)
		}
	}
	return &tab
}

func TestFind(t *testing.T) {
	t.Parallel()
	tab := table(t)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/api", "root"},
		{"GET", "/api/", "root"},
		{"GET", "/API//", "root"},
		{"GET", "/api/Spaces-1", "@Spaces-1 root"},
		{"GET", "/api/spaces", "/spaces"},
		{"GET", "/api/spaces/all", "/spaces/all"},
		{"GET", "/api/spaces/Spaces-1", "/spaces/{id} id=Spaces-1"},
		{"GET", "/api/spaces/Spaces-1/logo", "/spaces/{id}/logo id=Spaces-1"},
		{"GET", "/api/spaces/Spaces-1/projects", "@Spaces-1 /projects"},
		{"GET", "/api/Spaces-1/projects/", "@Spaces-1 /projects"},
		{"GET", "/api/projects", "@ /projects"},
		{"GET", "/api/projects/ALL", "@ /projects/all"},
		{"GET", "/api/Spaces-2/Projects/Projects-7", "@Spaces-2 /projects/{id} id=Projects-7"},
		{"GET", "/api/projects/pulse", "@ /projects/{id} id=pulse"},
		{"GET", "/api/projects/pulse/channels/x", "@ /projects/{id}/channels/{channel} channel=x id=pulse"},
		{"GET", "/api/projects/a%2Fb", "@ /projects/{id} id=a/b"},
		{"GET", "/api/projects/a%20b", "@ /projects/{id} id=a b"},
		{"GET", "/api/tasks/ServerTasks-1", "/tasks/{id} id=ServerTasks-1"},
		{"POST", "/api/spaces/Spaces-1/tasks/ServerTasks-1/cancel", "@Spaces-1 /tasks/{id}/cancel id=ServerTasks-1"},
		{"GET", "/api/tasks/tasktypes", "/tasks/taskTypes"},
		{"GET", "/api/users/me/apikeys", "/users/{id}/apikeys id=me"},
		{"GET", "/api/Spaces-1/users/me/apikeys", "404"}, // a global route has no space
		{"GET", "/api/Spaces-1/packages/Acme.Web/1.2.3/delta-signature", "@Spaces-1 /packages/{id}/{version}/delta-signature id=Acme.Web version=1.2.3"},
		{"DELETE", "/api/projects/all", "405 GET"}, // never the document called "all"
		{"PUT", "/api/projects/x", "405 DELETE GET"},
		{"GET", "/api/nothing", "@nothing root"}, // whether there is such a space is asked later
		{"GET", "/api/nothing/at/all", "404"},
		// abuse 89: tricks name nothing.
		{"GET", "/api/../projects", "bad"},
		{"GET", "/api/%2e%2e/projects", "bad"},
		{"GET", "/api/./projects", "bad"},
		{"GET", "/api/projects/%00", "bad"},
		{"GET", "/api/projects/%ff", "bad"},
		{"GET", "/api/projects/%zz", "bad"},
		{"GET", "/api/projects;x", "@projects;x root"},
		{"GET", "/api/projects;x/all", "404"},
		{"GET", "/api/projects.", "@projects. root"},
		{"GET", "/api/projects%2Fall", "@projects/all root"},
		{"GET", "/api" + strings.Repeat("/a", route.MaxSegments), "bad"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			if got := find(tab, c.method, c.path); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func find(tab *route.Table[string], method, path string) string {
	segments, err := route.Split(path)
	if err != nil {
		return "bad"
	}
	found := tab.Find(method, segments[1:])
	switch {
	case !found.OK && len(found.Allowed) > 0:
		return "405 " + strings.Join(found.Allowed, " ")
	case !found.OK:
		return "404"
	}
	out := found.Value
	if out == "" {
		out = "root"
	}
	if found.InSpace {
		out = "@" + found.Space + " " + out
	}
	var params []string
	for name, value := range found.Params {
		params = append(params, " "+name+"="+value)
	}
	slices.Sort(params)
	return out + strings.Join(params, "")
}

func TestAddRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	var tab route.Table[int]
	if err := tab.Add(route.Both, http.MethodGet, "/a/{id}", 1); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/a/{id}", "/A/{other}", "/b/{}", "/b/{id}/{id}"} {
		if err := tab.Add(route.Spaced, http.MethodGet, pattern, 2); err == nil {
			t.Errorf("%s was taken", pattern)
		}
	}
}

// abuse 89: whatever the bytes, a path is refused or has plain segments, and a
// second canonicalisation changes nothing.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"/api", "//a//b/", "/a%2Fb/%2e", "/a/../b", "/%", "/a;b/c.", "/\x00", "/%e2%80%ae"} {
		f.Add(seed)
	}
	var tab route.Table[string]
	if err := tab.Add(route.Both, http.MethodGet, "/a/{id}", "x"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, err := route.Split(path)
		if err != nil {
			return
		}
		for _, s := range segments {
			if s == "" || s == "." || s == ".." || strings.ContainsRune(s, 0) {
				t.Fatalf("segment %q of %q", s, path)
			}
		}
		tab.Find(http.MethodGet, segments)
	})
}
