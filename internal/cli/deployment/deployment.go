package deployment

import (
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/cli/release"
)

// Command is `slipway deployment`.
func Command(c *console.Console) *cobra.Command {
	k := kind.Deployment()
	k.Names = append(k.Names, "releases")
	cmd := k.Group("What was sent where", list(c, k), k.GetCommand(c), release.Deploy(c, "create"))
	cmd.Aliases = []string{"deployments"}
	// Releases show by their version.
	k.Columns[2] = kind.Ref("Release", "ReleaseId")
	return cmd
}

func list(c *console.Console, k kind.Kind) *cobra.Command {
	var project, environment string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List deployments, newest first",
		Example: "  slipway deployment list --project Shop --environment Production --limit 10",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			for _, filter := range []struct {
				param, ref string
				k          kind.Kind
			}{{"projects", project, kind.Project()}, {"environments", environment, kind.Environment()}} {
				if filter.ref == "" {
					continue
				}
				doc, err := filter.k.Find(cmd.Context(), cl, filter.ref)
				if err != nil {
					return err
				}
				query.Set(filter.param, doc.ID())
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	cmd.Flags().StringVarP(&project, "project", "p", "", "only of this project")
	cmd.Flags().StringVarP(&environment, "environment", "e", "", "only to this environment")
	cmd.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	return cmd
}
