package authz

import (
	"slices"
	"strings"
)

// Role is a built-in role: immutable, known to every server by its id
// (octopus-api.md 2.0).
type Role struct {
	ID          string
	Name        string
	Description string
	Space       []Permission // sorted
	System      []Permission // sorted
}

// Set is everything that the role grants at a level.
func (r Role) Set(system bool) Set {
	if system {
		return SetOf(r.System...)
	}
	return SetOf(r.Space...)
}

// The built-in roles that code refers to.
const (
	RoleSystemAdministrator = "userroles-systemadministrator"
	RoleSystemManager       = "userroles-systemmanager"
	RoleSpaceManager        = "userroles-spacemanager"
)

// BuiltInRole finds a built-in role by its id, in any case.
func BuiltInRole(id string) (Role, bool) {
	i := slices.IndexFunc(BuiltInRoles(), func(r Role) bool { return strings.EqualFold(r.ID, id) })
	if i < 0 {
		return Role{}, false
	}
	return BuiltInRoles()[i], true
}

// BuiltInRoles are the built-in roles by name.
func BuiltInRoles() []Role { return slices.Clone(builtInRoles) }

var builtInRoles = roles()

func roles() []Role {
	view := []string{
		"EnvironmentView", "FeedView", "LibraryVariableSetView", "LifecycleView", "MachineView", "MachinePolicyView",
		"ProjectGroupView", "TenantView", "TagSetView", "ActionTemplateView", "WorkerView", "AccountView", "CertificateView", "ProxyView",
	}
	project := join(view, "ProjectView", "ProcessView", "VariableView", "VariableViewUnscoped", "ReleaseView", "DeploymentView",
		"RunbookView", "RunbookRunView", "TaskView", "EventView", "ArtifactView", "InterruptionView", "TriggerView",
		"BuiltInFeedDownload", "BuildInformationView", "GitCredentialView")
	contributor := join(project, "ProjectEdit", "ProcessEdit", "VariableEdit", "VariableEditUnscoped", "RunbookEdit", "RunbookCreate", "RunbookDelete",
		"TriggerCreate", "TriggerEdit", "TriggerDelete", "ArtifactCreate", "ArtifactEdit", "DefectReport", "DefectResolve")
	deployer := join(contributor, "DeploymentCreate", "RunbookRunCreate", "TaskCancel", "TaskCreate", "InterruptionViewSubmitResponsible")
	return []Role{
		builtIn("buildserver", "Build server", "Pushes packages, creates releases and deploys them from a build.",
			join(view, "ProjectView", "ProcessView", "ReleaseView", "ReleaseCreate", "ReleaseEdit", "DeploymentView", "DeploymentCreate", "TaskView", "TaskCancel",
				"BuiltInFeedPush", "BuiltInFeedDownload", "BuildInformationPush", "BuildInformationView", "ArtifactView", "RunbookView", "RunbookRunView", "RunbookRunCreate"), nil),
		builtIn("certificatemanager", "Certificate manager", "Manages certificates.",
			[]string{"CertificateView", "CertificateCreate", "CertificateEdit", "CertificateDelete", "EnvironmentView", "TenantView"}, nil),
		builtIn("deploymentcreator", "Deployment creator", "Deploys releases.", join(project, "DeploymentCreate", "TaskCancel"), nil),
		builtIn("environmentmanager", "Environment manager", "Manages environments, deployment targets and accounts.",
			join(view, "EnvironmentCreate", "EnvironmentEdit", "EnvironmentDelete", "MachineCreate", "MachineEdit", "MachineDelete",
				"MachinePolicyCreate", "MachinePolicyEdit", "MachinePolicyDelete", "AccountCreate", "AccountEdit", "AccountDelete",
				"CertificateCreate", "CertificateEdit", "CertificateDelete", "ProxyCreate", "ProxyEdit", "ProxyDelete", "WorkerEdit",
				"TaskView", "TaskCreate", "TaskCancel", "EventView"), nil),
		builtIn("environmentviewer", "Environment viewer", "Sees environments and deployment targets.", []string{"EnvironmentView", "MachineView", "MachinePolicyView", "AccountView", "TaskView", "EventView"}, nil),
		builtIn("packagepublisher", "Package publisher", "Pushes packages.", []string{"BuiltInFeedPush", "BuiltInFeedDownload", "FeedView", "BuildInformationPush"}, nil),
		builtIn("projectcontributor", "Project contributor", "Edits projects, cannot deploy.", contributor, nil),
		builtIn("projectdeployer", "Project deployer", "Edits projects and deploys, cannot create releases.", deployer, nil),
		builtIn("projectinitiator", "Project initiator", "Creates projects and edits them.", join(contributor, "ProjectCreate", "ProjectDelete", "ProjectGroupCreate", "ProjectGroupEdit"), nil),
		builtIn("projectlead", "Project lead", "Edits projects and creates releases.", join(contributor, "ReleaseCreate", "ReleaseEdit", "ReleaseDelete", "DeploymentCreate", "DeploymentDelete", "TaskCancel", "InterruptionViewSubmitResponsible"), nil),
		builtIn("projectviewer", "Project viewer", "Sees projects, releases and deployments.", project, nil),
		builtIn("releasecreator", "Release creator", "Creates releases.", join(project, "ReleaseCreate"), nil),
		builtIn("runbookconsumer", "Runbook consumer", "Runs runbooks.", join(project, "RunbookRunCreate", "TaskCancel"), nil),
		builtIn("runbookproducer", "Runbook producer", "Edits and runs runbooks.", join(project, "RunbookCreate", "RunbookEdit", "RunbookDelete", "RunbookRunCreate", "RunbookRunDelete", "TaskCancel"), nil),
		builtIn("spacemanager", "Space manager", "Does everything in a space.", every(func(a About) bool { return a.Space }), nil),
		builtIn("systemadministrator", "System administrator", "Does everything on this server.", nil, every(func(a About) bool { return a.System })),
		builtIn("systemmanager", "System manager", "Manages spaces, users and teams, not the server's settings.", nil,
			every(func(a About) bool {
				return a.System && a.Permission != AdministerSystem && a.Permission != ConfigureServer
			})),
		builtIn("tenantmanager", "Tenant manager", "Manages tenants.", join(view, "TenantCreate", "TenantEdit", "TenantDelete", "TagSetCreate", "TagSetEdit"), nil),
	}
}

func builtIn(id, name, description string, space, system []string) Role {
	return Role{ID: "userroles-" + id, Name: name, Description: description, Space: sorted(space), System: sorted(system)}
}

func sorted(names []string) []Permission {
	list := make([]Permission, 0, len(names))
	for _, name := range names {
		list = append(list, Permission(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func join(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

func every(want func(About) bool) []string {
	var names []string
	for _, a := range All() {
		if want(a) {
			names = append(names, string(a.Permission))
		}
	}
	return names
}
