package artifact

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Command is `slipway artifact`.
func Command(c *console.Console) *cobra.Command {
	k := kind.Artifact()
	cmd := k.Group("Files that scripts handed in with new_octopusartifact", list(c, k), download(c))
	cmd.Aliases = []string{"artifacts"}
	return cmd
}

func list(c *console.Console, k kind.Kind) *cobra.Command {
	var task, project, machine, filter string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List artifacts, those of the latest task first",
		Example: "  slipway artifact list --task ServerTasks-1\n  slipway artifact list --project Shop --filter .html --limit 10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if filter != "" {
				query.Set("partialName", filter)
			}
			regarding, err := about(cmd.Context(), cl, task, project, machine)
			if err != nil {
				return err
			}
			if regarding != "" {
				query.Set("regarding", regarding)
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	cmd.Flags().StringVar(&task, "task", "", "only those of this task")
	cmd.Flags().StringVarP(&project, "project", "p", "", "only those of this project")
	cmd.Flags().StringVar(&machine, "machine", "", "only those of this machine")
	cmd.Flags().StringVar(&filter, "filter", "", "only those whose name contains this")
	cmd.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	cmd.MarkFlagsMutuallyExclusive("task", "project", "machine")
	return cmd
}

// about is the id of the one document that is named; "" for none.
func about(ctx context.Context, cl *client.Client, task, project, machine string) (string, error) {
	k, ref := kind.Project(), project
	switch {
	case task != "":
		found, err := cl.Task(ctx, task)
		return found.ID, err
	case machine != "":
		k, ref = kind.Machine(), machine
	case project == "":
		return "", nil
	}
	doc, err := k.Find(ctx, cl, ref)
	return doc.ID(), err
}
