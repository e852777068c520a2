package resource

import "encoding/json"

// The values of tenanted deployment and guided failure modes (octopus-api.md 1.8).
const (
	Untenanted           = "Untenanted"
	TenantedOrUntenanted = "TenantedOrUntenanted"
	Tenanted             = "Tenanted"

	GuidedFailureDefault = "EnvironmentDefault"
	GuidedFailureOff     = "Off"
	GuidedFailureOn      = "On"
)

// DefaultVersionTemplate numbers releases where the project does not say how.
const DefaultVersionTemplate = "#{Octopus.Version.LastMajor}.#{Octopus.Version.LastMinor}.#{Octopus.Version.NextPatch}"

// ProjectGroup gathers projects (octopus-api.md 2.4).
type ProjectGroup struct {
	Document
	Name              string
	Slug              string
	Description       string
	EnvironmentIDs    []string `json:"EnvironmentIds"`
	RetentionPolicyID string   `json:"RetentionPolicyId,omitempty"`
}

// ProjectGroupKind declares ProjectGroup.
var ProjectGroupKind = &Kind{
	Name: "ProjectGroup", Noun: "project group", IDPrefix: "ProjectGroups", Table: "project_group", Route: "projectgroups",
	NameField: "Name", Slug: true, Permission: "ProjectGroup",
	Fields: []Field{{Path: "EnvironmentIds", List: true, Ref: "Environment", Tie: Pruned}},
	Order:  []string{"name_key"},
	Links:  map[string]string{"Projects": "{Self}/projects"}, // clients ask it as it is
	New:    func() Doc { return new(ProjectGroup) },
}

// Kind implements Doc.
func (g *ProjectGroup) Kind() *Kind { return ProjectGroupKind }

// SlugField implements Slugged.
func (g *ProjectGroup) SlugField() *string { return &g.Slug }

// SetDefaults implements Defaulter.
func (g *ProjectGroup) SetDefaults(func() string) { g.EnvironmentIDs = list(g.EnvironmentIDs) }

// Validate implements Doc.
func (g *ProjectGroup) Validate() error {
	return first(CheckName("project group", g.Name, MaxName), CheckText("Description", g.Description))
}

// Project is something that is released and deployed (octopus-api.md 2.5). Its
// process and variables are documents of their own, with derived ids.
type Project struct {
	Document
	Name                            string
	Slug                            string
	Description                     string
	IsDisabled                      bool
	LifecycleID                     string   `json:"LifecycleId"`
	ProjectGroupID                  string   `json:"ProjectGroupId"`
	VariableSetID                   string   `json:"VariableSetId"`
	DeploymentProcessID             string   `json:"DeploymentProcessId"`
	IncludedLibraryVariableSetIDs   []string `json:"IncludedLibraryVariableSetIds"`
	TenantedDeploymentMode          string
	DefaultGuidedFailureMode        string
	DefaultToSkipIfAlreadyInstalled bool
	AutoCreateRelease               bool
	DiscreteChannelRelease          bool
	AllowIgnoreChannelRules         bool
	ForcePackageDownload            bool
	Templates                       []Template
	ProjectConnectivityPolicy       ConnectivityPolicy
	VersioningStrategy              *VersioningStrategy
	ReleaseCreationStrategy         ReleaseCreationStrategy
	ReleaseNotesTemplate            string
	DeploymentChangesTemplate       string
	ClonedFromProjectID             string `json:"ClonedFromProjectId,omitempty"`
	IsVersionControlled             bool
	PersistenceSettings             json.RawMessage // always an object with Type
	AutoDeployReleaseOverrides      []json.RawMessage
	ExtensionSettings               []json.RawMessage
	ProjectTags                     []string
	ProvisioningRunbookID           string `json:"ProvisioningRunbookId,omitempty"`
	DeprovisioningRunbookID         string `json:"DeprovisioningRunbookId,omitempty"`

	CombineHealthAndSyncStatusInDashboardLiveStatus bool
}

// ConnectivityPolicy says what a deployment does about machines that are
// missing or do not answer.
type ConnectivityPolicy struct {
	SkipMachineBehavior         string // SkipNone or SkipUnavailable
	TargetRoles                 []string
	AllowDeploymentsToNoTargets bool
	ExcludeUnhealthyTargets     bool
}

// The values of ConnectivityPolicy.SkipMachineBehavior.
const (
	SkipNone        = "None"
	SkipUnavailable = "SkipUnavailableMachines"
)

// SetDefaults fills in what a client left out.
func (p *ConnectivityPolicy) SetDefaults() {
	if p.SkipMachineBehavior == "" {
		p.SkipMachineBehavior = SkipNone
	}
	p.TargetRoles = list(p.TargetRoles)
}

