package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// rig is the use cases over a real store with one project: Staging before
// Production, a package step for "web", and the package in the feed.
type rig struct {
	*deploy.Service
	t                   *testing.T
	folder              string
	db                  *store.DB
	who                 app.Caller
	staging, production *resource.Environment
	project             *resource.Project
}

const space = resource.DefaultSpace

func newRig(t *testing.T) *rig {
	t.Helper()
	folder := t.TempDir()
	keys, err := secret.Load(folder)
	check(t, err)
	db, err := store.Open(t.Context(), store.Config{Path: folder, Database: storetest.Database(t), Keys: keys, Now: time.Now})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	storetest.Seed(t, db)
	r := &rig{Service: deploy.New(db), t: t, folder: folder, db: db, who: administrator(t)}
	r.staging, r.production = &resource.Environment{Name: "Staging"}, &resource.Environment{Name: "Production", SortOrder: 1}
	storetest.Insert(t, db, r.staging, r.production)
	lifecycle := &resource.Lifecycle{Name: "Two steps", Phases: []resource.Phase{phase("Staging", 0, r.staging.ID), phase("Production", 0, r.production.ID)}}
	storetest.Insert(t, db, lifecycle)
	r.project = storetest.Project(t, db, "Shop")
	r.project.LifecycleID = lifecycle.ID
	r.write(func(tx *store.Tx) error { return store.Update(tx, r.project) })
	channel := &resource.Channel{Name: "Default", ProjectID: r.project.ID, IsDefault: true}
	storetest.Insert(t, db, channel)
	r.process(webStep("Install", install()))
	r.pkg("Shop.Web", "1.0.0")
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func administrator(t *testing.T) app.Caller {
	t.Helper()
	role, ok := authz.BuiltInRole(resource.RoleSystemAdministrator)
	if !ok {
		t.Fatal("there is no administrator's role")
	}
	return app.Caller{Subject: authz.Subject{UserID: "Users-1", Username: "admin", Grants: []authz.Grant{{Permissions: authz.Granted(role, true)}}}}
}

func (r *rig) write(fn func(tx *store.Tx) error) {
	r.t.Helper()
	storetest.Write(r.t, r.db, fn)
}

// process replaces the project's steps.
func (r *rig) process(list ...resource.Step) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		p, err := store.Get[resource.DeploymentProcess](tx, r.project.DeploymentProcessID)
		if err != nil {
			return err
		}
		p.Steps = list
		return store.Update(tx, p)
	})
}

// variables replaces the project's variables.
func (r *rig) variables(list ...resource.Variable) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, r.project.VariableSetID)
		if err != nil {
			return err
		}
		set.Variables = list
		return store.Update(tx, set)
	})
}

// pkg puts a package into the built-in feed.
func (r *rig) pkg(id, version string) {
	r.t.Helper()
	digest := sha256.Sum256([]byte(id + version))
	p := &resource.Package{
		PackageID: id, Version: version, FeedID: resource.BuiltInFeed, FileExtension: ".zip",
		Sha256: hex.EncodeToString(digest[:]), PackageSizeBytes: 10,
	}
	p.SpaceID = space
	r.write(func(tx *store.Tx) error { return store.InsertAs(tx, p, resource.PackageID(space, id, version)) })
}

func (r *rig) machine(name string, env *resource.Environment, roles ...string) *resource.Machine {
	r.t.Helper()
	m := storetest.Machine(name, env.ID, roles...)
	storetest.Insert(r.t, r.db, m)
	return m
}

func (r *rig) create(in deploy.NewRelease) (*resource.Release, bool, error) {
	r.t.Helper()
	if in.Project == "" {
		in.Project = r.project.Name
	}
	return r.CreateRelease(r.t.Context(), r.who, space, in)
}

func (r *rig) release(version string) *resource.Release {
	r.t.Helper()
	release, _, err := r.create(deploy.NewRelease{Version: version})
	check(r.t, err)
	return release
}

func (r *rig) deploy(in deploy.NewDeployment) ([]resource.Deployment, error) {
	r.t.Helper()
	if in.Project == "" {
		in.Project = r.project.Name
	}
	return r.CreateDeployments(r.t.Context(), r.who, space, in)
}

// succeed ends a deployment's task as if all machines had the release.
func (r *rig) succeed(d *resource.Deployment) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		task, err := store.GetTask(tx, d.TaskID)
		if err != nil {
			return err
		}
		task.State, task.StartTime, task.CompletedTime = store.TaskSuccess, 1, 2
		return errors.Join(store.UpdateTask(tx, task), store.SetDesired(tx, &store.Desired{
			SpaceID: space, ProjectID: d.ProjectID, EnvironmentID: d.EnvironmentID, ReleaseID: d.ReleaseID, DeploymentID: d.ID, TaskID: d.TaskID,
		}))
	})
}

// refusedFor demands a refusal with a sentence that holds all the parts.
func refusedFor(t *testing.T, err error, code resource.Code, parts ...string) {
	t.Helper()
	known, ok := errors.AsType[*resource.Error](err)
	if !ok || known.Code != code {
		t.Fatalf("got %v, want a refusal: %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(known.Message, part) {
			t.Errorf("%q does not say %q", known.Message, part)
		}
	}
}

func webStep(name string, actions ...resource.Action) resource.Step {
	return resource.Step{Name: name, Actions: actions, Properties: resource.Properties{steps.TargetRoles: resource.Text("web")}}
}

func install() resource.Action {
	return resource.Action{
		Name: "Install", ActionType: "Octopus.TentaclePackage",
		Packages: []resource.PackageReference{{PackageID: "Shop.Web", FeedID: resource.BuiltInFeed}},
	}
}

func bash(name, body string) resource.Action {
	return resource.Action{Name: name, ActionType: "Octopus.Script", Properties: resource.Properties{
		steps.ScriptBody: resource.Text(body), steps.ScriptSyntax: resource.Text("Bash"),
	}}
}

func replaceID(text, id string) string { return strings.ReplaceAll(text, id, "ID") }
