package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

func login(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Keep a server and an API key for later runs",
		Long: "Keep a server and an API key in your configuration folder, readable by you only. The key is asked\n" +
			"for, or read from standard input, and tried before it is kept.",
		Example: "  slipway login --server https://slipway.example.com",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := c.Target()
			if err != nil {
				return err
			}
			if c.APIKey == "" {
				typed, err := c.Secret("API key for " + target.Server)
				if err != nil {
					return err
				}
				if typed != "" { // nothing typed: the environment's
					target.APIKey = typed
				}
			}
			if target.APIKey == "" {
				return console.Usagef("the API key is empty")
			}
			cl, err := c.Connect(target)
			if err != nil {
				return err
			}
			var me client.Document
			if err := cl.Get(cmd.Context(), "/api/users/me", nil, &me); err != nil {
				return err
			}
			if err := c.Save(target); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Logged in to %s as %s.", target.Server, me.Text("Username"))},
				Basic: []string{me.Text("Username")},
				JSON:  map[string]string{"Server": target.Server, "Username": me.Text("Username"), "UserId": me.ID()},
			})
		},
	}
}

func logout(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget what login kept",
		Long:    "Forget the server and key that login kept. The key stays valid; `slipway api-key revoke` ends it.",
		Example: "  slipway logout",
		RunE:    func(*cobra.Command, []string) error { return c.Forget() },
	}
}

func version(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program",
		Example: "  slipway version --format json",
		RunE: func(*cobra.Command, []string) error {
			return c.Print(console.Result{
				Lines: []string{"slipway " + c.Version}, Basic: []string{c.Version},
				JSON: map[string]string{"Version": c.Version},
			})
		},
	}
}

func completion(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print a script that completes commands in your shell",
		Example: "  source <(slipway completion bash)\n" +
			"  slipway completion zsh > \"${fpath[1]}/_slipway\"\n" +
			"  slipway completion fish > ~/.config/fish/completions/slipway.fish",
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.Out, true)
			case "zsh":
				return root.GenZshCompletion(c.Out)
			case "fish":
				return root.GenFishCompletion(c.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.Out)
			}
			return console.Usagef("there is no completion for %q.%s", args[0], console.DidYouMean(args[0], cmd.ValidArgs))
		},
	}
}
