package resource

import "strings"

// The properties of a step that its order and reach come from.
const (
	PropertyTargetRoles     = "Octopus.Action.TargetRoles"
	PropertyMaxParallelism  = "Octopus.Action.MaxParallelism"
	PropertyStepCondition   = "Octopus.Step.ConditionVariableExpression"
	PropertyPackageID       = "Octopus.Action.Package.PackageId"
	PropertyPackageFeedID   = "Octopus.Action.Package.FeedId"
	PropertyDownloadOnAgent = "Octopus.Action.Package.DownloadOnTentacle"
)

// Limits of a process (abuse 67).
const (
	maxSteps   = 1000
	maxActions = 100
)

// DeploymentProcess is what a project's deployments do, step after step
// (octopus-api.md 2.6). A frozen copy has an id of SnapshotID. Version is the
// optimistic lock.
type DeploymentProcess struct {
	Document
	ProjectID      string `json:"ProjectId"`
	Version        int
	LastSnapshotID string `json:"LastSnapshotId,omitempty"`
	Steps          []Step
}

// Step is what runs on the machines of its roles: its actions, one after the
// other.
type Step struct {
	ID                 string `json:"Id"`
	Slug               string
	Name               string
	PackageRequirement string
	Condition          string
	StartTrigger       string
	Properties         Properties
	Actions            []Action
}

// The values of Step.PackageRequirement, Condition and StartTrigger.
const (
	LetOctopusDecide         = "LetOctopusDecide"
	BeforePackageAcquisition = "BeforePackageAcquisition"
	AfterPackageAcquisition  = "AfterPackageAcquisition"

	ConditionSuccess  = "Success"
	ConditionFailure  = "Failure"
	ConditionAlways   = "Always"
	ConditionVariable = "Variable"

	StartAfterPrevious = "StartAfterPrevious"
	StartWithPrevious  = "StartWithPrevious"
)

// Roles are the target tags whose machines the step runs on; none: it runs
// once, on the server's worker.
func (s *Step) Roles() []string {
	var roles []string
	for role := range strings.SplitSeq(s.Properties.Get(PropertyTargetRoles), ",") {
		if role = strings.TrimSpace(role); role != "" {
			roles = append(roles, role)
		}
	}
	return roles
}

// Action is one thing that a step does; package steps knows the types.
type Action struct {
	ID                            string `json:"Id"`
	Slug                          string
	Name                          string
	ActionType                    string
	Notes                         string
	IsDisabled                    bool
	IsRequired                    bool
	CanBeUsedForProjectVersioning bool
	Condition                     string
	Environments                  []string
	ExcludedEnvironments          []string
	Channels                      []string
	TenantTags                    []string
	WorkerPoolID                  *string `json:"WorkerPoolId"`
	WorkerPoolVariable            *string
	Container                     Container
	Packages                      []PackageReference
	GitDependencies               []GitDependency
	Properties                    Properties
	StepPackageVersion            string `json:",omitempty"`
	LastModifiedOn                Time   `json:",omitzero"`
	LastModifiedBy                string `json:",omitempty"`
}

// Container is the image that an action on a worker runs in.
type Container struct {
	Image      *string
	FeedID     *string `json:"FeedId"`
	GitURL     *string `json:"GitUrl"`
	Dockerfile *string
}

// PackageReference is a package that an action uses. Name "" is its primary
// one. Version is set only where the process fixes it.
type PackageReference struct {
	ID                  string `json:"Id"`
	Name                string
	PackageID           string `json:"PackageId"`
	FeedID              string `json:"FeedId"`
	AcquisitionLocation string // Server, ExecutionTarget, NotAcquired, or an expression
	Version             string `json:",omitempty"`
	StepPackageInputs   string `json:"StepPackageInputsReferenceId,omitempty"`
	Properties          map[string]string
}

// GitDependency is a repository that an action uses.
type GitDependency struct {
	Name                         string
	RepositoryURI                string `json:"RepositoryUri"`
	DefaultBranch                string
	GitCredentialType            string
	GitCredentialID              string   `json:"GitCredentialId"`
	FilePathFilters              []string `json:",omitempty"`
	GitHubConnectionID           string   `json:"GitHubConnectionId,omitempty"`
	StepPackageInputsReferenceID string   `json:"StepPackageInputsReferenceId,omitempty"`
}

