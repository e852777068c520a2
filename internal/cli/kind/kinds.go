package kind

// Environment is a place to deploy to.
func Environment() Kind {
	return Kind{
		Noun: "environment", Path: "environments", Example: "Production",
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Field("Guided failure", "UseGuidedFailure"),
			Field("Description", "Description"),
		},
	}
}

// ProjectGroup sorts projects.
func ProjectGroup() Kind {
	return Kind{
		Noun: "project-group", Path: "projectgroups", Example: "Shops",
		Columns: []Column{Field("Name", "Name"), Field("Id", "Id"), Field("Description", "Description")},
	}
}

// Lifecycle says in which order environments follow each other.
func Lifecycle() Kind {
	return Kind{
		Noun: "lifecycle", Path: "lifecycles", Example: "Default Lifecycle", Names: []string{"environments"},
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), {"Phases", phases}, Field("Description", "Description"),
		},
	}
}

// Project is what is released.
func Project() Kind {
	return Kind{
		Noun: "project", Path: "projects", Example: "Shop", Names: []string{"projectgroups", "lifecycles"},
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Ref("Group", "ProjectGroupId"), Ref("Lifecycle", "LifecycleId"),
			Field("Disabled", "IsDisabled"), Field("Description", "Description"),
		},
	}
}

// Channel is a project's line of releases.
func Channel() Kind {
	return Kind{
		Noun: "channel", Path: "channels", Example: "Default", Names: []string{"projects", "lifecycles"},
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Ref("Project", "ProjectId"), Ref("Lifecycle", "LifecycleId"),
			Field("Default", "IsDefault"), Field("Description", "Description"),
		},
	}
}

// Machine is a deployment target.
func Machine() Kind {
	return Kind{
		Noun: "machine", Path: "machines", Example: "web-01", Names: []string{"environments"},
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Field("Health", "HealthStatus"), Field("Disabled", "IsDisabled"),
			Ref("Environments", "EnvironmentIds"), Join("Roles", "Roles"),
			{"Style", style},
			Field("Status", "StatusSummary"),
		},
	}
}

// MachinePolicy says how machines are checked and when they are cleaned up.
func MachinePolicy() Kind {
	return Kind{
		Noun: "machine-policy", Path: "machinepolicies", Example: "Default Machine Policy",
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Field("Default", "IsDefault"), Field("Description", "Description"),
		},
	}
}

// Package is one version of a package in the built-in feed.
func Package() Kind {
	return Kind{
		Noun: "package", Path: "packages", Basic: "Id", Example: "Shop.Web:1.2.0",
		Columns: []Column{
			Field("Package", "PackageId"), Field("Version", "Version"),
			{"Size", bytesOf("PackageSizeBytes")},
			Field("Published", "Published"),
			Field("Id", "Id"),
		},
	}
}

// Release is a frozen version of a project.
func Release() Kind {
	return Kind{
		Noun: "release", Path: "releases", Basic: "Version", Example: "1.2.0", Names: []string{"channels"},
		Columns: []Column{
			Field("Version", "Version"), Field("Id", "Id"), Ref("Channel", "ChannelId"), Field("Assembled", "Assembled"),
			{"Packages", selected},
		},
	}
}

// Deployment is one release sent to one environment.
func Deployment() Kind {
	return Kind{
		Noun: "deployment", Path: "deployments", Basic: "Id", Example: "Deployments-1",
		Names: []string{"projects", "environments"},
		Columns: []Column{
			Field("Id", "Id"), Ref("Project", "ProjectId"), Field("Release", "ReleaseId"), Ref("Environment", "EnvironmentId"),
			Field("Task", "TaskId"), Field("Created", "Created"), Field("By", "DeployedBy"),
		},
	}
}

// Task is a piece of work of the server.
func Task() Kind {
	return Kind{
		Noun: "task", Path: "tasks", Global: true, Basic: "Id", Example: "ServerTasks-1",
		Columns: []Column{
			Field("Id", "Id"), Field("Kind", "Name"), Field("State", "State"), Field("Description", "Description"),
			Field("Queued", "QueueTime"), Field("Duration", "Duration"), Field("Error", "ErrorMessage"),
		},
	}
}

// Artifact is a file that a script handed in.
func Artifact() Kind {
	return Kind{
		Noun: "artifact", Path: "artifacts", Basic: "Id", Example: "Artifacts-ServerTasks-1.0.0.Machines-1.1.0",
		Columns: []Column{
			Field("File", "Filename"),
			{"Size", bytesOf("Size")},
			Field("Machine", "Source"), Field("Task", "ServerTaskId"), Field("Created", "Created"), Field("Id", "Id"),
		},
	}
}

// User is a person or a service with rights.
func User() Kind {
	return Kind{
		Noun: "user", Path: "users", Global: true, Basic: "Username", Example: "admin",
		Columns: []Column{
			Field("Username", "Username"), Field("Id", "Id"), Field("Name", "DisplayName"), Field("E-mail", "EmailAddress"),
			Field("Service", "IsService"), Field("Active", "IsActive"),
		},
	}
}

// Space keeps documents apart.
func Space() Kind {
	return Kind{
		Noun: "space", Path: "spaces", Global: true, Example: "Default",
		Columns: []Column{
			Field("Name", "Name"), Field("Id", "Id"), Field("Default", "IsDefault"), Field("Description", "Description"),
		},
	}
}

// Event is one line of the audit log.
func Event() Kind {
	return Kind{
		Noun: "event", Path: "events", Global: true, Basic: "Id", Example: "Events-1",
		Columns: []Column{
			Field("Occurred", "Occurred"), Field("Category", "Category"), Field("Who", "Username"), Field("Message", "Message"),
			Field("Id", "Id"),
		},
	}
}
