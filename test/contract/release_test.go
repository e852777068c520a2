package contract_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/packages"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/releases"
)

// TestReleases are the rules that need no machine (octopus-api.md 1.9, 2.12).
func TestReleases(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	p.setProcess(t, step("Install", "web", deployPackage("Install", "Shop.Web")))
	create := func(edit func(*releases.CreateReleaseCommandV1)) (*releases.CreateReleaseResponseV1, error) {
		command := releases.NewCreateReleaseCommandV1("Spaces-1", p.project.ID)
		edit(command)
		return releases.CreateReleaseV1(p.c, command)
	}
	_, err := create(func(*releases.CreateReleaseCommandV1) {})
	if typed := refused(t, err, http.StatusBadRequest); !strings.Contains(strings.Join(typed.Errors, " "), "Shop.Web") {
		t.Errorf("the refusal does not name the missing package: %v", err)
	}
	for _, version := range []string{"1.0.0", "1.1.0-beta", "1.1.0"} {
		_, _, err := packages.Upload(p.c, "Spaces-1", "Shop.Web."+version+".zip", bytes.NewReader(archive(t, map[string]string{"a": version})), packages.OverwriteModeFailIfExists)
		ok(t, err)
	}
	for _, spec := range []struct{ text, want string }{
		{"Shop.Web:1.0.0", "1.0.0"}, {"Install=1.1.0-beta", "1.1.0-beta"}, {"*:1.0.0", "1.0.0"}, {`Shop.Web/1.1.0`, "1.1.0"}, {"", "1.1.0"},
	} {
		made, err := create(func(c *releases.CreateReleaseCommandV1) {
			if spec.text != "" {
				c.Packages = []string{spec.text}
			}
		})
		ok(t, err)
		release, err := p.c.Releases.GetByID(made.ReleaseID)
		ok(t, err)
		same(t, "version by "+spec.text, release.SelectedPackages[0].Version, spec.want)
	}
	made, err := create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "5.0.0" })
	ok(t, err)
	next, err := create(func(*releases.CreateReleaseCommandV1) {})
	ok(t, err)
	same(t, "next version", next.ReleaseVersion, "5.0.1")
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "DeleteMe5.0" })
	ok(t, err)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.ReleaseVersion = "5.0.0" })
	refused(t, err, http.StatusBadRequest)
	same2, err := create(func(c *releases.CreateReleaseCommandV1) {
		c.ReleaseVersion, c.IgnoreIfAlreadyExists = "5.0.0", true
	})
	ok(t, err)
	same(t, "the release that exists", same2.ReleaseID, made.ReleaseID)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.Packages = []string{"Nothing:1.0.0"} })
	refused(t, err, http.StatusBadRequest)
	_, err = create(func(c *releases.CreateReleaseCommandV1) { c.Packages = []string{"Shop.Web:9.9.9"} })
	refused(t, err, http.StatusBadRequest)

	document := releases.NewRelease("", p.project.ID, "6.0.0")
	document.SelectedPackages = []*packages.SelectedPackage{{ActionName: "Install", Version: "1.0.0"}}
	stored, err := p.c.Releases.Add(document)
	ok(t, err)
	again, err := p.c.Releases.GetByID(stored.ID)
	ok(t, err)
	same(t, "release", again, stored)
	if !again.Assembled.Equal(stored.Assembled) || again.ProjectDeploymentProcessSnapshotID == p.project.DeploymentProcessID {
		t.Errorf("release: %+v", again)
	}
	ok(t, p.c.Releases.DeleteByID(stored.ID))
	_, err = releases.GetReleaseInProject(p.c, "Spaces-1", p.project.ID, "6.0.0")
	refused(t, err, http.StatusNotFound)
}
