// Package demo is `slipway demo`: a server, six agents, a load balancer and
// customers as processes of one machine, and a story in which releases go out,
// machines come and go and the server is killed. It judges itself by what the
// customers saw and by what the scripts wrote, not by what the server says, and
// uses nothing but the public API and the command line (P8).
package demo

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
)

// Command is `slipway demo`. Its subcommands are what the demo's processes and
// deployment scripts run; they are hidden.
func Command(c *console.Console) *cobra.Command {
	var keep bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "demo", Short: "See it work: a server, six machines, real traffic and trouble, in about a minute",
		Long: "See it work, in one temporary folder and on loopback only. A server and six agents are started, a web\n" +
			"shop is deployed twice, through Test to Production, while customers shop all the time. A machine\n" +
			"vanishes, a new one joins, and the server is killed in the middle of a rollout.\n\n" +
			"The demo does not flatter itself: neither its load balancer nor its customers ever retry, and a page\n" +
			"of the wrong release, machine or configuration counts against it. It ends with a table of what was\n" +
			"promised and what was seen; the exit code is 1 when a promise did not hold.",
		Example: "  slipway demo\n  slipway demo --keep\n  slipway demo --format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), limit, errTooLong)
			defer cancel()
			return play(ctx, c, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running and print its address and key")
	cmd.Flags().DurationVar(&limit, "limit", 5*time.Minute, "give up after this long")
	for _, part := range []*cobra.Command{markCommand(c), shopCommand(), balancerCommand(), checkCommand(), migrateCommand()} {
		part.Hidden = true
		cmd.AddCommand(part)
	}
	return cmd
}
