package configure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/template"
)

// Options says what to do to the files. Paths are slash-separated globs
// relative to the folder.
type Options struct {
	Substitute     []string // files to substitute variables in
	QuietNoMatch   bool     // a Substitute glob that finds nothing is no warning
	Strict         bool     // an unresolved or unreadable token fails the run
	OutputEncoding string   // for substituted files; "" keeps theirs

	Settings             bool // update .NET settings in all *.config files
	IgnoreSettingsErrors bool // a *.config file that is no XML is a warning

	Structured []string // files with structured values
	JSONOnly   bool     // structured files are JSON, whatever they are called

	DryRun bool // write nothing, report what would change
}

// The properties and features that ask for something (configuration.md 3.5, 4
// and 5).
const (
	propFeatures        = "Octopus.Action.EnabledFeatures"
	propAdditionalPaths = "Octopus.Action.AdditionalPaths"

	featureSubstitute   = "Octopus.Features.SubstituteInFiles"
	propSubstitute      = "Octopus.Action.SubstituteInFiles.TargetFiles"
	propNoMatchWarning  = "Octopus.Action.SubstituteInFiles.EnableNoMatchWarning"
	propOutputEncoding  = "Octopus.Action.SubstituteInFiles.OutputEncoding"
	propStrict          = "OctopusShouldFailDeploymentOnSubstitutionFails"
	featureTransforms   = "Octopus.Features.ConfigurationTransforms"
	propAutoTransforms  = "Octopus.Action.Package.AutomaticallyRunConfigurationTransformationFiles"
	propTransforms      = "Octopus.Action.Package.AdditionalXmlConfigurationTransforms"
	featureSettings     = "Octopus.Features.ConfigurationVariables"
	propSettings        = "Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings"
	propIgnoreSettings  = "Octopus.Action.Package.IgnoreVariableReplacementErrors"
	featureStructured   = "Octopus.Features.JsonConfigurationVariables"
	propStructured      = "Octopus.Action.Package.JsonConfigurationVariablesTargets"
	propStructuredPlain = "Octopus.Action.StructuredConfigurationFallbackFlag"
)

// OptionsFrom reads the options from the action's properties. What they ask
// for and this version cannot do is an error that names it, before any file is
// touched.
func OptionsFrom(vars *template.Set) (Options, error) {
	p := properties{vars: vars}
	features := p.list(propFeatures, ",")
	enabled := func(feature string) bool { return slices.Contains(features, feature) }
	var o Options
	if enabled(featureSubstitute) {
		o.Substitute = p.list(propSubstitute, "\r\n")
		o.QuietNoMatch = !p.flag(propNoMatchWarning, true)
		o.Strict = p.flag(propStrict, false)
		o.OutputEncoding = strings.TrimSpace(p.text(propOutputEncoding))
	}
	if enabled(featureTransforms) && (p.flag(propAutoTransforms, false) || len(p.list(propTransforms, ",\r\n")) > 0) {
		return Options{}, unsupported("XML transforms are")
	}
	if enabled(featureSettings) {
		o.Settings = p.flag(propSettings, false)
		o.IgnoreSettingsErrors = p.flag(propIgnoreSettings, false)
	}
	if enabled(featureStructured) {
		o.Structured = p.list(propStructured, "\r\n")
		o.JSONOnly = p.flag(propStructuredPlain, false)
	}
	if o.asks() && len(p.list(propAdditionalPaths, ",\r\n")) > 0 {
		return Options{}, unsupported("Additional paths outside of the package are")
	}
	return o, p.err
}

func (o *Options) asks() bool { return len(o.Substitute) > 0 || o.Settings || len(o.Structured) > 0 }

// properties reads properties and keeps the first error: a property that does
// not resolve asks for nobody knows what.
type properties struct {
	vars *template.Set
	err  error
}

func (p *properties) text(name string) string {
	r, ok := p.vars.Get(name)
	if ok && r.Err != nil && p.err == nil {
		e := resource.Errorf(resource.Invalid, "The property %s cannot be evaluated. Correct it in the step.", name)
		e.Err = r.Err
		p.err = e
	}
	return r.Text
}

func (p *properties) list(name, separators string) []string {
	var parts []string
	for _, part := range strings.FieldsFunc(p.text(name), func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func (p *properties) flag(name string, fallback bool) bool {
	switch text := strings.ToLower(strings.TrimSpace(p.text(name))); text {
	case "true":
		return true
	case "false":
		return false
	case "":
		return fallback
	default:
		if p.err == nil {
			p.err = resource.Errorf(resource.Invalid, "The property %s is neither True nor False. Correct it in the step.", name)
		}
		return fallback
	}
}

func (c Change) String() string { return fmt.Sprintf("%s: %s", c.Path, c.Feature) }
