package resource

import "encoding/json"

// Environment is a stage that releases go through (octopus-api.md 2.2).
type Environment struct {
	Document
	Name                       string
	Slug                       string
	Description                string
	SortOrder                  int
	UseGuidedFailure           bool
	AllowDynamicInfrastructure bool
	EnvironmentTags            []string
	ExtensionSettings          []json.RawMessage
}

// EnvironmentKind declares Environment.
var EnvironmentKind = &Kind{
	Name: "Environment", Noun: "environment", IDPrefix: "Environments", Table: "environment", Route: "environments",
	NameField: "Name", Slug: true, Permission: "Environment",
	Fields: []Field{
		{Path: "SortOrder", Column: "sort_order", Type: IntColumn},
	},
	Order: []string{"sort_order", "name_key"},
	Links: map[string]string{
		"Machines":                    "{Self}/machines{?skip,take,partialName,roles,isDisabled,healthStatuses,commStyles,tenantIds,tenantTags,shellNames}",
		"SinglyScopedVariableDetails": "{Self}/singlyScopedVariableDetails",
		"Metadata":                    "{Self}/metadata",
		"Logo":                        "{Self}/logo",
	},
	New: func() Doc { return new(Environment) },
}

// Kind implements Doc.
func (e *Environment) Kind() *Kind { return EnvironmentKind }

// SlugField implements Slugged.
func (e *Environment) SlugField() *string { return &e.Slug }

// SetDefaults implements Defaulter.
func (e *Environment) SetDefaults(func() string) {
	e.EnvironmentTags = list(e.EnvironmentTags)
	e.ExtensionSettings = list(e.ExtensionSettings)
}

// Validate implements Doc.
func (e *Environment) Validate() error {
	return first(CheckName("environment", e.Name, MaxName), CheckText("Description", e.Description))
}
