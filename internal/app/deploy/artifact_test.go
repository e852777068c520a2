package deploy_test

import (
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// handsIn lets a machine's first attempt in a task's first step end with files.
func (r *rig) handsIn(blobs blob.Store, task string, m *resource.Machine, files ...string) {
	r.t.Helper()
	var refs []blob.Ref
	for _, name := range files {
		ref, err := blobs.Put(r.t.Context(), strings.NewReader("content of "+name), 1<<20)
		check(r.t, err)
		refs = append(refs, ref)
	}
	r.write(func(tx *store.Tx) error {
		epoch, err := store.Claim(tx, task, "node-1/1")
		if err != nil {
			return err
		}
		turn, err := store.OpenTurn(tx, task, "node-1/1", epoch)
		if err != nil {
			return err
		}
		row := turn.Row()
		row.State = rollout.Running
		key := rollout.CellKey{Member: m.ID}
		attempt := task + ".0.0." + m.ID + ".1"
		turn.Save(rollout.Changes{
			Row: row, Members: []*rollout.Member{{ID: m.ID, Name: m.Name, State: rollout.MemberLive}},
			Cells:    []*rollout.Cell{{CellKey: key, State: rollout.CellSucceeded}},
			Attempts: []*rollout.Attempt{{ID: attempt, Cell: key, Executor: m.ID, Try: 1, EndedAt: 1795468800000, Outcome: rollout.OutcomeSucceeded}},
		})
		for i, name := range files {
			if err := store.SaveArtifact(tx, &store.Artifact{Attempt: attempt, Item: strconv.Itoa(i), Name: name, Size: refs[i].Size, SHA256: refs[i].SHA256}); err != nil {
				return err
			}
		}
		stored, err := store.GetTask(tx, task)
		if err != nil {
			return err
		}
		stored.State, stored.StartTime = store.TaskExecuting, 1
		if err := store.UpdateTask(tx, stored); err != nil {
			return err
		}
		return turn.Err()
	})
}

// viewer may see the artifacts of one environment.
func viewer(env *resource.Environment) app.Caller {
	return app.Caller{Subject: authz.Subject{UserID: "Users-2", Username: "viewer", Grants: []authz.Grant{{
		Space: space, Permissions: authz.SetOf(authz.ArtifactView), Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Only(env.ID), Tenants: authz.Any(),
	}}}}
}

// Artifacts are found by what they regard, by whom the scope of his rights
// lets see them, and by nobody from another space (abuse 30).
func TestArtifacts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	blobs, err := blob.OpenDisk(filepath.Join(r.folder, "blobs"))
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	artifacts := deploy.NewArtifacts(r.db, blobs)
	one, two := r.machine("one", r.staging, "web"), r.machine("two", r.production, "web")
	r.process(webStep("Run", bash("Run", "true")))
	release := r.release("1.0.0")
	var made []resource.Deployment
	for i, m := range []*resource.Machine{one, two} {
		d, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{[]string{"Staging", "Production"}[i]}})
		check(t, err)
		made = append(made, d...)
		r.handsIn(blobs, d[0].TaskID, m, "report.html", "b.txt", "c", "d", "e", "f", "g", "h", "i", "j", "last of "+m.Name)
		r.succeed(&d[0])
	}
	first := "Artifacts-" + made[0].TaskID + ".0.0." + one.ID + ".1.0"

	for name, c := range map[string]struct {
		who   app.Caller
		space string
		q     deploy.ArtifactQuery
		want  int
	}{
		"all":                  {r.who, space, deploy.ArtifactQuery{}, 22},
		"task":                 {r.who, space, deploy.ArtifactQuery{Regarding: made[0].TaskID}, 11},
		"deployment":           {r.who, space, deploy.ArtifactQuery{Regarding: made[1].ID}, 11},
		"release":              {r.who, space, deploy.ArtifactQuery{Regarding: release.ID}, 22},
		"project":              {r.who, space, deploy.ArtifactQuery{Regarding: r.project.ID}, 22},
		"environment":          {r.who, space, deploy.ArtifactQuery{Regarding: r.staging.ID}, 11},
		"machine":              {r.who, space, deploy.ArtifactQuery{Regarding: two.ID}, 11},
		"nothing of that kind": {r.who, space, deploy.ArtifactQuery{Regarding: "Lifecycles-1"}, 0},
		"missing release":      {r.who, space, deploy.ArtifactQuery{Regarding: "Releases-99"}, 0},
		"missing task":         {r.who, space, deploy.ArtifactQuery{Regarding: "ServerTasks-99"}, 0},
		"name":                 {r.who, space, deploy.ArtifactQuery{PartialName: "LAST of"}, 2},
		"id":                   {r.who, space, deploy.ArtifactQuery{IDs: []string{first, "Artifacts-1", "nonsense"}}, 1},
		"id elsewhere":         {r.who, space, deploy.ArtifactQuery{IDs: []string{first}, Regarding: made[1].TaskID}, 0},
		"no ids":               {r.who, space, deploy.ArtifactQuery{IDs: []string{}}, 0},
		"his environment":      {viewer(r.staging), space, deploy.ArtifactQuery{}, 11},
		"not his environment":  {viewer(r.staging), space, deploy.ArtifactQuery{Regarding: made[1].TaskID}, 0},
		"another space":        {r.who, "Spaces-2", deploy.ArtifactQuery{}, 0},
		"nobody":               {app.Caller{}, space, deploy.ArtifactQuery{}, 0},
	} {
		list, total, err := artifacts.List(t.Context(), c.who, c.space, c.q)
		if err != nil || len(list) != c.want || total != c.want {
			t.Errorf("%s: %d of %d, %v, want %d", name, len(list), total, err, c.want)
		}
	}

	// The latest task's come first, each task's in the order they were made.
	page, total, err := artifacts.List(t.Context(), r.who, space, deploy.ArtifactQuery{Skip: 9, Take: 3})
	if err != nil || total != 22 || len(page) != 3 || page[0].Filename != "j" || page[1].Filename != "last of two" || page[2].Filename != "report.html" {
		t.Errorf("a page: %v of %d, %v", page, total, err)
	}
	a, err := artifacts.Get(t.Context(), viewer(r.staging), space, first)
	check(t, err)
	if a.Filename != "report.html" || a.TaskID != made[0].TaskID || a.Machine != "one" || a.MachineID != one.ID || a.Created != 1795468800000 ||
		a.Activity != made[0].TaskID+"/1/"+one.ID || a.Size != int64(len("content of report.html")) {
		t.Errorf("got %+v", a)
	}
	_, file, err := artifacts.Open(t.Context(), viewer(r.staging), space, first)
	check(t, err)
	text, err := io.ReadAll(file)
	check(t, err)
	check(t, file.Close())
	if string(text) != "content of report.html" {
		t.Errorf("content %q", text)
	}

	for name, c := range map[string]struct {
		who       app.Caller
		space, id string
	}{
		"not his": {viewer(r.production), space, first}, "another space": {r.who, "Spaces-2", first},
		"no such file": {r.who, space, first + "0"}, "path": {r.who, space, "Artifacts-../../../etc/passwd"}, "empty": {r.who, space, ""},
	} {
		_, _, err := artifacts.Open(t.Context(), c.who, c.space, c.id)
		refusedFor(t, err, resource.NotFound)
		_, err = artifacts.Get(t.Context(), c.who, c.space, c.id)
		if resource.CodeOf(err) != resource.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}

	check(t, blobs.Delete(t.Context(), a.SHA256))
	_, _, err = artifacts.Open(t.Context(), r.who, space, first)
	refusedFor(t, err, resource.Unavailable, first, "missing")
}
