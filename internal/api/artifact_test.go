package api_test

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// handedIn makes a task of the first space in which a script handed in a file
// of that name, and returns the file's id.
func (r *rig) handedIn(task, name, content string) (id string) {
	r.t.Helper()
	ref, err := r.blobs.Put(r.t.Context(), strings.NewReader(content), 1<<20)
	check(r.t, err)
	key := rollout.CellKey{Member: "Machines-1"}
	attempt := task + ".0.0.Machines-1.1"
	check(r.t, r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		plan := &rollout.Plan{
			Rules: rollout.Rules, Kind: rollout.Deploy, Task: task, Space: rollout.Ref{ID: resource.DefaultSpace}, Project: rollout.Ref{ID: "Projects-1"},
			Environment: rollout.Ref{ID: "Environments-1"}, Release: rollout.Ref{ID: "Releases-1"},
			Steps: []rollout.Step{{ID: "s1", Number: 1, Roles: []string{"web"}, Actions: []rollout.Action{{ID: "a1"}, {ID: "a2"}}}},
		}
		if err := store.InsertTask(tx, &store.Task{ID: task, SpaceID: resource.DefaultSpace, Name: "Deploy", State: store.TaskExecuting, StartTime: 1}); err != nil {
			return err
		}
		if err := store.InsertRollout(tx, plan); err != nil {
			return err
		}
		epoch, err := store.Claim(tx, task, "node-1/1")
		if err != nil {
			return err
		}
		turn, err := store.OpenTurn(tx, task, "node-1/1", epoch)
		if err != nil {
			return err
		}
		turn.Save(rollout.Changes{
			Row: turn.Row(), Members: []*rollout.Member{{ID: key.Member, Name: "web-01", State: rollout.MemberLive}},
			Cells:    []*rollout.Cell{{CellKey: key, State: rollout.CellSucceeded}},
			Attempts: []*rollout.Attempt{{ID: attempt, Cell: key, Try: 1, EndedAt: start.UnixMilli(), Outcome: rollout.OutcomeSucceeded}},
		})
		if err := turn.Err(); err != nil {
			return err
		}
		return store.SaveArtifact(tx, &store.Artifact{Attempt: attempt, Item: "0", Name: name, Size: ref.Size, SHA256: ref.SHA256})
	}))
	return "Artifacts-" + attempt + ".0"
}

// octopus-api.md 2.22
func TestArtifacts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.handedIn("ServerTasks-901", "report.html", "<script>alert(1)</script>")
	page := r.get("/api/Spaces-1/artifacts?regarding=ServerTasks-901")
	items := page.items()
	if page["ItemType"] != "Artifact" || page["TotalResults"] != 1.0 || len(items) != 1 || items[0].text("Id") != id {
		t.Fatalf("list: %v", page)
	}
	one := r.get(items[0].text("Links", "Self"))
	if fmt.Sprint(one) != fmt.Sprint(items[0]) || fmt.Sprint(sub(r.array("/api/artifacts/all")[0])) != fmt.Sprint(one) {
		t.Errorf("three ways to read it: %v, %v", one, items[0])
	}
	if one.text("Filename") != "report.html" || one.text("ServerTaskId") != "ServerTasks-901" || one.text("Source") != "web-01" ||
		one.text("LogCorrelationId") != "ServerTasks-901/1/Machines-1/1" || one.text("Created") != "2026-01-02T03:04:05.678+00:00" || one["Size"] != 25.0 {
		t.Errorf("artifact: %v", one)
	}
	if n := len(r.get("/api/artifacts?regarding=ServerTasks-902").items()); n != 0 {
		t.Errorf("%d artifacts of another task", n)
	}

	content := one.text("Links", "Content")
	for _, c := range []struct {
		method, ranged, want string
		status               int
	}{
		{"GET", "", "<script>alert(1)</script>", 200}, {"HEAD", "", "", 200}, {"GET", "bytes=1-6", "script", 206}, {"GET", "bytes=99-", "", 416},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, r.url+content, http.NoBody)
		check(t, err)
		req.Header.Set("X-Octopus-ApiKey", r.key)
		if c.ranged != "" {
			req.Header.Set("Range", c.ranged)
		}
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		check(t, resp.Body.Close())
		if resp.StatusCode != c.status || c.want != "" && string(body) != c.want {
			t.Errorf("%s %s: %d %q", c.method, c.ranged, resp.StatusCode, body)
		}
		if c.status < 300 && (resp.Header.Get("Content-Disposition") != "attachment; filename=report.html" ||
			resp.Header.Get("Content-Type") != "application/octet-stream" || resp.Header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s %s: a browser would show it: %v", c.method, c.ranged, resp.Header)
		}
	}

	// abuse 29, 30: neither another space nor somebody else's role lets anybody in.
	r.post("/api/spaces", object{"Name": "Second", "SpaceManagersTeamMembers": []string{"Users-1"}})
	guest := r.member("guest", "userroles-spacemanager", "Spaces-2")
	r.want(404, "GET", "/api/Spaces-2/artifacts/"+id, nil)
	for _, path := range []string{"/api/Spaces-1/artifacts/" + id, "/api/Spaces-2/artifacts/" + id, "/api/Spaces-2/artifacts/" + id + "/content"} {
		guest.want(404, "GET", path, nil)
	}
	if n := len(guest.get("/api/Spaces-2/artifacts").items()); n != 0 {
		t.Errorf("a guest sees %d artifacts", n)
	}
	publisher := r.member("publisher", "userroles-packagepublisher", "Spaces-1")
	publisher.want(403, "GET", content, nil)
}

// abuse 54, 78: what a script calls its file is data; the name that a browser
// gets is harmless.
func TestArtifactNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i, c := range []struct{ name, want string }{
		{"../../etc/passwd", "passwd"},
		{`C:\Windows\system.ini`, "system.ini"},
		{"..", "artifact"},
		{"", "artifact"},
		{"folder/", "artifact"},
		{".bashrc", "bashrc"},
		{"a\r\nSet-Cookie: x=y", "aSet-Cookie_ x=y"},
		{`a"; filename="b.exe`, "a__ filename=_b.exe"},
		{"an\u202egpj.exe", "angpj.exe"},
		{"Übersicht №1.txt", "Übersicht №1.txt"},
		{strings.Repeat("x", 300) + ".log", strings.Repeat("x", 146) + ".log"},
		{strings.Repeat("é", 100), strings.Repeat("é", 75)},
	} {
		id := r.handedIn(fmt.Sprintf("ServerTasks-%d", 900+i), c.name, "x")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/artifacts/"+id+"/content", http.NoBody)
		check(t, err)
		req.Header.Set("X-Octopus-ApiKey", r.key)
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		check(t, resp.Body.Close())
		how, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
		if err != nil || resp.StatusCode != http.StatusOK || how != "attachment" || params["filename"] != c.want {
			t.Errorf("%.40q: %d %s %q, %v", c.name, resp.StatusCode, how, params["filename"], err)
		}
		if resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%q splits the header", c.name)
		}
	}
}
