package agent

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

func tokenKind() kind.Kind {
	return kind.Kind{
		Noun: "agent-token", Path: "machines/registration-tokens", Basic: "Id", Example: "AgentTokens-1", Names: []string{"environments"},
		Columns: []kind.Column{
			kind.Field("Id", "Id"), kind.Field("Name", "Name"), kind.Ref("Environments", "EnvironmentIds"), kind.Join("Roles", "Roles"),
			kind.Field("Uses left", "UsesLeft"), kind.Field("Expires", "Expires"),
		},
	}
}

// Token is `slipway agent-token`.
func Token(c *console.Console) *cobra.Command {
	k := tokenKind()
	return k.Group("One-time tokens with which machines register themselves",
		k.ListCommand(c), createToken(c, k), k.DeleteCommand(c))
}

func createToken(c *console.Console, k kind.Kind) *cobra.Command {
	var name string
	var environments, roles []string
	var valid time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token that registers one machine, and print it, once",
		Example: "  slipway agent-token create --environment Production --role web --valid 15m\n" +
			"  export SLIPWAY_AGENT_TOKEN=$(slipway agent-token create --environment Test --role web --format basic)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			ids, err := kind.Environment().IDs(cmd.Context(), cl, environments)
			if err != nil {
				return err
			}
			path, err := k.Collection(cmd.Context(), cl)
			if err != nil {
				return err
			}
			var made client.Document
			err = cl.Post(cmd.Context(), path, map[string]any{
				"Name": name, "EnvironmentIds": ids, "Roles": roles, "ValidFor": timeSpan(valid),
			}, &made)
			if err != nil {
				return err
			}
			c.Notef("Valid once, until %s. It cannot be shown again.", made.Text("Expires"))
			return c.Print(console.Result{
				Lines: []string{made.Text("Token")}, Basic: []string{made.Text("Token")}, JSON: made,
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what it is for")
	cmd.Flags().StringArrayVarP(&environments, "environment", "e", nil, "environment the machine may belong to (repeat)")
	cmd.Flags().StringArrayVar(&roles, "role", nil, "role the machine may have (repeat)")
	cmd.Flags().DurationVar(&valid, "valid", time.Hour, "how long it is valid, at most 24h")
	// Both flags were declared above.
	_, _ = cmd.MarkFlagRequired("environment"), cmd.MarkFlagRequired("role")
	return cmd
}

// timeSpan writes a duration in the wire contract's form, "hh:mm:ss" or
// "d.hh:mm:ss" (octopus-api.md 1.5).
func timeSpan(d time.Duration) string {
	seconds := int(d.Seconds())
	days, rest := seconds/86400, seconds%86400
	text := fmt.Sprintf("%02d:%02d:%02d", rest/3600, rest/60%60, rest%60)
	if days > 0 {
		return fmt.Sprintf("%d.%s", days, text)
	}
	return text
}
