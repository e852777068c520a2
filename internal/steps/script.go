package steps

import "errors"

// Properties of Octopus.Script.
const (
	ScriptSource   = "Octopus.Action.Script.ScriptSource" // Inline (default) or Package
	ScriptSyntax   = "Octopus.Action.Script.Syntax"       // Bash, PowerShell, Python
	ScriptBody     = "Octopus.Action.Script.ScriptBody"
	ScriptFileName = "Octopus.Action.Script.ScriptFileName"
)

var script = &Type{
	Name:        "Octopus.Script",
	Title:       "Run a Script",
	Description: "Runs a Bash, PowerShell or Python script on machines or on the server's worker.",
	Category:    "Script",
	OnServer:    true,
	Validate: func(p map[string]string) error {
		if p[ScriptSource] == "Package" {
			if p[ScriptFileName] == "" {
				return errors.New(ScriptFileName + " is empty; name the script's file in the package")
			}
			return nil
		}
		if p[ScriptBody] == "" {
			return errors.New(ScriptBody + " is empty; write the script there")
		}
		return oneOf(p, ScriptSyntax, "Bash", "PowerShell", "Python")
	},
}
