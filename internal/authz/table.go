package authz

var permissions = table()

// table holds every permission with its level and the limits it knows.
func table() map[Permission]About {
	byProject := []string{"Projects", "ProjectGroups"}
	byEnvironment := []string{"Environments"}
	byTenant := []string{"Tenants"}
	byDeployment := []string{"Environments", "Projects", "ProjectGroups", "Tenants"}
	byMachine := []string{"Environments", "Tenants"}
	all := map[Permission]About{}
	add := func(system, space bool, restrictions []string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			p := Permission(pairs[i])
			all[p] = About{Permission: p, Description: pairs[i+1], System: system, Space: space, Restrictions: restrictions}
		}
	}
	crud := func(restrictions []string, stem, noun string) {
		add(false, true, restrictions, stem+"View", "View "+noun, stem+"Create", "Create "+noun,
			stem+"Edit", "Edit "+noun, stem+"Delete", "Delete "+noun)
	}
	add(true, false, nil,
		"AdministerSystem", "Do everything on this server",
		"ConfigureServer", "Change the server's settings",
		"SpaceView", "View any space", "SpaceCreate", "Create spaces", "SpaceDelete", "Delete spaces",
		"UserEdit", "Edit users", "UserInvite", "Invite users",
		"UserRoleEdit", "Edit user roles", "UserRoleView", "View user roles")
	add(true, true, nil,
		"SpaceEdit", "Edit a space", "UserView", "View users",
		"TeamView", "View teams", "TeamCreate", "Create teams", "TeamEdit", "Edit teams", "TeamDelete", "Delete teams")
	add(true, true, byDeployment,
		"EventView", "View the audit trail", "TaskView", "View tasks", "TaskCreate", "Run health checks and scripts",
		"TaskCancel", "Cancel tasks", "TaskEdit", "Change the state of completed tasks")
	crud(byEnvironment, "Environment", "environments")
	crud(byMachine, "Machine", "deployment targets")
	crud(nil, "MachinePolicy", "machine policies")
	crud(nil, "Lifecycle", "lifecycles")
	crud(byProject, "Project", "projects")
	crud(byProject, "ProjectGroup", "project groups")
	crud(byProject, "Trigger", "triggers")
	crud(byDeployment, "Runbook", "runbooks")
	crud(byTenant, "Tenant", "tenants")
	crud(nil, "TagSet", "tag sets")
	crud(nil, "ActionTemplate", "step templates")
	crud(nil, "Proxy", "proxies")
	crud(nil, "Subscription", "subscriptions")
	crud(byEnvironment, "LibraryVariableSet", "library variable sets")
	crud(byMachine, "Account", "accounts")
	crud(byMachine, "Certificate", "certificates")
	crud(byDeployment, "Artifact", "artifacts")
	crud(byDeployment, "Release", "releases")
	crud(nil, "BuildInformation", "build information")
	crud(nil, "GitCredential", "Git credentials")
	add(false, true, byProject, "ProcessView", "View deployment processes and channels", "ProcessEdit", "Edit deployment processes and channels")
	add(false, true, byDeployment,
		"VariableView", "View variables of projects", "VariableEdit", "Edit variables of projects",
		"VariableViewUnscoped", "View variables without a scope", "VariableEditUnscoped", "Edit variables without a scope",
		"DeploymentView", "View deployments", "DeploymentCreate", "Deploy releases", "DeploymentDelete", "Delete deployments",
		"RunbookRunView", "View runbook runs", "RunbookRunCreate", "Run runbooks", "RunbookRunDelete", "Delete runbook runs",
		"DefectReport", "Block a release", "DefectResolve", "Unblock a release",
		"InterruptionView", "View interruptions", "InterruptionSubmit", "Answer any interruption",
		"InterruptionViewSubmitResponsible", "Answer interruptions of one's own teams")
	add(false, true, nil,
		"FeedView", "View feeds", "FeedEdit", "Edit feeds",
		"BuiltInFeedDownload", "Download packages", "BuiltInFeedPush", "Push packages",
		"BuiltInFeedAdminister", "Replace and delete packages",
		"WorkerView", "View workers and pools", "WorkerEdit", "Edit workers and pools", "BuildInformationPush", "Push build information",
		"BuildInformationAdminister", "Replace and delete build information")
	return all
}
