package resource

import "encoding/json"

// Channel is a kind of release of a project: with versions, lifecycle and
// steps of its own (octopus-api.md 2.9).
type Channel struct {
	Document
	Name                   string
	Slug                   string
	Description            string
	ProjectID              string `json:"ProjectId"`
	LifecycleID            string `json:"LifecycleId"` // "": the project's
	IsDefault              bool
	Type                   string // ChannelLifecycle
	TenantTags             []string
	Rules                  []ChannelRule
	GitReferenceRules      []string
	GitResourceRules       []json.RawMessage
	CustomFieldDefinitions []CustomField
	ParentEnvironmentID    string `json:"ParentEnvironmentId,omitempty"`

	EphemeralEnvironmentNameTemplate         string `json:",omitempty"`
	AutomaticEphemeralEnvironmentDeployments bool
}

// The values of Channel.Type; clients need it present (octopus-api.md 2.5).
const (
	ChannelLifecycle = "Lifecycle"
	ChannelEphemeral = "EphemeralEnvironment"
)

// ChannelRule says which versions of which packages the channel's releases may
// have.
type ChannelRule struct {
	ID                 string `json:"Id"`
	ActionPackages     []DeploymentActionPackage
	VersionRange       string // NuGet or Maven notation
	Tag                string // a regular expression over the pre-release part
	VersioningStrategy string `json:",omitempty"`
	VersionTagRegex    string `json:",omitempty"`
}

// CustomField is a value that releases of the channel ask for.
type CustomField struct {
	FieldName   string
	Description string
}

// ChannelKind declares Channel.
var ChannelKind = &Kind{
	Name: "Channel", Noun: "channel", IDPrefix: "Channels", Table: "channel", Route: "channels",
	NameField: "Name", UniqueWithin: "ProjectId", Slug: true, Permission: "Process",
	Fields: []Field{
		{Path: "ProjectId", Column: "project_id", Ref: "Project", Tie: Owner},
		{Path: "LifecycleId", Column: "lifecycle_id", Ref: "Lifecycle"},
		{Path: "IsDefault", Column: "is_default", Type: BoolColumn},
	},
	Order:   []string{"name_key"},
	Filters: map[string]string{"projectId": "ProjectId"},
	Links: map[string]string{
		"Project":  "{Space}/projects/{ProjectId}",
		"Releases": "{Self}/releases{?skip,take,searchByVersion}",
	},
	New: func() Doc { return new(Channel) },
}

// Kind implements Doc.
func (c *Channel) Kind() *Kind { return ChannelKind }

// SlugField implements Slugged.
func (c *Channel) SlugField() *string { return &c.Slug }

// SetDefaults implements Defaulter.
func (c *Channel) SetDefaults(newID func() string) {
	def(&c.Type, ChannelLifecycle)
	c.TenantTags = list(c.TenantTags)
	c.Rules = list(c.Rules)
	c.GitReferenceRules = list(c.GitReferenceRules)
	c.GitResourceRules = list(c.GitResourceRules)
	c.CustomFieldDefinitions = list(c.CustomFieldDefinitions)
	for i := range c.Rules {
		if c.Rules[i].ID == "" {
			c.Rules[i].ID = newID()
		}
		c.Rules[i].ActionPackages = list(c.Rules[i].ActionPackages)
	}
}

// Validate implements Doc.
func (c *Channel) Validate() error {
	if c.ProjectID == "" {
		return invalid("ProjectId", "Please say which project this channel belongs to.")
	}
	return first(CheckName("channel", c.Name, MaxName), CheckText("Description", c.Description),
		oneOf("Type", c.Type, ChannelLifecycle, ChannelEphemeral))
}
