package machine

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/cli/task"
	"github.com/slipwayhq/slipway/internal/client"
)

// Command is `slipway machine`.
func Command(c *console.Console) *cobra.Command {
	k := kind.Machine()
	cmd := k.Group("The machines that releases go to",
		list(c, k), k.GetCommand(c), disable(c, k, true), disable(c, k, false), health(c, k), k.DeleteCommand(c))
	cmd.Aliases = []string{"machines", "deployment-target"}
	return cmd
}

func list(c *console.Console, k kind.Kind) *cobra.Command {
	var environments, roles, health []string
	var filter string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List machines",
		Example: "  slipway machine list\n  slipway machine list --environment Production --role web --health Unavailable",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if len(environments) > 0 {
				ids, err := kind.Environment().IDs(cmd.Context(), cl, environments)
				if err != nil {
					return err
				}
				query.Set("environmentIds", strings.Join(ids, ","))
			}
			set(query, "roles", strings.Join(roles, ","))
			set(query, "healthStatuses", strings.Join(health, ","))
			set(query, "partialName", filter)
			return k.ListAll(cmd, c, cl, query, 0)
		},
	}
	cmd.Flags().StringSliceVarP(&environments, "environment", "e", nil, "only machines of these environments")
	cmd.Flags().StringSliceVar(&roles, "role", nil, "only machines with these roles")
	cmd.Flags().StringSliceVar(&health, "health", nil, "only machines in these states: Healthy, HasWarnings, Unhealthy, Unavailable, Unknown")
	cmd.Flags().StringVar(&filter, "filter", "", "only those whose name contains this")
	return cmd
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func disable(c *console.Console, k kind.Kind, off bool) *cobra.Command {
	verb, short := "enable", "Let deployments use a machine again"
	if off {
		verb, short = "disable", "Keep a machine out of deployments"
	}
	return &cobra.Command{
		Use: verb + " NAME|ID", Short: short,
		Example: "  slipway machine " + verb + " web-01",
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: k.Complete(c),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			if err := doc.Set("IsDisabled", off); err != nil {
				return err
			}
			return k.Save(cmd.Context(), c, cl, doc)
		},
	}
}

func health(c *console.Console, k kind.Kind) *cobra.Command {
	var wait task.WaitFlags
	cmd := &cobra.Command{
		Use: "health NAME|ID…", Short: "Check the health of machines now",
		Example: "  slipway machine health web-01 web-02 --wait",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			started, err := check(cmd.Context(), cl, k, args)
			if err != nil {
				return err
			}
			return wait.Finish(cmd.Context(), c, cl, []string{started.ID}, console.Result{
				Lines: []string{fmt.Sprintf("Started %s: %s.", started.ID, started.Description)},
				Basic: []string{started.ID}, JSON: started,
			})
		},
	}
	wait.Bind(cmd)
	return cmd
}

func check(ctx context.Context, cl *client.Client, k kind.Kind, refs []string) (client.Task, error) {
	ids, err := k.IDs(ctx, cl, refs)
	if err != nil {
		return client.Task{}, err
	}
	space, err := cl.SpaceID(ctx)
	if err != nil {
		return client.Task{}, err
	}
	var started client.Task
	return started, cl.Post(ctx, "/api/tasks", map[string]any{
		"Name": "Health", "Description": "Check the health of " + strings.Join(refs, ", "), "SpaceId": space,
		"Arguments": map[string]any{"MachineIds": ids},
	}, &started)
}
