package release

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/task"
	"github.com/slipwayhq/slipway/internal/client"
)

// Deploy is `slipway release deploy`, and under another verb
// `slipway deployment create`.
func Deploy(c *console.Console, verb string) *cobra.Command {
	var d client.NewDeployment
	var wait task.WaitFlags
	var guided string
	var values []string
	noun := map[string]string{"deploy": "release"}[verb]
	if noun == "" {
		noun = "deployment"
	}
	cmd := &cobra.Command{
		Use: verb, Short: "Deploy a release to environments",
		Long: "Deploy a release to one or several environments. With --wait the steps and machines are shown as\n" +
			"they proceed, and the exit code says how it ended: 0 success, 1 failed, 4 the wait timed out (the\n" +
			"deployment goes on), 5 canceled, 6 how it ended is not known.",
		Example: fmt.Sprintf("  slipway %[1]s %[2]s --project Shop --version 1.2.0 --environment Test\n"+
			"  slipway %[1]s %[2]s --project Shop --version 1.2.0 --environment Production --wait --wait-timeout 30m\n"+
			"  slipway %[1]s %[2]s --project Shop --version 1.2.0 --environment Production --plan-hash 5d41402abc4b2a76b9719d911017c592", noun, verb),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := complete(&d, guided, values); err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			started, err := cl.Deploy(cmd.Context(), d)
			if err != nil {
				return err
			}
			ids, result := describe(d, started)
			return wait.Finish(cmd.Context(), c, cl, ids, result)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&d.Environments, "environment", "e", nil, "environment to deploy to (repeat)")
	bindWhat(cmd, &d, &guided, &values)
	f.StringVar(&d.PlanHash, "plan-hash", "", "deploy only if the plan still has this hash, as `slipway release plan` showed it")
	f.BoolVar(&d.ForceDownload, "force-package-download", false, "send packages even to machines that have them")
	f.BoolVar(&d.ForceRedeploy, "force-redeploy", false, "install even where the release is installed")
	f.BoolVar(&d.UpdateVariables, "update-variables", false, "take the project's present variables into the release first")
	f.StringVar(&d.RunAt, "run-at", "", "start at this time, e.g. 2026-05-01T22:00:00Z")
	f.StringVar(&d.NoRunAfter, "no-run-after", "", "do not start after this time")
	f.StringArrayVar(&d.FreezeNames, "override-freeze", nil, "deploy in spite of this deployment freeze (repeat)")
	f.StringVar(&d.FreezeOverrideReason, "override-reason", "", "why, for the audit log")
	// The flag was declared above.
	_ = cmd.MarkFlagRequired("environment")
	wait.Bind(cmd)
	return cmd
}

// bindWhat declares the flags that decide what a deployment does: those of its
// plan as well.
func bindWhat(cmd *cobra.Command, d *client.NewDeployment, guided *string, values *[]string) {
	projectFlag(cmd, &d.Project)
	versionFlag(cmd, &d.Release)
	f := cmd.Flags()
	f.StringArrayVar(&d.SpecificMachines, "machine", nil, "only to this machine (repeat)")
	f.StringArrayVar(&d.ExcludedMachines, "exclude-machine", nil, "not to this machine (repeat)")
	f.StringArrayVar(&d.SkipSteps, "skip", nil, "leave this step out (repeat)")
	f.StringArrayVar(values, "variable", nil, "value of a prompted variable: NAME:VALUE (repeat)")
	f.StringVar(guided, "guided-failure", "", "ask a person when a step fails: true or false (default: as the environment says)")
}

func complete(d *client.NewDeployment, guided string, values []string) error {
	switch strings.ToLower(guided) {
	case "":
	case "true", "false":
		yes := strings.EqualFold(guided, "true")
		d.UseGuidedFailure = &yes
	default:
		return console.Usagef("--guided-failure must be true or false, not %q", guided)
	}
	for _, pair := range values {
		name, value, ok := strings.Cut(pair, ":")
		if !ok || name == "" {
			return console.Usagef("--variable %q must have the form NAME:VALUE", pair)
		}
		if d.Variables == nil {
			d.Variables = make(map[string]string)
		}
		d.Variables[name] = value
	}
	return nil
}

func describe(d client.NewDeployment, started []client.StartedDeployment) ([]string, console.Result) {
	result := console.Result{JSON: started}
	ids := make([]string, len(started))
	for i, s := range started {
		ids[i] = s.ServerTaskID
		where := ""
		if len(started) == len(d.Environments) {
			where = " to " + d.Environments[i]
		}
		result.Lines = append(result.Lines, fmt.Sprintf("Started %s: deploy %s %s%s (%s).", s.ServerTaskID, d.Project, d.Release, where, s.DeploymentID))
	}
	result.Basic = ids
	return ids, result
}
