package document

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Lifecycle is `slipway lifecycle`.
func Lifecycle(c *console.Console) *cobra.Command {
	k := kind.Lifecycle()
	return k.Group("The order in which a release passes through environments",
		k.ListCommand(c), k.GetCommand(c), createLifecycle(c, k), k.DeleteCommand(c))
}

func createLifecycle(c *console.Console, k kind.Kind) *cobra.Command {
	var name, description string
	var phases []string
	cmd := &cobra.Command{
		Use:   "create NAME --phase ENVIRONMENT…",
		Short: "Create a lifecycle with its phases in order",
		Long: "Create a lifecycle. Each --phase is an environment, or NAME=ENVIRONMENT,ENVIRONMENT for a phase\n" +
			"with several. Without phases every environment is a phase of its own, in their order.",
		Example: "  slipway lifecycle create Careful --phase Test --phase Staging --phase Production\n" +
			"  slipway lifecycle create Wide --phase Test --phase \"Live=Production EU,Production US\"",
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
			list, err := phaseList(cmd.Context(), cl, phases)
			if err != nil {
				return err
			}
			return k.Create(cmd.Context(), c, cl, map[string]any{"Name": name, "Description": description, "Phases": list})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the lifecycle, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().StringArrayVar(&phases, "phase", nil, "a phase: ENVIRONMENT, or NAME=ENVIRONMENT,ENVIRONMENT (repeat)")
	return cmd
}

func phaseList(ctx context.Context, cl *client.Client, specs []string) ([]map[string]any, error) {
	list := make([]map[string]any, 0, len(specs))
	for _, spec := range specs {
		name, environments, ok := strings.Cut(spec, "=")
		if !ok {
			environments = name
		}
		ids, err := kind.Environment().IDs(ctx, cl, splitTrim(environments))
		if err != nil {
			return nil, err
		}
		list = append(list, map[string]any{
			"Name": name, "OptionalDeploymentTargets": ids, "AutomaticDeploymentTargets": []string{},
		})
	}
	return list, nil
}

func splitTrim(text string) []string {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
