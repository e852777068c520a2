package release

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// phases is a release's progress through its lifecycle (octopus-api.md 2.12).
type phases struct {
	Phases []struct {
		Name        string
		Blocked     bool
		Progress    string
		Deployments []struct {
			Task       client.Task
			Deployment struct {
				ID            string `json:"Id"`
				EnvironmentID string `json:"EnvironmentId"`
			}
		}
		AutomaticDeploymentTargets []string
		OptionalDeploymentTargets  []string
	}
	NextDeployments []string
}

func progression(c *console.Console) *cobra.Command {
	var project, version string
	cmd := &cobra.Command{
		Use: "progression", Aliases: []string{"progress"}, Short: "Show how far a release is in its lifecycle, and where it may go next",
		Example: "  slipway release progression --project Shop --version 1.2.0",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, project, version)
			if err != nil {
				return err
			}
			path, err := cl.Path(cmd.Context(), "releases/"+url.PathEscape(doc.ID())+"/progression")
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Get(cmd.Context(), path, nil, &raw); err != nil {
				return err
			}
			names, err := environmentNames(cmd, cl)
			if err != nil {
				return err
			}
			return printPhases(c, raw, names)
		},
	}
	projectFlag(cmd, &project)
	versionFlag(cmd, &version)
	return cmd
}

func environmentNames(cmd *cobra.Command, cl *client.Client) (map[string]string, error) {
	path, err := cl.Path(cmd.Context(), "environments")
	if err != nil {
		return nil, err
	}
	docs, err := client.List[client.Document](cmd.Context(), cl, path, nil, 0)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(docs))
	for _, doc := range docs {
		names[doc.ID()] = doc.Text("Name")
	}
	return names, nil
}

func printPhases(c *console.Console, raw client.Document, names map[string]string) error {
	var p phases
	if err := raw.Decode(&p); err != nil {
		return err
	}
	next := make(map[string]bool, len(p.NextDeployments))
	result := console.Result{Columns: []string{"PHASE", "PROGRESS", "ENVIRONMENT", "LAST DEPLOYMENT", "NEXT"}, JSON: raw}
	for _, id := range p.NextDeployments {
		next[id] = true
		result.Basic = append(result.Basic, names[id])
	}
	for _, phase := range p.Phases {
		progress := phase.Progress
		if phase.Blocked {
			progress += " (blocked)"
		}
		last := make(map[string]string)
		for _, d := range phase.Deployments {
			if last[d.Deployment.EnvironmentID] == "" {
				last[d.Deployment.EnvironmentID] = strings.TrimSpace(d.Task.State + " " + d.Task.ID)
			}
		}
		for _, id := range append(phase.AutomaticDeploymentTargets, phase.OptionalDeploymentTargets...) {
			may := ""
			if next[id] {
				may = "yes"
			}
			result.Rows = append(result.Rows, []string{phase.Name, progress, names[id], last[id], may})
		}
	}
	return c.Print(result)
}
