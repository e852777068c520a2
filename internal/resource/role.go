package resource

import "strings"

// The ids of built-in user roles that code refers to.
const (
	RoleSystemAdministrator = "userroles-systemadministrator"
	RoleSystemManager       = "userroles-systemmanager"
	RoleSpaceManager        = "userroles-spacemanager"
)

// crud expands "Environment" to EnvironmentCreate, -Delete, -Edit and -View.
func crud(stems string) []string {
	var out []string
	for stem := range strings.FieldsSeq(stems) {
		out = append(out, stem+"Create", stem+"Delete", stem+"Edit", stem+"View")
	}
	return out
}

// SpacePermissions are all permissions that a role can grant within a space.
func SpacePermissions() []string {
	return append(crud("Account ActionTemplate Artifact Certificate Environment GitCredential LibraryVariableSet Lifecycle Machine MachinePolicy Project ProjectGroup Proxy Release Subscription Team Tenant Trigger"),
		strings.Fields(`BuildInformationAdminister BuildInformationPush BuiltInFeedAdminister BuiltInFeedDownload BuiltInFeedPush
			CertificateExportPrivateKey DefectReport DefectResolve DeploymentCreate DeploymentDelete DeploymentView EventView FeedEdit
			FeedView InterruptionSubmit InterruptionView InterruptionViewSubmitResponsible ProcessEdit ProcessView RetentionAdminister
			RunbookEdit RunbookRunCreate RunbookRunDelete RunbookRunView RunbookView TagSetCreate TagSetDelete TagSetEdit TaskCancel
			TaskCreate TaskEdit TaskView VariableEdit VariableEditUnscoped VariableView VariableViewUnscoped WorkerEdit WorkerView`)...)
}

// SystemPermissions are all permissions that a role can grant in the system.
func SystemPermissions() []string {
	return append(crud("Space Team DeploymentFreeze"), strings.Fields(`AdministerSystem ConfigureServer EventView EventRetentionView
		SpaceImport TaskCancel TaskCreate TaskEdit TaskView UserEdit UserInvite UserRoleEdit UserRoleView UserView`)...)
}

const (
	viewProject = `DeploymentView EventView ProcessView ProjectView ProjectGroupView ReleaseView RunbookRunView RunbookView TaskView
		TenantView TriggerView LifecycleView EnvironmentView ArtifactView InterruptionView MachineView VariableView LibraryVariableSetView
		FeedView BuiltInFeedDownload ActionTemplateView WorkerView TeamView`
	writeProject = viewProject + ` ProcessEdit ProjectEdit VariableEdit VariableEditUnscoped VariableViewUnscoped RunbookEdit
		TriggerCreate TriggerDelete TriggerEdit ArtifactCreate ArtifactEdit ArtifactDelete DefectReport DefectResolve`
	deploy = viewProject + ` DeploymentCreate RunbookRunCreate TaskCancel TaskCreate InterruptionSubmit InterruptionViewSubmitResponsible
		ArtifactCreate DefectReport DefectResolve`
)

// BuiltInRoles are the user roles that every server starts with
// (octopus-api.md 2.0).
func BuiltInRoles() []UserRole {
	perEnvironment := "Environments ProjectGroups Projects Tenants"
	role := func(id, name, description, permissions, restrictions string) UserRole {
		return UserRole{
			Document: Document{ID: "userroles-" + id}, Name: name, Description: description,
			GrantedSpacePermissions: strings.Fields(permissions), SupportedRestrictions: strings.Fields(restrictions),
		}
	}
	roles := []UserRole{
		role("projectviewer", "Project viewer", "Sees projects, releases and deployments.", viewProject, perEnvironment),
		role("projectcontributor", "Project contributor", "Edits process and variables; does not deploy.", writeProject, perEnvironment),
		role("projectdeployer", "Project deployer", "Edits process and variables, and deploys.", writeProject+" "+deploy+" ReleaseCreate ReleaseEdit DeploymentDelete", perEnvironment),
		role("projectinitiator", "Project initiator", "Makes projects.", viewProject+" ProjectCreate ProjectEdit", "ProjectGroups Projects Tenants"),
		role("projectlead", "Project lead", "Leads projects: everything but their deletion in others' groups.", writeProject+" "+deploy+
			" ProjectCreate ProjectDelete ReleaseCreate ReleaseDelete ReleaseEdit DeploymentDelete RunbookRunDelete TaskEdit", perEnvironment),
		role("releasecreator", "Release creator", "Makes releases.", viewProject+" ReleaseCreate ReleaseEdit", perEnvironment),
		role("deploymentcreator", "Deployment creator", "Deploys releases.", deploy, perEnvironment),
		role("environmentviewer", "Environment viewer", "Sees environments and their machines.",
			"EnvironmentView MachineView MachinePolicyView AccountView CertificateView ProxyView TaskView EventView", "Environments Tenants"),
		role("environmentmanager", "Environment manager", "Manages environments and their machines.", strings.Join(
			crud("Environment Machine MachinePolicy Account Certificate Proxy"), " ")+" TaskView TaskCreate TaskCancel EventView WorkerView WorkerEdit", "Environments Tenants"),
		role("packagepublisher", "Package publisher", "Pushes packages to the built-in feed.", "BuiltInFeedPush BuiltInFeedDownload FeedView", ""),
		role("buildserver", "Build server", "Pushes packages, makes releases and deploys them.",
			deploy+" BuiltInFeedPush BuildInformationPush ReleaseCreate ReleaseEdit TenantView TagSetEdit", perEnvironment),
		role("runbookproducer", "Runbook producer", "Edits and runs runbooks.", viewProject+" RunbookEdit RunbookRunCreate RunbookRunDelete TaskCancel TaskCreate InterruptionSubmit", perEnvironment),
		role("runbookconsumer", "Runbook consumer", "Runs runbooks.", viewProject+" RunbookRunCreate TaskCancel TaskCreate InterruptionSubmit", perEnvironment),
		role("tenantmanager", "Tenant manager", "Manages tenants.", strings.Join(crud("Tenant"), " ")+" TagSetCreate TagSetDelete TagSetEdit EnvironmentView ProjectView LibraryVariableSetView VariableView", "Environments ProjectGroups Projects Tenants"),
		role("certificatemanager", "Certificate manager", "Manages certificates.", strings.Join(crud("Certificate"), " ")+" CertificateExportPrivateKey EnvironmentView", "Environments Tenants"),
		role("spacemanager", "Space manager", "Does everything in a space.", strings.Join(SpacePermissions(), " "), ""),
	}
	for i := range roles {
		roles[i].GrantedSpacePermissions = unique(roles[i].GrantedSpacePermissions)
	}
	system := func(id, name, description string, permissions []string) UserRole {
		return UserRole{Document: Document{ID: id}, Name: name, Description: description, GrantedSystemPermissions: permissions}
	}
	return append(roles,
		system(RoleSystemManager, "System manager", "Manages spaces, users and teams.", without(SystemPermissions(), "AdministerSystem")),
		system(RoleSystemAdministrator, "System administrator", "Does everything in the system.", SystemPermissions()))
}

func unique(in []string) []string {
	seen := map[string]bool{}
	out := in[:0]
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func without(in []string, drop string) []string {
	var out []string
	for _, s := range in {
		if s != drop {
			out = append(out, s)
		}
	}
	return out
}