// VersioningStrategy numbers releases: by a template, or by the version of a
// package.
type VersioningStrategy struct {
	Template           string `json:",omitempty"`
	DonorPackage       *DeploymentActionPackage
	DonorPackageStepID string `json:"DonorPackageStepId,omitempty"`
}

// DeploymentActionPackage names a package reference of an action.
type DeploymentActionPackage struct {
	DeploymentAction string
	PackageReference string
}

// ReleaseCreationStrategy says which package's arrival makes a release.
type ReleaseCreationStrategy struct {
	ChannelID                    string                   `json:"ChannelId,omitempty"`
	ReleaseCreationPackage       *DeploymentActionPackage `json:",omitempty"`
	ReleaseCreationPackageStepID string                   `json:"ReleaseCreationPackageStepId,omitempty"`
}

// Template asks for a value from each tenant or project that uses it.
type Template struct {
	ID              string `json:"Id"`
	Name            string
	Label           string
	HelpText        string
	DefaultValue    PropertyValue
	DisplaySettings map[string]string
}

// ProjectKind declares Project.
var ProjectKind = &Kind{
	Name: "Project", Noun: "project", IDPrefix: "Projects", Table: "project", Route: "projects",
	NameField: "Name", Slug: true, Permission: "Project",
	Fields: []Field{
		{Path: "LifecycleId", Column: "lifecycle_id", Ref: "Lifecycle"},
		{Path: "ProjectGroupId", Column: "project_group_id", Ref: "ProjectGroup"},
		{Path: "ClonedFromProjectId", Column: "cloned_from_project_id", Ref: "Project", Tie: Loose},
		{Path: "IncludedLibraryVariableSetIds", List: true, Ref: "LibraryVariableSet"},
		{Path: "IsDisabled", Column: "is_disabled", Type: BoolColumn},
	},
	Order:   []string{"name_key"},
	Filters: map[string]string{"clonedFromProjectId": "ClonedFromProjectId"},
	Links: map[string]string{
		"Channels":                             "{Self}/channels{/id}{?skip,take,partialName}",
		"Releases":                             "{Self}/releases{/version}{?skip,take,searchByVersion}",
		"DeploymentProcess":                    "{Self}/deploymentprocesses",
		"DeploymentSettings":                   "{Self}/deploymentsettings",
		"Progression":                          "{Self}/progression{?aggregate,releaseHistoryCount}",
		"Summary":                              "{Self}/summary",
		"Variables":                            "{Space}/variables/{VariableSetId}",
		"Triggers":                             "{Self}/triggers{/id}{?skip,take,partialName,triggerActionType,triggerActionCategory}",
		"Runbooks":                             "{Self}/runbooks{/id}{?skip,take,partialName}",
		"RunbookSnapshots":                     "{Self}/runbookSnapshots{/name}{?skip,take,searchByName}",
		"Logo":                                 "{Self}/logo",
		"ConvertToVcs":                         "{Self}/git/convert",
		"Web":                                  "/app#/{SpaceId}/projects/{Id}",
		"Metadata":                             "{Self}/metadata",
		"ScheduledTriggers":                    "{Self}/triggers{?skip,take,triggerActionType}",
		"OrderChannels":                        "{Self}/channels/order",
		"InsightsMetrics":                      "{Self}/insights/metrics",
		"DeploymentProcessTemplate":            "{Self}/deploymentprocesses/template{?channel,releaseId}",
		"RunbookTaskRunDashboardItemsTemplate": "{Space}/progression/runbooks/taskRuns{?ids,projectIds,skip,take}",
	},
	New: func() Doc { return new(Project) },
}

// Kind implements Doc.
func (p *Project) Kind() *Kind { return ProjectKind }

// SlugField implements Slugged.
func (p *Project) SlugField() *string { return &p.Slug }

// databasePersistence is what a project without settings has: clients read its
// Type unasked (octopus-api.md 2.5).
const databasePersistence = `{"Type":"Database"}`

// SetDefaults implements Defaulter.
func (p *Project) SetDefaults(newID func() string) {
	p.IncludedLibraryVariableSetIDs = list(p.IncludedLibraryVariableSetIDs)
	p.AutoDeployReleaseOverrides = list(p.AutoDeployReleaseOverrides)
	p.ExtensionSettings = list(p.ExtensionSettings)
	p.ProjectTags = list(p.ProjectTags)
	p.Templates = list(p.Templates)
	p.ProjectConnectivityPolicy.SetDefaults()
	if p.TenantedDeploymentMode == "" {
		p.TenantedDeploymentMode = Untenanted
	}
	if p.DefaultGuidedFailureMode == "" {
		p.DefaultGuidedFailureMode = GuidedFailureDefault
	}
	if p.VersioningStrategy == nil {
		p.VersioningStrategy = &VersioningStrategy{}
	}
	if s := p.VersioningStrategy; s.Template == "" && s.DonorPackage == nil && s.DonorPackageStepID == "" {
		s.Template = DefaultVersionTemplate
	}
	if len(p.PersistenceSettings) == 0 || string(p.PersistenceSettings) == "null" {
		p.PersistenceSettings = json.RawMessage(databasePersistence)
	}
	setTemplateDefaults(p.Templates, newID)
}

