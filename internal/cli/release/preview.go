package release

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// previewed is what a deployment would do now (octopus-api.md 2.12).
type previewed struct {
	StepsToExecute []struct {
		ActionNumber            string
		ActionName              string
		Roles                   []string
		MachineNames            []string
		IsDisabled              bool
		HasNoApplicableMachines bool
		UnavailableMachines     []struct{ Name string }
	}
	Form struct {
		Elements []struct {
			IsValueRequired bool
			Control         struct{ Name, Label string }
		}
	}
}

func preview(c *console.Console) *cobra.Command {
	var project, version, environment string
	cmd := &cobra.Command{
		Use: "preview", Short: "Show what a deployment would do: the actions and their machines, as of now",
		Example: "  slipway release preview --project Shop --version 1.2.0 --environment Production",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, project, version)
			if err != nil {
				return err
			}
			to, err := kind.Environment().Find(cmd.Context(), cl, environment)
			if err != nil {
				return err
			}
			path, err := cl.Path(cmd.Context(), "releases/"+url.PathEscape(doc.ID())+"/deployments/preview/"+url.PathEscape(to.ID()))
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Get(cmd.Context(), path, url.Values{"includeDisabledSteps": {"true"}}, &raw); err != nil {
				return err
			}
			return printPreview(c, raw)
		},
	}
	projectFlag(cmd, &project)
	versionFlag(cmd, &version)
	cmd.Flags().StringVarP(&environment, "environment", "e", "", "environment it would go to")
	// The flag was declared above.
	_ = cmd.MarkFlagRequired("environment")
	return cmd
}

func printPreview(c *console.Console, raw client.Document) error {
	var p previewed
	if err := raw.Decode(&p); err != nil {
		return err
	}
	result := console.Result{Columns: []string{"", "ACTION", "ROLES", "MACHINES", "REMARK"}, JSON: raw}
	for _, step := range p.StepsToExecute {
		var remarks []string
		for _, m := range step.UnavailableMachines {
			remarks = append(remarks, m.Name+" is unavailable")
		}
		switch {
		case step.IsDisabled:
			remarks = append(remarks, "disabled")
		case step.HasNoApplicableMachines:
			remarks = append(remarks, "no machine has the role")
		}
		result.Rows = append(result.Rows, []string{
			step.ActionNumber, step.ActionName, strings.Join(step.Roles, ", "), strings.Join(step.MachineNames, ", "), strings.Join(remarks, "; "),
		})
		result.Basic = append(result.Basic, step.ActionName)
	}
	for _, element := range p.Form.Elements {
		need := "optional"
		if element.IsValueRequired {
			need = "required"
		}
		result.Rows = append(result.Rows, []string{"", "asks for " + element.Control.Name, "", "", need + ": --variable " + element.Control.Name + ":…"})
	}
	return c.Print(result)
}
