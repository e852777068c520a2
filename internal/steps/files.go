package steps

import (
	"slices"
	"strings"
)

// FileChange is something that an action does to files of its machine, as far
// as its properties say: templates in them are evaluated on the machine.
type FileChange struct {
	Path   string // a file or a glob, relative to the installed package
	Change string // what is done, for people
}

// The properties that ask for changes to files (configuration.md 3.5, 4, 5).
const (
	EnabledFeatures   = "Octopus.Action.EnabledFeatures"
	SubstituteFiles   = "Octopus.Action.SubstituteInFiles.TargetFiles"
	UpdateSettings    = "Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings"
	StructuredFiles   = "Octopus.Action.Package.JsonConfigurationVariablesTargets"
	CustomDirectory   = "Octopus.Action.Package.CustomInstallationDirectory"
	PurgeCustom       = "Octopus.Action.Package.CustomInstallationDirectoryShouldBePurgedBeforeDeployment"
	featureSubstitute = "Octopus.Features.SubstituteInFiles"
	featureSettings   = "Octopus.Features.ConfigurationVariables"
	featureStructured = "Octopus.Features.JsonConfigurationVariables"
)

// FileChanges lists them, in the order in which they are done: what a plan
// shows before anything runs (P7).
func FileChanges(properties map[string]string) []FileChange {
	var list []FileChange
	features := List(properties[EnabledFeatures])
	enabled := func(feature string) bool { return slices.Contains(features, feature) }
	each := func(text, change string) {
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, FileChange{line, change})
			}
		}
	}
	if enabled(featureSubstitute) {
		each(properties[SubstituteFiles], "variables are substituted")
	}
	if enabled(featureSettings) && Flag(properties, UpdateSettings) {
		list = append(list, FileChange{"**/*.config", "settings and connection strings are replaced"})
	}
	if enabled(featureStructured) {
		each(properties[StructuredFiles], "structured values are replaced")
	}
	if properties[CustomDirectory] != "" {
		change := "the package is copied over it"
		if Flag(properties, PurgeCustom) {
			change = "is emptied, then the package is copied into it"
		}
		list = append(list, FileChange{properties[CustomDirectory], change})
	}
	return list
}
