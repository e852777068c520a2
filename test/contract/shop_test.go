package contract_test

import (
	"archive/zip"
	"bytes"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/core"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/deployments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/lifecycles"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/packages"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/projectgroups"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/projects"
)

// shop is a project with two environments, one phase each, made by the SDK.
type shop struct {
	c                   *client.Client
	staging, production *environments.Environment
	lifecycle           *lifecycles.Lifecycle
	group               *projectgroups.ProjectGroup
	project             *projects.Project
}

func newShop(t *testing.T, s *instance) *shop {
	t.Helper()
	p := &shop{c: s.connect(t, "")}
	var err error
	p.staging, err = environments.Add(p.c, environments.NewEnvironment("Staging"))
	ok(t, err)
	p.production, err = environments.Add(p.c, environments.NewEnvironment("Production"))
	ok(t, err)
	lifecycle := lifecycles.NewLifecycle("Two steps")
	for _, env := range []*environments.Environment{p.staging, p.production} {
		phase := lifecycles.NewPhase(env.Name)
		phase.OptionalDeploymentTargets = []string{env.ID}
		phase.MinimumEnvironmentsBeforePromotion = 1
		lifecycle.Phases = append(lifecycle.Phases, phase)
	}
	p.lifecycle, err = lifecycles.Add(p.c, lifecycle)
	ok(t, err)
	p.group, err = projectgroups.Add(p.c, projectgroups.NewProjectGroup("Shops"))
	ok(t, err)
	p.project, err = projects.Add(p.c, projects.NewProject("Web Shop", p.lifecycle.ID, p.group.ID))
	ok(t, err)
	return p
}

// setProcess replaces the project's steps, as Terraform and scripts do: read,
// edit, write.
func (p *shop) setProcess(t *testing.T, steps ...*deployments.DeploymentStep) *deployments.DeploymentProcess {
	t.Helper()
	process, err := deployments.GetDeploymentProcessByID(p.c, "Spaces-1", p.project.DeploymentProcessID)
	ok(t, err)
	process.Steps = steps
	saved, err := deployments.UpdateDeploymentProcess(p.c, process)
	ok(t, err)
	return saved
}

// step is a step for the machines of a role; "" for none.
func step(name, role string, actions ...*deployments.DeploymentAction) *deployments.DeploymentStep {
	s := deployments.NewDeploymentStep(name)
	s.Actions = actions
	if role != "" {
		s.Properties["Octopus.Action.TargetRoles"] = core.NewPropertyValue(role, false)
	}
	return s
}

func script(name, body string) *deployments.DeploymentAction {
	a := deployments.NewDeploymentAction(name, "Octopus.Script")
	for key, value := range map[string]string{
		"Octopus.Action.Script.ScriptSource": "Inline", "Octopus.Action.Script.Syntax": "Bash", "Octopus.Action.Script.ScriptBody": body,
	} {
		a.Properties[key] = core.NewPropertyValue(value, false)
	}
	return a
}

// onServer makes a script run on the server's own worker.
func onServer(a *deployments.DeploymentAction) *deployments.DeploymentAction {
	a.Properties["Octopus.Action.RunOnServer"] = core.NewPropertyValue("true", false)
	return a
}

// deployPackage installs a package of the built-in feed and puts variables
// into its files.
func deployPackage(name, id string) *deployments.DeploymentAction {
	a := deployments.NewDeploymentAction(name, "Octopus.TentaclePackage")
	for key, value := range map[string]string{
		"Octopus.Action.Package.DownloadOnTentacle": "False", "Octopus.Action.Package.FeedId": "feeds-builtin", "Octopus.Action.Package.PackageId": id,
		"Octopus.Action.EnabledFeatures":                    "Octopus.Features.SubstituteInFiles",
		"Octopus.Action.SubstituteInFiles.Enabled":          "True",
		"Octopus.Action.SubstituteInFiles.TargetFiles":      "shop.conf",
		"Octopus.Action.SubstituteInFiles.OutputEncoding":   "",
		"Octopus.Action.Package.JsonConfigurationVariables": "",
	} {
		if value != "" {
			a.Properties[key] = core.NewPropertyValue(value, false)
		}
	}
	a.Packages = []*packages.PackageReference{{
		PackageID: id, FeedID: "feeds-builtin", AcquisitionLocation: "Server", Properties: map[string]string{"SelectionMode": "immediate"},
	}}
	return a
}

// archive is a zip with these files.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range files {
		f, err := w.Create(name)
		ok(t, err)
		_, err = f.Write([]byte(text))
		ok(t, err)
	}
	ok(t, w.Close())
	return out.Bytes()
}

// push uploads a package under a file name.
func push(t *testing.T, c *client.Client, file string, content []byte) *packages.PackageUploadResponse {
	t.Helper()
	pkg, made, err := packages.Upload(c, c.GetSpaceID(), file, bytes.NewReader(content), packages.OverwriteModeFailIfExists)
	ok(t, err)
	if !made {
		t.Errorf("the upload of %s made nothing", file)
	}
	return pkg
}
