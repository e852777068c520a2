package document

import (
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// MachinePolicy is `slipway machine-policy`.
func MachinePolicy(c *console.Console) *cobra.Command {
	k := kind.MachinePolicy()
	return k.Group("How machines are checked and cleaned up",
		k.ListCommand(c), k.GetCommand(c), k.DeleteCommand(c))
}

// Space is `slipway space`.
func Space(c *console.Console) *cobra.Command {
	k := kind.Space()
	return k.Group("Spaces keep documents and permissions apart",
		k.ListCommand(c), k.GetCommand(c), createSpace(c, k), deleteSpace(c, k))
}

func createSpace(c *console.Console, k kind.Kind) *cobra.Command {
	var name, description string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a space managed by you",
		Example: "  slipway space create Shops",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := kind.NameArg(args, name)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			var me client.Document
			if err := cl.Get(cmd.Context(), "/api/users/me", nil, &me); err != nil {
				return err
			}
			return k.Create(cmd.Context(), c, cl, map[string]any{
				"Name": name, "Description": description, "SpaceManagersTeamMembers": []string{me.ID()},
				"SpaceManagersTeams": []string{},
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the space, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

// deleteSpace stops the space's queue first: the server refuses to delete a
// space whose queue runs (octopus-api.md 2.1).
func deleteSpace(c *console.Console, k kind.Kind) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME|ID", Short: "Delete a space with everything in it",
		Example: "  slipway space delete Shops --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			if err := c.Confirm(yes, "Delete space "+doc.Text("Name")+" and everything in it?"); err != nil {
				return err
			}
			if err := doc.Set("TaskQueueStopped", true); err != nil {
				return err
			}
			if err := cl.Put(cmd.Context(), "/api/spaces/"+url.PathEscape(doc.ID()), doc, nil); err != nil {
				return err
			}
			return k.Remove(cmd, c, cl, doc, true)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// Event is `slipway event`.
func Event(c *console.Console) *cobra.Command {
	k := kind.Event()
	var limit int
	var regarding, category string
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the audit log, newest first",
		Example: "  slipway event list --limit 20\n  slipway event list --regarding Projects-1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if regarding != "" {
				query.Set("regarding", regarding)
			}
			if category != "" {
				query.Set("eventCategories", category)
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	list.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	list.Flags().StringVar(&regarding, "regarding", "", "only events about the document with this id")
	list.Flags().StringVar(&category, "category", "", "only events of this category, e.g. DeploymentFailed")
	return k.Group("The audit log", list)
}
