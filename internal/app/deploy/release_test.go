package deploy_test

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// TestReleaseFreezes: what was there when the release was made is what it
// deploys (P6).
func TestReleaseFreezes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.variables(resource.Variable{Name: "Colour", Value: "red"}, resource.Variable{Name: "Password", IsSensitive: true, Secret: resource.Plain("s3cret")})
	release := r.release("1.0.0")
	r.variables(resource.Variable{Name: "Colour", Value: "blue"})
	r.process(webStep("Other", bash("Other", "true")))
	r.pkg("Shop.Web", "2.0.0")
	if n := len(release.SelectedPackages); n != 1 || release.SelectedPackages[0].Version != "1.0.0" || release.SelectedPackages[0].Sha256 == "" {
		t.Errorf("selected packages: %+v", release.SelectedPackages)
	}
	r.write(func(tx *store.Tx) error {
		set, err := store.Get[resource.VariableSet](tx, release.ProjectVariableSetSnapshotID)
		if err != nil {
			return err
		}
		if len(set.Variables) != 2 || set.Variables[0].Value != "red" || !set.Variables[1].Secret.HasValue() {
			t.Errorf("frozen variables: %+v", set.Variables)
		}
		process, err := store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
		if err == nil && process.Steps[0].Name != "Install" {
			t.Errorf("frozen process: %+v", process.Steps)
		}
		return err
	})
	newer, err := r.SnapshotVariables(t.Context(), r.who, space, release.ID)
	check(t, err)
	if newer.ProjectVariableSetSnapshotID == release.ProjectVariableSetSnapshotID {
		t.Error("a new snapshot has the old one's id")
	}
}

func TestReleaseVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, _, err := r.create(deploy.NewRelease{})
	check(t, err)
	if first.Version != "0.0.1" {
		t.Errorf("the first release is %s", first.Version)
	}
	r.release("5.0.0")
	next, _, err := r.create(deploy.NewRelease{})
	check(t, err)
	if next.Version != "5.0.1" {
		t.Errorf("the release after 5.0.0 is %s", next.Version)
	}
	_, _, err = r.create(deploy.NewRelease{Version: " 5.0.0 "})
	refusedFor(t, err, resource.Invalid, "5.0.0", "already exists")
	same, made, err := r.create(deploy.NewRelease{Version: "5.0.0", IgnoreIfExists: true})
	check(t, err)
	if made || same.Version != "5.0.0" {
		t.Errorf("made %v %s", made, same.Version)
	}
	r.project.VersioningStrategy = &resource.VersioningStrategy{Template: "#{Octopus.Release.Number}"}
	r.write(func(tx *store.Tx) error { return store.Update(tx, r.project) })
	_, _, err = r.create(deploy.NewRelease{})
	refusedFor(t, err, resource.Invalid, "Octopus.Release.Number", "Give a version")
}

// TestDonorPackage: a project may number its releases by a package.
func TestDonorPackage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	number := func(action string) {
		r.project.VersioningStrategy = &resource.VersioningStrategy{DonorPackage: &resource.DeploymentActionPackage{DeploymentAction: action}}
		r.write(func(tx *store.Tx) error { return store.Update(tx, r.project) })
	}
	number("Install")
	r.pkg("Shop.Web", "3.2.1")
	release, _, err := r.create(deploy.NewRelease{})
	check(t, err)
	if release.Version != "3.2.1" {
		t.Errorf("version %s", release.Version)
	}
	_, _, err = r.create(deploy.NewRelease{})
	refusedFor(t, err, resource.Invalid, "3.2.1", "already exists")
	number("Gone")
	_, _, err = r.create(deploy.NewRelease{})
	refusedFor(t, err, resource.Invalid, "Gone")
}

