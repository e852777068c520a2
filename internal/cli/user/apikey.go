package user

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// APIKey is `slipway api-key`.
func APIKey(c *console.Console) *cobra.Command {
	var owner string
	cmd := console.Group("api-key", "Keys for programs to act as a user",
		listKeys(c, &owner), createKey(c, &owner), revokeKey(c, &owner))
	cmd.PersistentFlags().StringVarP(&owner, "user", "u", "me", "whose keys")
	return cmd
}

func keyKind(owner client.Document) kind.Kind {
	return kind.Kind{
		Noun: "api-key", Path: "users/" + url.PathEscape(owner.ID()) + "/apikeys", Global: true, Basic: "Id",
		Columns: []kind.Column{
			kind.Field("Id", "Id"), kind.Field("Purpose", "Purpose"),
			{Title: "Key", Value: hint},
			kind.Field("Created", "Created"), kind.Field("Expires", "Expires"),
		},
	}
}

// hint shows the first characters of a key, all that can be read back.
func hint(doc client.Document, _ kind.Names) string {
	var secret struct{ Hint string }
	if json.Unmarshal(doc["ApiKey"], &secret) != nil {
		return ""
	}
	return secret.Hint
}

func listKeys(c *console.Console, owner *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List a user's API keys, not their secrets",
		Example: "  slipway api-key list --user build-server",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			user, err := find(cmd.Context(), cl, *owner)
			if err != nil {
				return err
			}
			return keyKind(user).ListAll(cmd, c, cl, nil, 0)
		},
	}
}

func createKey(c *console.Console, owner *string) *cobra.Command {
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create PURPOSE", Short: "Create an API key and print it, once",
		Example: "  slipway api-key create \"build server\" --user build-server --expires 2160h\n" +
			"  export SLIPWAY_API_KEY=$(slipway api-key create laptop --format basic)",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			user, err := find(cmd.Context(), cl, *owner)
			if err != nil {
				return err
			}
			body := map[string]any{"Purpose": args[0]}
			if expires > 0 {
				body["Expires"] = c.Now().Add(expires).UTC().Format(time.RFC3339)
			}
			var created client.Document
			if err := cl.Post(cmd.Context(), "/api/"+keyKind(user).Path, body, &created); err != nil {
				return err
			}
			key := created.Text("ApiKey")
			c.Notef("Keep it safe: it cannot be shown again.")
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("%s  (%s)", key, created.ID())},
				Basic: []string{key}, JSON: created,
			})
		},
	}
	cmd.Flags().DurationVar(&expires, "expires", 0, "valid for this long, e.g. 2160h (default: until revoked)")
	return cmd
}

func revokeKey(c *console.Console, owner *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke ID", Aliases: []string{"delete", "rm"}, Short: "Revoke an API key: it stops working at once",
		Example: "  slipway api-key revoke APIKeys-3 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			user, err := find(cmd.Context(), cl, *owner)
			if err != nil {
				return err
			}
			k := keyKind(user)
			var doc client.Document
			if err := cl.Get(cmd.Context(), "/api/"+k.Path+"/"+url.PathEscape(args[0]), nil, &doc); err != nil {
				return err
			}
			return k.Remove(cmd, c, cl, doc, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
