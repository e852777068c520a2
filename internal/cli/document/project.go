package document

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Project is `slipway project`.
func Project(c *console.Console) *cobra.Command {
	k := kind.Project()
	cmd := k.Group("What is released: a process, variables and releases",
		k.ListCommand(c), k.GetCommand(c), createProject(c, k), k.DeleteCommand(c))
	cmd.Aliases = []string{"projects"}
	return cmd
}

func createProject(c *console.Console, k kind.Kind) *cobra.Command {
	var name, description, group, lifecycle string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a project with an empty process",
		Example: "  slipway project create Shop\n" +
			"  slipway project create Shop --group Shops --lifecycle Careful",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := kind.NameArg(args, name)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			groupID, err := findOr(cmd.Context(), cl, kind.ProjectGroup(), group, "--group")
			if err != nil {
				return err
			}
			lifecycleID, err := findOr(cmd.Context(), cl, kind.Lifecycle(), lifecycle, "--lifecycle")
			if err != nil {
				return err
			}
			return k.Create(cmd.Context(), c, cl, map[string]any{
				"Name": name, "Description": description, "ProjectGroupId": groupID, "LifecycleId": lifecycleID,
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the project, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is")
	cmd.Flags().StringVar(&group, "group", "", "project group (default: the space's default one)")
	cmd.Flags().StringVar(&lifecycle, "lifecycle", "", "lifecycle (default: the space's default one)")
	return cmd
}

// findOr finds the named document; without a name the one that the space was
// made with ("Default …"), or the only one.
func findOr(ctx context.Context, cl *client.Client, k kind.Kind, ref, flag string) (string, error) {
	if ref != "" {
		doc, err := k.Find(ctx, cl, ref)
		if err != nil {
			return "", err
		}
		return doc.ID(), nil
	}
	path, err := k.Collection(ctx, cl)
	if err != nil {
		return "", err
	}
	docs, err := client.List[client.Document](ctx, cl, path, nil, 0)
	if err != nil {
		return "", err
	}
	for _, doc := range docs {
		if len(docs) == 1 || strings.HasPrefix(doc.Text("Name"), "Default ") {
			return doc.ID(), nil
		}
	}
	return "", console.Usagef("there is no default %s; name one with %s", strings.ReplaceAll(k.Noun, "-", " "), flag)
}
