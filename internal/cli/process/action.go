package process

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
)

func addScript(c *console.Console, project *string) *cobra.Command {
	var p placement
	var script, file, syntax string
	cmd := &cobra.Command{
		Use: "script NAME", Short: "Run a script on machines, or on the server's worker",
		Example: "  slipway process step add script \"Migrate the database\" --project Shop --role db --run-once --file migrate.sh\n" +
			"  slipway process step add script Warm-up --project Shop --into \"Roll out\" --script \"./warm-up\"",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.name = args[0]
			if file != "" {
				data, err := readFile(c, file)
				if err != nil {
					return err
				}
				script = string(data)
			}
			if strings.TrimSpace(script) == "" {
				return console.Usagef("the script is empty: give it with --script or --file")
			}
			syntax, err := syntaxOf(syntax, file)
			if err != nil {
				return err
			}
			properties := map[string]string{
				"Octopus.Action.Script.ScriptSource": "Inline",
				"Octopus.Action.Script.Syntax":       syntax,
				"Octopus.Action.Script.ScriptBody":   script,
			}
			if len(p.roles) == 0 && p.into == "" {
				properties["Octopus.Action.RunOnServer"] = "true"
			}
			return add(cmd, c, *project, &p, p.action("Octopus.Script", properties))
		},
	}
	p.bind(cmd)
	cmd.Flags().StringVar(&script, "script", "", "the script itself")
	cmd.Flags().StringVar(&file, "file", "", "file with the script; - is standard input")
	cmd.Flags().StringVar(&syntax, "syntax", "", "Bash, PowerShell or Python (default: by the file's extension, else Bash)")
	cmd.MarkFlagsMutuallyExclusive("script", "file")
	return cmd
}

func syntaxOf(syntax, file string) (string, error) {
	if syntax == "" {
		syntax = map[string]string{".ps1": "powershell", ".py": "python"}[strings.ToLower(filepath.Ext(file))]
	}
	switch strings.ToLower(syntax) {
	case "", "bash", "sh":
		return "Bash", nil
	case "powershell":
		return "PowerShell", nil
	case "python":
		return "Python", nil
	}
	return "", console.Usagef("--syntax must be Bash, PowerShell or Python, not %q", syntax)
}

// content are the flags of a package step beside its placement.
type content struct {
	id, feed                       string
	substitute, structured         []string
	settings                       bool
	preDeploy, deploy, afterDeploy string
}

func addPackage(c *console.Console, project *string) *cobra.Command {
	var p placement
	var b content
	cmd := &cobra.Command{
		Use: "package NAME --package ID --role ROLE", Short: "Install a package, write its configuration, run its scripts",
		Example: "  slipway process step add package Web --project Shop --package Shop.Web --role web --window 2 \\\n" +
			"    --structured-config appsettings.json --settings --post-deploy start.sh",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.name = args[0]
			if len(p.roles) == 0 && p.into == "" {
				return console.Usagef("a package goes to machines: name their role with --role")
			}
			properties, err := b.properties(c)
			if err != nil {
				return err
			}
			return add(cmd, c, *project, &p, p.action("Octopus.TentaclePackage", properties, map[string]any{
				"Name": "", "PackageId": b.id, "FeedId": b.feed, "AcquisitionLocation": "Server", "Properties": map[string]string{},
			}))
		},
	}
	p.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&b.id, "package", "", "package id")
	f.StringVar(&b.feed, "feed", "feeds-builtin", "id of the feed it comes from")
	f.StringSliceVar(&b.substitute, "substitute-in", nil, "files (globs) in which to replace #{…}")
	f.StringSliceVar(&b.structured, "structured-config", nil, "JSON files (globs) whose values variables replace by their path")
	f.BoolVar(&b.settings, "settings", false, "replace appSettings and connectionStrings in .config files")
	f.StringVar(&b.preDeploy, "pre-deploy", "", "file with a script to run before the configuration")
	f.StringVar(&b.deploy, "deploy", "", "file with a script to run after the configuration")
	f.StringVar(&b.afterDeploy, "post-deploy", "", "file with a script to run last")
	// The flag was declared above.
	_ = cmd.MarkFlagRequired("package")
	return cmd
}

func (b *content) properties(c *console.Console) (map[string]string, error) {
	properties := map[string]string{
		"Octopus.Action.Package.PackageId": b.id, "Octopus.Action.Package.FeedId": b.feed,
		"Octopus.Action.Package.DownloadOnTentacle": "False",
	}
	var features []string
	enable := func(on bool, feature, property, value string) {
		if on {
			features = append(features, "Octopus.Features."+feature)
			properties[property] = value
		}
	}
	enable(len(b.substitute) > 0, "SubstituteInFiles", "Octopus.Action.SubstituteInFiles.TargetFiles", strings.Join(b.substitute, "\n"))
	enable(b.settings, "ConfigurationVariables", "Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings", "True")
	enable(len(b.structured) > 0, "JsonConfigurationVariables", "Octopus.Action.Package.JsonConfigurationVariablesTargets", strings.Join(b.structured, "\n"))
	custom := false
	for stage, file := range map[string]string{"PreDeploy": b.preDeploy, "Deploy": b.deploy, "PostDeploy": b.afterDeploy} {
		if file == "" {
			continue
		}
		data, err := readFile(c, file)
		if err != nil {
			return nil, err
		}
		ext := strings.ToLower(filepath.Ext(file))
		if ext != ".sh" && ext != ".ps1" && ext != ".py" {
			return nil, console.Usagef("%s must end in .sh, .ps1 or .py", file)
		}
		properties["Octopus.Action.CustomScripts."+stage+ext] = string(data)
		custom = true
	}
	if custom {
		features = append(features, "Octopus.Features.CustomScripts")
	}
	properties["Octopus.Action.EnabledFeatures"] = strings.Join(features, ",")
	return properties, nil
}
