package user

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// find looks a user up by user name, display name or id; "me" is the caller.
func find(ctx context.Context, cl *client.Client, ref string) (client.Document, error) {
	var doc client.Document
	if ref == "" || ref == "me" {
		return doc, cl.Get(ctx, "/api/users/me", nil, &doc)
	}
	var names []string
	for doc, err := range client.Items[client.Document](ctx, cl, "/api/users", nil) {
		if err != nil {
			return nil, err
		}
		for _, name := range []string{doc.ID(), doc.Text("Username"), doc.Text("DisplayName"), doc.Text("EmailAddress")} {
			if name != "" && strings.EqualFold(name, ref) {
				return doc, nil
			}
		}
		names = append(names, doc.Text("Username"))
	}
	return nil, &client.MissingError{Kind: "user", Ref: ref, Names: names}
}

// Command is `slipway user`.
func Command(c *console.Console) *cobra.Command {
	k := kind.User()
	return k.Group("People and services with rights", k.ListCommand(c), get(c, k), create(c, k), remove(c, k))
}

func get(c *console.Console, k kind.Kind) *cobra.Command {
	return &cobra.Command{
		Use: "get USER|me", Short: "Show one user",
		Example: "  slipway user get me",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return k.PrintOne(cmd.Context(), c, cl, doc)
		},
	}
}

func create(c *console.Console, k kind.Kind) *cobra.Command {
	var display, mail string
	var service bool
	cmd := &cobra.Command{
		Use: "create USERNAME", Short: "Create a person (the password is asked for, or read from standard input) or a service",
		Example: "  slipway user create ada --display-name \"Ada Lovelace\"\n  slipway user create build-server --service",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if display == "" {
				display = args[0]
			}
			body := map[string]any{"Username": args[0], "DisplayName": display, "EmailAddress": mail, "IsService": service, "IsActive": true}
			if !service {
				password, err := c.Secret("Password of " + args[0])
				if err != nil {
					return err
				}
				if password == "" {
					return console.Usagef("the password is empty; use --service for an account that only has API keys")
				}
				body["Password"] = password
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			return k.Create(cmd.Context(), c, cl, body)
		},
	}
	cmd.Flags().StringVar(&display, "display-name", "", "name for people (default: the user name)")
	cmd.Flags().StringVar(&mail, "email", "", "e-mail address")
	cmd.Flags().BoolVar(&service, "service", false, "an account for a program: no password, only API keys")
	return cmd
}

func remove(c *console.Console, k kind.Kind) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete USER", Aliases: []string{"rm"}, Short: "Delete a user with his API keys",
		Example: "  slipway user delete ada --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return k.Remove(cmd, c, cl, doc, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
