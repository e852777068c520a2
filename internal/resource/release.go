package resource

import "encoding/json"

// Release is a version of a project, frozen: process, variables and package
// digests are those of its making and never change (octopus-api.md 2.12, P6).
type Release struct {
	Document
	ProjectID                          string `json:"ProjectId"`
	ChannelID                          string `json:"ChannelId"`
	Version                            string
	ReleaseNotes                       string
	IgnoreChannelRules                 bool
	Assembled                          Time
	AssembledBy                        string `json:",omitempty"`
	SelectedPackages                   []SelectedPackage
	SelectedGitResources               []json.RawMessage
	CustomFields                       map[string]string
	VersionControlReference            json.RawMessage `json:",omitempty"`
	BuildInformation                   []json.RawMessage
	ProjectVariableSetSnapshotID       string   `json:"ProjectVariableSetSnapshotId"`
	ProjectDeploymentProcessSnapshotID string   `json:"ProjectDeploymentProcessSnapshotId"`
	LibraryVariableSetSnapshotIDs      []string `json:"LibraryVariableSetSnapshotIds"`
}

// SelectedPackage is the version of one package reference that a release
// chose, with the digest of its bytes at that moment.
type SelectedPackage struct {
	ActionName           string
	StepName             string `json:",omitempty"`
	PackageReferenceName string
	Version              string
	// Frozen when the release is made, so that no later change of the process
	// or of the feed changes what it deploys.
	FeedID        string `json:"FeedId,omitempty"`
	PackageID     string `json:"PackageId,omitempty"`
	Sha256        string `json:",omitempty"` // lower-case hex
	SizeBytes     int64  `json:",omitempty"`
	FileExtension string `json:",omitempty"`
}

// ReleaseKind declares Release.
var ReleaseKind = &Kind{
	Name: "Release", Noun: "release", IDPrefix: "Releases", Table: "release", Route: "releases",
	NameField: "Version", UniqueWithin: "ProjectId", Permission: "Release",
	Fields: []Field{
		{Path: "ProjectId", Column: "project_id", Ref: "Project", Tie: Owner},
		{Path: "ChannelId", Column: "channel_id", Ref: "Channel"},
		{Path: "Assembled", Column: "assembled", Type: TimeColumn},
		{Path: "ProjectVariableSetSnapshotId", Column: "variable_set_id", Ref: "VariableSet"},
		{Path: "ProjectDeploymentProcessSnapshotId", Column: "process_id", Ref: "DeploymentProcess"},
		{Path: "LibraryVariableSetSnapshotIds", List: true, Ref: "VariableSet"},
		{Path: "SelectedPackages.Sha256", List: true},
	},
	Order:   []string{"-assembled", "-ord"},
	Filters: map[string]string{"projectId": "ProjectId", "channelId": "ChannelId"},
	Links: map[string]string{
		"Project":                          "{Space}/projects/{ProjectId}",
		"Channel":                          "{Space}/channels/{ChannelId}",
		"Deployments":                      "{Self}/deployments{?skip,take}",
		"Progression":                      "{Self}/progression",
		"DeploymentTemplate":               "{Self}/deployments/template",
		"ProjectVariableSnapshot":          "{Space}/variables/{ProjectVariableSetSnapshotId}",
		"ProjectDeploymentProcessSnapshot": "{Space}/deploymentprocesses/{ProjectDeploymentProcessSnapshotId}",
		"SnapshotVariables":                "{Self}/snapshot-variables",
		"Artifacts":                        "{Space}/artifacts?regarding={Id}",
		"Defects":                          "{Self}/defects",
		"ReportDefect":                     "{Self}/defects",
		"ResolveDefect":                    "{Self}/defects/resolve",
		"Web":                              "/app#/{SpaceId}/releases/{Id}",
	},
	New: func() Doc { return new(Release) },
}

// Kind implements Doc.
func (r *Release) Kind() *Kind { return ReleaseKind }

// SetDefaults implements Defaulter.
func (r *Release) SetDefaults(func() string) {
	r.SelectedPackages = list(r.SelectedPackages)
	r.SelectedGitResources = list(r.SelectedGitResources)
	r.BuildInformation = list(r.BuildInformation)
	r.LibraryVariableSetSnapshotIDs = list(r.LibraryVariableSetSnapshotIDs)
	if r.CustomFields == nil {
		r.CustomFields = map[string]string{}
	}
}

// Validate implements Doc.
func (r *Release) Validate() error {
	if r.ProjectID == "" {
		return invalid("ProjectId", "Please say which project this release belongs to.")
	}
	if r.Version == "" || len(r.Version) > 349 || !printable(r.Version) {
		return invalid("Version", "Please give the release a version of at most 349 characters.")
	}
	return CheckText("ReleaseNotes", r.ReleaseNotes)
}

