// Package cli is the slipway program: its commands, their order in the help,
// and what a run of it needs from the operating system.
package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/agent"
	"github.com/slipwayhq/slipway/internal/cli/artifact"
	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/demo"
	"github.com/slipwayhq/slipway/internal/cli/deployment"
	"github.com/slipwayhq/slipway/internal/cli/document"
	"github.com/slipwayhq/slipway/internal/cli/interruption"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/cli/machine"
	"github.com/slipwayhq/slipway/internal/cli/node"
	"github.com/slipwayhq/slipway/internal/cli/packaging"
	"github.com/slipwayhq/slipway/internal/cli/process"
	"github.com/slipwayhq/slipway/internal/cli/release"
	"github.com/slipwayhq/slipway/internal/cli/server"
	"github.com/slipwayhq/slipway/internal/cli/task"
	"github.com/slipwayhq/slipway/internal/cli/user"
	"github.com/slipwayhq/slipway/internal/cli/variable"
)

// Run executes one command line (without the program's name) and returns its
// exit code.
func Run(ctx context.Context, c *console.Console, args []string) int {
	root := New(c) //nolint:contextcheck // commands get the context when they are executed
	root.SetArgs(args)
	return c.Exit(root.ExecuteContext(ctx))
}

// New builds the tree of commands.
func New(c *console.Console) *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "Slipway rolls releases out to fleets of machines that come and go.",
		Long: "Slipway rolls releases out to fleets of machines that come and go.\n\n" +
			"The server is found through --server, SLIPWAY_URL or OCTOPUS_URL; the key through --api-key,\n" +
			"SLIPWAY_API_KEY or OCTOPUS_API_KEY; both may be kept with `slipway login`.\n\n" +
			"Exit codes: 0 success, 1 failed, 2 wrong usage, 3 not authorised or not found, 4 the wait timed\n" +
			"out, 5 canceled, 6 how it ended is not known.",
		Example: "  slipway demo\n" +
			"  slipway release create --project Shop --package Shop.Web:1.2.0\n" +
			"  slipway release deploy --project Shop --version 1.2.0 --environment Production --wait",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return console.UnknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	root.SetHelpCommandGroupID("other")
	root.AddGroup(
		&cobra.Group{ID: "ship", Title: "Ship:"}, &cobra.Group{ID: "setup", Title: "Set up:"},
		&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "other", Title: "Other:"})
	add(root, "ship", packaging.Command(c), release.Command(c), deployment.Command(c), task.Command(c), interruption.Command(c), artifact.Command(c), release.Dashboard(c), machine.Why(c))
	add(root, "setup", document.Environment(c), document.Lifecycle(c), document.ProjectGroup(c), document.Project(c),
		document.Channel(c), process.Command(c), variable.Command(c), machine.Command(c), document.MachinePolicy(c),
		document.Space(c), user.Command(c), user.APIKey(c))
	add(root, "run", server.Command(c), server.Backup(c), server.Restore(c), node.Command(c), agent.Command(c), agent.Token(c), demo.Command(c))
	add(root, "other", document.Event(c), login(c), logout(c), completion(c), version(c))
	c.Bind(root)
	c.Adopt(root)
	kind.CompleteFlags(c, root)
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}
