package document

import (
	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
)

// Environment is `slipway environment`.
func Environment(c *console.Console) *cobra.Command {
	k := kind.Environment()
	cmd := k.Group("Places to deploy to, in their order",
		k.ListCommand(c), k.GetCommand(c), createEnvironment(c, k), k.DeleteCommand(c))
	cmd.Aliases = []string{"env", "environments"}
	return cmd
}

func createEnvironment(c *console.Console, k kind.Kind) *cobra.Command {
	var name, description string
	var guided bool
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create an environment, last in order",
		Example: "  slipway environment create Production\n  slipway environment create Staging --description \"Like Production, smaller\"",
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
			return k.Create(cmd.Context(), c, cl, map[string]any{
				"Name": name, "Description": description, "UseGuidedFailure": guided,
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the environment, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().BoolVar(&guided, "guided-failure", false, "ask a person what to do when a step fails")
	return cmd
}

// ProjectGroup is `slipway project-group`.
func ProjectGroup(c *console.Console) *cobra.Command {
	k := kind.ProjectGroup()
	return k.Group("Groups that sort projects",
		k.ListCommand(c), k.GetCommand(c), createNamed(c, k, "slipway project-group create Shops"), k.DeleteCommand(c))
}

// createNamed creates documents that need nothing but a name.
func createNamed(c *console.Console, k kind.Kind, example string) *cobra.Command {
	var name, description string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create one",
		Example: "  " + example,
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
			return k.Create(cmd.Context(), c, cl, map[string]any{"Name": name, "Description": description})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "its name, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}
