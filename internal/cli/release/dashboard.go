package release

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// board is which release runs where.
type board struct {
	Items []struct {
		ProjectName, EnvironmentName, WantedReleaseVersion, Since string

		TaskID, LatestTaskID              string
		LatestReleaseVersion, LatestState string
		Machines                          []struct {
			Name, ReleaseVersion, Since, TaskID, HealthStatus, OwedBecause string
			IsWanted                                                       bool
		}
	}
}

// Dashboard is `slipway dashboard`.
func Dashboard(c *console.Console) *cobra.Command {
	var projects, environments []string
	cmd := &cobra.Command{
		Use: "dashboard", Short: "Show which release runs where: per project, environment and machine",
		Long: "Show which release runs where: per project and environment the one that is wanted there, and per\n" +
			"machine the one that it has proved to run.",
		Example: "  slipway dashboard\n  slipway dashboard --project Shop --environment Production",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			for name, of := range map[string]struct {
				k    kind.Kind
				refs []string
			}{"projects": {kind.Project(), projects}, "environments": {kind.Environment(), environments}} {
				if len(of.refs) == 0 {
					continue
				}
				ids, err := of.k.IDs(cmd.Context(), cl, of.refs)
				if err != nil {
					return err
				}
				query.Set(name, strings.Join(ids, ","))
			}
			path, err := cl.Path(cmd.Context(), "dashboard/machines")
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Get(cmd.Context(), path, query, &raw); err != nil {
				return err
			}
			var b board
			if err := raw.Decode(&b); err != nil {
				return err
			}
			return c.Print(b.result(raw))
		},
	}
	cmd.Flags().StringSliceVarP(&projects, "project", "p", nil, "only these projects")
	cmd.Flags().StringSliceVarP(&environments, "environment", "e", nil, "only these environments")
	return cmd
}

func (b *board) result(raw client.Document) console.Result {
	result := console.Result{Columns: []string{"PROJECT", "ENVIRONMENT", "MACHINE", "RELEASE", "SINCE", "TASK", "REMARK"}, JSON: raw}
	for _, item := range b.Items {
		remark := ""
		if item.LatestTaskID != item.TaskID {
			remark = item.LatestReleaseVersion + " " + strings.ToLower(item.LatestState) + " (" + item.LatestTaskID + ")"
		}
		result.Rows = append(result.Rows, []string{item.ProjectName, item.EnvironmentName, "", orNone(item.WantedReleaseVersion), item.Since, item.TaskID, remark})
		for _, m := range item.Machines {
			var remarks []string
			if !m.IsWanted && item.WantedReleaseVersion != "" {
				remarks = append(remarks, "not the wanted release")
			}
			if m.OwedBecause != "" {
				remarks = append(remarks, "owed: "+m.OwedBecause)
			}
			if m.HealthStatus != "Healthy" {
				remarks = append(remarks, m.HealthStatus)
			}
			result.Rows = append(result.Rows, []string{"", "", m.Name, orNone(m.ReleaseVersion), m.Since, m.TaskID, strings.Join(remarks, "; ")})
			result.Basic = append(result.Basic, strings.Join([]string{item.ProjectName, item.EnvironmentName, m.Name, orNone(m.ReleaseVersion)}, "\t"))
		}
	}
	return result
}

func orNone(version string) string {
	if version == "" {
		return "-"
	}
	return version
}