// DeploymentProcessKind declares DeploymentProcess. Feeds and packages are not
// checked on save (octopus-api.md 2.6). A channel that is deleted stays in the
// lists of actions: without it, an action for one channel would be for all.
var DeploymentProcessKind = &Kind{
	Name: "DeploymentProcess", Noun: "deployment process", Table: "deployment_process", Route: "deploymentprocesses",
	Permission: "Process",
	Fields: []Field{
		{Path: "ProjectId", Column: "project_id", Ref: "Project", Tie: Owner},
		{Path: "Steps.Actions.Environments", List: true, Ref: "Environment"},
		{Path: "Steps.Actions.ExcludedEnvironments", List: true, Ref: "Environment"},
		{Path: "Steps.Actions.Channels", List: true, Ref: "Channel", Tie: Loose},
		{Path: "Steps.Actions.WorkerPoolId", List: true, Ref: "WorkerPool", Tie: Loose},
		{Path: "Steps.Actions.Packages.FeedId", List: true, Ref: "Feed", Tie: Loose},
		{Path: "Steps.Actions.Packages.PackageId", List: true},
	},
	Filters: map[string]string{"projectId": "ProjectId"},
	Links: map[string]string{
		"Project":  "{Space}/projects/{ProjectId}",
		"Template": "{Space}/projects/{ProjectId}/deploymentprocesses/template{?channel,releaseId}",
	},
	New: func() Doc { return new(DeploymentProcess) },
}

// Kind implements Doc.
func (p *DeploymentProcess) Kind() *Kind { return DeploymentProcessKind }

// Lock implements Versioned.
func (p *DeploymentProcess) Lock() *int { return &p.Version }

// SetDefaults implements Defaulter: it gives steps, actions and package
// references their identity, starts the first step after the previous one, and
// keeps the old package properties in step with the primary package
// (octopus-api.md 2.6).
func (p *DeploymentProcess) SetDefaults(newID func() string) {
	p.Steps = list(p.Steps)
	steps, actions := map[string]bool{}, map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.ID == "" {
			s.ID = newID()
		}
		s.Slug = uniqueSlug(s.Slug, s.Name, steps)
		def(&s.PackageRequirement, LetOctopusDecide)
		def(&s.Condition, ConditionSuccess)
		def(&s.StartTrigger, StartAfterPrevious)
		if i == 0 {
			s.StartTrigger = StartAfterPrevious
		}
		if s.Properties == nil {
			s.Properties = Properties{}
		}
		s.Actions = list(s.Actions)
		for j := range s.Actions {
			s.Actions[j].Slug = uniqueSlug(s.Actions[j].Slug, s.Actions[j].Name, actions)
			s.Actions[j].setDefaults(newID)
		}
	}
}

func (a *Action) setDefaults(newID func() string) {
	if a.ID == "" {
		a.ID = newID()
	}
	def(&a.Condition, ConditionSuccess)
	a.Environments = list(a.Environments)
	a.ExcludedEnvironments = list(a.ExcludedEnvironments)
	a.Channels = list(a.Channels)
	a.TenantTags = list(a.TenantTags)
	a.Packages = list(a.Packages)
	a.GitDependencies = list(a.GitDependencies)
	if a.WorkerPoolID != nil && *a.WorkerPoolID == "" {
		a.WorkerPoolID = nil
	}
	if a.Properties == nil {
		a.Properties = Properties{}
	}
	a.setPackageDefaults(newID)
}