func TestReleasePackages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tools := install()
	tools.Name = "Other"
	tools.Packages = append(tools.Packages, resource.PackageReference{Name: "tools", PackageID: "Tools", FeedID: resource.BuiltInFeed})
	r.process(webStep("Install", install(), tools))
	for _, version := range []string{"1.10.0", "1.9.0", "2.0.0-beta"} {
		r.pkg("Shop.Web", version)
	}
	r.pkg("Tools", "7.0.0")
	r.pkg("Tools", "8.0.0")
	for name, c := range map[string]struct {
		in   deploy.NewRelease
		want [3]string // Install, Other, Other:tools
	}{
		"the highest, and a pre-release is lower than its release": {deploy.NewRelease{}, [3]string{"2.0.0-beta", "2.0.0-beta", "8.0.0"}},
		"one version for all that have it":                         {deploy.NewRelease{PackageVersion: "1.9.0", Packages: []deploy.PackageSpec{{PackageOrStep: "Tools", Version: "7.0"}}}, [3]string{"1.9.0", "1.9.0", "7.0.0"}},
		"by action wins over by package": {
			deploy.NewRelease{Packages: []deploy.PackageSpec{{PackageOrStep: "Other", Version: "1.0.0"}, {PackageOrStep: "Shop.Web", Version: "1.10.0"}, {Reference: "tools", Version: "8"}}},
			[3]string{"1.10.0", "1.0.0", "8.0.0"},
		},
		"the document's own choice wins": {
			deploy.NewRelease{
				PackageVersion: "1.10.0", Packages: []deploy.PackageSpec{{PackageOrStep: "Tools", Version: "7.0.0"}},
				Selected: []resource.SelectedPackage{{ActionName: "install", Version: "1.9.0"}},
			},
			[3]string{"1.9.0", "1.10.0", "7.0.0"},
		},
		"by pre-release tag": {deploy.NewRelease{PackagePrerelease: "beta", Packages: []deploy.PackageSpec{{Reference: "tools", Version: "7.0.0"}}}, [3]string{"2.0.0-beta", "2.0.0-beta", "7.0.0"}},
	} {
		release, _, err := r.create(c.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got [3]string
		for i, p := range release.SelectedPackages {
			got[i] = p.Version
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for _, c := range []struct {
		in    deploy.NewRelease
		parts []string
	}{
		{deploy.NewRelease{PackageVersion: "9.9.9"}, []string{"9.9.9", "Shop.Web", "2.0.0-beta"}},
		{deploy.NewRelease{Packages: []deploy.PackageSpec{{PackageOrStep: "Nothing", Version: "1"}}}, []string{"Nothing"}},
		{deploy.NewRelease{Channel: "Beta"}, []string{"Beta", "Shop"}},
	} {
		_, _, err := r.create(c.in)
		refusedFor(t, err, resource.Invalid, c.parts...)
	}
}

func TestReleaseRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, _, err := r.create(deploy.NewRelease{Project: "Nobody"})
	refusedFor(t, err, resource.Invalid, "Nobody")
	elsewhere := install()
	elsewhere.Packages[0].PackageID = "Never.Pushed"
	r.process(webStep("Install", elsewhere))
	_, _, err = r.create(deploy.NewRelease{})
	refusedFor(t, err, resource.Invalid, "Never.Pushed", "package push")
	foreign := install()
	foreign.Packages[0].FeedID = "Feeds-404"
	r.process(webStep("Install", foreign))
	_, _, err = r.create(deploy.NewRelease{})
	refusedFor(t, err, resource.Invalid, "Feeds-404")
	r.process(webStep("Install", install()))
	nobody := app.Caller{Subject: authz.Subject{UserID: "Users-9", Username: "guest"}}
	_, _, err = r.CreateRelease(t.Context(), nobody, space, deploy.NewRelease{Project: r.project.ID})
	if code := resource.CodeOf(err); code != resource.NotFound && code != resource.Invalid { // abuse 30
		t.Errorf("a stranger got %v", err)
	}
	var missing string
	_, _, err = r.CreateRelease(t.Context(), nobody, space, deploy.NewRelease{Project: "Projects-404"})
	if err != nil {
		missing = err.Error()
	}
	_, _, err = r.CreateRelease(t.Context(), nobody, space, deploy.NewRelease{Project: r.project.ID})
	if err == nil || replaceID(err.Error(), r.project.ID) != replaceID(missing, "Projects-404") {
		t.Errorf("a project that exists is told from one that does not: %v, %s", err, missing)
	}
}

func TestDeleteRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old, current := r.release("1.0.0"), r.release("2.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "2.0.0", Environments: []string{"Staging"}})
	check(t, err)
	refusedFor(t, r.DeleteRelease(t.Context(), r.who, space, current.ID), resource.Invalid, made[0].TaskID)
	r.succeed(&made[0])
	refusedFor(t, r.DeleteRelease(t.Context(), r.who, space, current.ID), resource.Invalid, "Deploy another release") // abuse 94
	check(t, r.DeleteRelease(t.Context(), r.who, space, old.ID))
	_, err = r.Release(t.Context(), r.who, space, old.ID)
	refusedFor(t, err, resource.NotFound)
	_, err = r.ReleaseByVersion(t.Context(), r.who, space, "Shop", "1.0.0")
	refusedFor(t, err, resource.NotFound)
	found, err := r.ReleaseByVersion(t.Context(), r.who, space, "shop", "2.0.0")
	check(t, err)
	if found.ID != current.ID {
		t.Errorf("found %s", found.ID)
	}
}