func setTemplateDefaults(templates []Template, newID func() string) {
	for i := range templates {
		t := &templates[i]
		if t.ID == "" {
			t.ID = newID()
		}
		if t.DisplaySettings == nil {
			t.DisplaySettings = map[string]string{}
		}
	}
}

// EachSecret implements Secretive.
func (p *Project) EachSecret(visit func(string, *Sensitive)) { eachTemplateSecret(p.Templates, visit) }

func eachTemplateSecret(templates []Template, visit func(string, *Sensitive)) {
	for i := range templates {
		if v := &templates[i].DefaultValue; v.IsSensitive {
			visit("Templates/"+templates[i].ID, &v.Secret)
		}
	}
}

// Validate implements Doc.
func (p *Project) Validate() error {
	err := first(CheckName("project", p.Name, MaxName), CheckText("Description", p.Description),
		CheckText("ReleaseNotesTemplate", p.ReleaseNotesTemplate),
		CheckText("DeploymentChangesTemplate", p.DeploymentChangesTemplate),
		oneOf("TenantedDeploymentMode", p.TenantedDeploymentMode, Untenanted, TenantedOrUntenanted, Tenanted),
		oneOf("DefaultGuidedFailureMode", p.DefaultGuidedFailureMode, GuidedFailureDefault, GuidedFailureOff, GuidedFailureOn),
		oneOf("SkipMachineBehavior", p.ProjectConnectivityPolicy.SkipMachineBehavior, SkipNone, SkipUnavailable))
	if err != nil {
		return err
	}
	if p.LifecycleID == "" {
		return invalid("LifecycleId", "Please choose a lifecycle for this project.")
	}
	if p.ProjectGroupID == "" {
		return invalid("ProjectGroupId", "Please choose a project group for this project.")
	}
	var settings struct{ Type string }
	if json.Unmarshal(p.PersistenceSettings, &settings) != nil || settings.Type == "" {
		return invalid("PersistenceSettings", `PersistenceSettings has to be an object with a Type, such as {"Type":"Database"}.`)
	}
	return validateTemplates(p.Templates)
}

func validateTemplates(templates []Template) error {
	seen := map[string]bool{}
	for i := range templates {
		if err := CheckName("template", templates[i].Name, MaxName); err != nil {
			return err
		}
		if seen[templates[i].ID] {
			return invalid("Templates", "Two templates have the id '%s'. Please give each its own, or leave it out.", templates[i].ID)
		}
		seen[templates[i].ID] = true
	}
	return nil
}

// LibraryVariableSet holds variables that projects include, or a script module
// (octopus-api.md 2.8).
type LibraryVariableSet struct {
	Document
	Name          string
	Description   string
	ContentType   string // Variables or ScriptModule
	VariableSetID string `json:"VariableSetId"`
	Templates     []Template
}

// LibraryVariableSetKind declares LibraryVariableSet.
var LibraryVariableSetKind = &Kind{
	Name: "LibraryVariableSet", Noun: "library variable set", IDPrefix: "LibraryVariableSets", Table: "library_variable_set",
	Route: "libraryvariablesets", NameField: "Name", UniqueWithin: "ContentType", Permission: "LibraryVariableSet",
	Fields:  []Field{{Path: "ContentType", Column: "content_type"}},
	Order:   []string{"name_key"},
	Filters: map[string]string{"contentType": "ContentType"},
	Links: map[string]string{
		"Variables": "{Space}/variables/{VariableSetId}",
		"Usages":    "{Self}/usages",
	},
	New: func() Doc { return new(LibraryVariableSet) },
}

// Kind implements Doc.
func (l *LibraryVariableSet) Kind() *Kind { return LibraryVariableSetKind }

// SetDefaults implements Defaulter.
func (l *LibraryVariableSet) SetDefaults(newID func() string) {
	if l.ContentType == "" {
		l.ContentType = "Variables"
	}
	l.Templates = list(l.Templates)
	setTemplateDefaults(l.Templates, newID)
}

// EachSecret implements Secretive.
func (l *LibraryVariableSet) EachSecret(visit func(string, *Sensitive)) {
	eachTemplateSecret(l.Templates, visit)
}

// Validate implements Doc.
func (l *LibraryVariableSet) Validate() error {
	return first(CheckName("library variable set", l.Name, MaxName), CheckText("Description", l.Description),
		oneOf("ContentType", l.ContentType, "Variables", "ScriptModule"), validateTemplates(l.Templates))
}