func (a *Action) setPackageDefaults(newID func() string) {
	if id := a.Properties.Get(PropertyPackageID); len(a.Packages) == 0 && id != "" {
		a.Packages = append(a.Packages, PackageReference{PackageID: id, FeedID: a.Properties.Get(PropertyPackageFeedID)})
		if strings.EqualFold(a.Properties.Get(PropertyDownloadOnAgent), "True") {
			a.Packages[0].AcquisitionLocation = "ExecutionTarget"
		}
	}
	for i := range a.Packages {
		r := &a.Packages[i]
		if r.ID == "" {
			r.ID = newID()
		}
		def(&r.AcquisitionLocation, "Server")
		if r.Properties == nil {
			r.Properties = map[string]string{}
		}
	}
	if primary := a.PrimaryPackage(); primary != nil {
		a.Properties[PropertyPackageID] = Text(primary.PackageID)
		a.Properties[PropertyPackageFeedID] = Text(primary.FeedID)
		download := "False"
		if primary.AcquisitionLocation == "ExecutionTarget" {
			download = "True"
		}
		a.Properties[PropertyDownloadOnAgent] = Text(download)
	}
}

// PrimaryPackage is the package without a name; nil when there is none.
func (a *Action) PrimaryPackage() *PackageReference {
	for i := range a.Packages {
		if a.Packages[i].Name == "" {
			return &a.Packages[i]
		}
	}
	return nil
}

// EachSecret implements Secretive.
func (p *DeploymentProcess) EachSecret(visit func(string, *Sensitive)) {
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Properties.EachSecret("Steps/"+s.ID+"/Properties/", visit)
		for j := range s.Actions {
			s.Actions[j].Properties.EachSecret("Actions/"+s.Actions[j].ID+"/Properties/", visit)
		}
	}
}

// Validate implements Doc.
func (p *DeploymentProcess) Validate() error {
	if len(p.Steps) > maxSteps {
		return &Error{Code: TooLarge, Field: "Steps", Message: "A deployment process holds at most 1,000 steps. Please split the project."}
	}
	seen := idSet{}
	names := map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		if err := first(s.validate(), seen.add("step", s.ID, s.Name)); err != nil {
			return err
		}
		if names[Fold(s.Name)] {
			return invalid("Steps", "Two steps are named '%s'. Please give each step a name of its own.", s.Name)
		}
		names[Fold(s.Name)] = true
		for j := range s.Actions {
			a := &s.Actions[j]
			if err := first(a.validate(), seen.add("action", a.ID, a.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Step) validate() error {
	if len(s.Actions) == 0 {
		return invalid("Steps", "Step '%s' has no action. Please add one.", s.Name)
	}
	if len(s.Actions) > maxActions {
		return &Error{Code: TooLarge, Field: "Steps", Message: "Step '" + s.Name + "' has more than 100 actions. Please split it."}
	}
	return first(CheckName("step", s.Name, MaxName),
		oneOf("Condition", s.Condition, ConditionSuccess, ConditionFailure, ConditionAlways, ConditionVariable),
		oneOf("StartTrigger", s.StartTrigger, StartAfterPrevious, StartWithPrevious),
		oneOf("PackageRequirement", s.PackageRequirement, LetOctopusDecide, BeforePackageAcquisition, AfterPackageAcquisition))
}

func (a *Action) validate() error {
	if a.ActionType == "" {
		return invalid("ActionType", "Action '%s' has no type. Please set ActionType, for example Octopus.Script.", a.Name)
	}
	packages := map[string]bool{}
	for i := range a.Packages {
		name := Fold(a.Packages[i].Name)
		if packages[name] {
			return invalid("Packages", "Action '%s' has two packages named '%s'. Please give each a name of its own.", a.Name, a.Packages[i].Name)
		}
		packages[name] = true
	}
	return first(CheckName("action", a.Name, MaxName), CheckText("Notes", a.Notes),
		oneOf("Condition", a.Condition, ConditionSuccess, ConditionVariable))
}

// idSet refuses a second use of an id: secrets of the two would share a path.
type idSet map[string]bool

func (s idSet) add(what, id, name string) error {
	if s[what+id] {
		return invalid("Id", "The %s '%s' has the id '%s', which another one has too. Please leave the id out to have one made.", what, name, id)
	}
	s[what+id] = true
	return nil
}

func def(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// uniqueSlug keeps a slug that was given and free, else makes one.
func uniqueSlug(slug, name string, taken map[string]bool) string {
	base := Slugify(slug)
	if base == "" {
		base = Slugify(name)
	}
	if base == "" {
		base = "item"
	}
	free := FreeSlug(base, func(s string) bool { return taken[s] })
	taken[free] = true
	return free
}