// Deployment is a release on its way to an environment (octopus-api.md 2.13).
// Its task is the rollout.
type Deployment struct {
	Document
	Name                     string
	ReleaseID                string `json:"ReleaseId"`
	EnvironmentID            string `json:"EnvironmentId"`
	TenantID                 string `json:"TenantId,omitempty"`
	ProjectID                string `json:"ProjectId"`
	ChannelID                string `json:"ChannelId"`
	DeploymentProcessID      string `json:"DeploymentProcessId"`
	ManifestVariableSetID    string `json:"ManifestVariableSetId"`
	TaskID                   string `json:"TaskId"`
	Created                  Time
	DeployedBy               string
	DeployedByID             string   `json:"DeployedById"`
	DeployedToMachineIDs     []string `json:"DeployedToMachineIds"`
	SkipActions              []string
	SpecificMachineIDs       []string `json:"SpecificMachineIds"`
	ExcludedMachineIDs       []string `json:"ExcludedMachineIds"`
	ForcePackageDownload     bool
	ForcePackageRedeployment bool
	UseGuidedFailure         bool
	FailureEncountered       bool
	FormValues               Properties // by variable id
	QueueTime                Time
	QueueTimeExpiry          Time
	Comments                 string
	Priority                 string `json:",omitempty"`
	Changes                  []json.RawMessage
	ChangesMarkdown          string
	TentacleRetentionPeriod  *RetentionPeriod
	// RollsBackTaskID is the failed task that this deployment makes good, by the
	// policy Slipway.Deployment.RollBack.
	RollsBackTaskID string `json:"RollsBackTaskId,omitempty"`
	// PlanHash is the approval hash of the plan that was queued. Given with a new
	// deployment it is what was approved: another plan is refused (P7).
	PlanHash string `json:",omitempty"`
}

// DeploymentKind declares Deployment.
var DeploymentKind = &Kind{
	Name: "Deployment", Noun: "deployment", IDPrefix: "Deployments", Table: "deployment", Route: "deployments",
	NameField: "Name", Repeatable: true, Permission: "Deployment",
	Fields: []Field{
		{Path: "ProjectId", Column: "project_id", Ref: "Project", Tie: Owner},
		{Path: "ReleaseId", Column: "release_id", Ref: "Release", Tie: Owner},
		{Path: "EnvironmentId", Column: "environment_id", Ref: "Environment"},
		{Path: "TenantId", Column: "tenant_id"},
		{Path: "ChannelId", Column: "channel_id", Ref: "Channel"},
		{Path: "TaskId", Column: "task_id"},
		{Path: "Created", Column: "created", Type: TimeColumn},
	},
	Order: []string{"-ord"},
	Filters: map[string]string{
		"projects": "ProjectId", "environments": "EnvironmentId", "tenants": "TenantId", "channels": "ChannelId",
		"releases": "ReleaseId",
	},
	Links: map[string]string{
		"Task":          "/api/tasks/{TaskId}",
		"Release":       "{Space}/releases/{ReleaseId}",
		"Project":       "{Space}/projects/{ProjectId}",
		"Environment":   "{Space}/environments/{EnvironmentId}",
		"Artifacts":     "{Space}/artifacts?regarding={Id}",
		"Interruptions": "{Space}/interruptions?regarding={Id}",
		"Variables":     "{Space}/variables/{ManifestVariableSetId}",
		"Web":           "/app#/{SpaceId}/deployments/{Id}",
	},
	New: func() Doc { return new(Deployment) },
}

// Kind implements Doc.
func (d *Deployment) Kind() *Kind { return DeploymentKind }

// SetDefaults implements Defaulter.
func (d *Deployment) SetDefaults(func() string) {
	d.DeployedToMachineIDs = list(d.DeployedToMachineIDs)
	d.SkipActions = list(d.SkipActions)
	d.SpecificMachineIDs = list(d.SpecificMachineIDs)
	d.ExcludedMachineIDs = list(d.ExcludedMachineIDs)
	d.Changes = list(d.Changes)
	if d.FormValues == nil {
		d.FormValues = Properties{}
	}
}

// EachSecret implements Secretive: prompted values may be secret.
func (d *Deployment) EachSecret(visit func(string, *Sensitive)) {
	d.FormValues.EachSecret("FormValues/", visit)
}

// Validate implements Doc.
func (d *Deployment) Validate() error {
	if d.ReleaseID == "" {
		return invalid("ReleaseId", "Please say which release to deploy.")
	}
	if d.EnvironmentID == "" {
		return invalid("EnvironmentId", "Please say which environment to deploy to.")
	}
	return CheckText("Comments", d.Comments)
}
