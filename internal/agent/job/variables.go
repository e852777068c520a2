package job

import (
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/template"
)

// The variables that this package reads (configuration.md 2.6, 5).
const (
	propApplications  = "Octopus.Tentacle.Agent.ApplicationDirectoryPath"
	propEnvironment   = "Octopus.Environment.Name"
	propTenant        = "Octopus.Deployment.Tenant.Name"
	propFeatures      = "Octopus.Action.EnabledFeatures"
	propSource        = "Octopus.Action.Script.ScriptSource"
	propSyntax        = "Octopus.Action.Script.Syntax"
	propBody          = "Octopus.Action.Script.ScriptBody"
	propFileName      = "Octopus.Action.Script.ScriptFileName"
	propParameters    = "Octopus.Action.Script.ScriptParameters"
	propErrorOutput   = "Octopus.Action.FailScriptOnErrorOutput"
	propEdition       = "Octopus.Action.PowerShell.Edition"
	propRunScripts    = "Octopus.Action.Package.RunScripts"
	propDeleteScripts = "OctopusDeleteScriptsOnCleanup"
	propCustomScripts = "Octopus.Action.CustomScripts."
	propSkipRemaining = "Octopus.Action.SkipRemainingConventions"
	propCustomDir     = "Octopus.Action.Package.CustomInstallationDirectory"
	propPurge         = "Octopus.Action.Package.CustomInstallationDirectoryShouldBePurgedBeforeDeployment"
	propPurgeKeep     = "Octopus.Action.Package.CustomInstallationDirectoryPurgeExclusions"
	propSkipFree      = "OctopusSkipFreeDiskSpaceCheck"
	propFreeOverride  = "OctopusFreeDiskSpaceOverrideInMegaBytes"

	// propOwnMessages accepts service messages of the script's own functions
	// only, not of programs that the script starts (abuse 77).
	propOwnMessages = "Slipway.Action.ServiceMessages.OwnOnly"
	// propMayVanish lists globs, one a line, of package files that the scripts
	// may remove or rename; any other that is missing at the end fails the
	// attempt (design P1).
	propMayVanish = "Slipway.Action.Package.FilesThatMayBeRemoved"

	featureScripts = "Octopus.Features.CustomScripts"

	outputInstallDir  = "Octopus.Action.Package.InstallationDirectoryPath"
	outputLegacyDir   = "Package.InstallationDirectoryPath"
	outputExtracted   = "Package.ExtractedFileCount"
	outputCopied      = "Package.CopiedFileCount"
	varOriginalFolder = "OctopusOriginalPackageDirectoryPath"
	varLastError      = "OctopusLastError"
	varLastMessage    = "OctopusLastErrorMessage"
)

// variablesOf is the job's variables and what this machine adds to them, in
// the order of configuration.md 2.5.
func variablesOf(env Env, job *agentrpc.Job) *template.Set {
	set := template.NewSet()
	for _, v := range job.GetVariables() {
		set.PutValue(v.GetName(), template.Value{Text: v.GetValue(), Sensitive: v.GetSensitive(), Literal: v.GetLiteral()})
	}
	for _, pair := range env.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			set.PutLiteral("env:"+name, value)
		}
	}
	added := []struct{ name, value string }{
		{propApplications, env.Applications},
		{"Octopus.Tentacle.Agent.InstanceName", ""},
	}
	for _, kind := range []string{"PreviousInstallation", "PreviousSuccessfulInstallation"} {
		for _, what := range []string{"OriginalInstalledPath", "CustomInstallationDirectory", "PackageFilePath", "PackageVersion"} {
			added = append(added, struct{ name, value string }{"Octopus.Tentacle." + kind + "." + what, ""})
		}
	}
	for _, v := range added {
		if _, there := set.GetRaw(v.name); !there {
			set.PutLiteral(v.name, v.value)
		}
	}
	return set
}

// secretsOf lists every text that must not be shown: the values of sensitive
// variables, and what became of any variable that uses one (configuration.md
// 2.3). The action's own properties are texts around secrets, such as a script:
// in them the secrets are masked, not their every line.
func secretsOf(set *template.Set) []string {
	var secrets []string
	for _, name := range set.Names() {
		raw, _ := set.GetRaw(name)
		if raw.Sensitive {
			secrets = append(secrets, raw.Text)
		}
		if !raw.Sensitive && strings.HasPrefix(name, "Octopus.Action.") {
			continue
		}
		if r, ok := set.Get(name); ok && r.Sensitive && r.Text != raw.Text {
			secrets = append(secrets, r.Text)
		}
	}
	return secrets
}

// scriptVariables are all variables as a script reads them. One that cannot be
// evaluated is given as it stands, as everywhere in the field.
func (a *attempt) scriptVariables() []script.Variable {
	names := a.vars.Names()
	list := make([]script.Variable, 0, len(names))
	for _, name := range names {
		r, ok := a.vars.Get(name)
		if !ok {
			continue
		}
		if r.Err != nil && r.Text == "" {
			raw, _ := a.vars.GetRaw(name)
			r.Text = raw.Text
		}
		list = append(list, script.Variable{Name: name, Value: r.Text})
	}
	return list
}

// text is the evaluated variable, "" when there is none; what it refers to and
// is not there stays in it as written.
func (a *attempt) text(name string) string {
	r, _ := a.vars.Get(name)
	return r.Text
}

// exact is the evaluated variable, and an error if anything in it could not be
// evaluated.
func (a *attempt) exact(name string) (string, error) {
	r, ok := a.vars.Get(name)
	if ok && r.Err != nil {
		return "", failed(0, "%s cannot be evaluated: %v. Correct it in the step", name, r.Err)
	}
	return strings.TrimSpace(r.Text), nil
}

func (a *attempt) flag(name string, fallback bool) bool { return a.vars.GetFlag(name, fallback) }

func (a *attempt) has(feature string) bool {
	return slices.Contains(a.vars.GetStrings(propFeatures, ","), feature)
}

func (a *attempt) put(name, value string) { a.vars.PutLiteral(name, value) }

// output hands a value to the server and to the scripts that follow.
func (a *attempt) output(name, value string) {
	a.put(name, value)
	for _, o := range a.outputs {
		if o.GetName() == name {
			o.Value = value
			return
		}
	}
	a.outputs = append(a.outputs, &agentrpc.OutputVariable{Name: name, Value: value})
}
