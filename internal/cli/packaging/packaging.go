package packaging

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Command is `slipway package`.
func Command(c *console.Console) *cobra.Command {
	k := kind.Package()
	cmd := k.Group("Packages in the built-in feed",
		push(c), pack(c), list(c, k), versions(c, k), get(c, k), remove(c, k))
	cmd.Aliases = []string{"packages"}
	return cmd
}

func list(c *console.Console, k kind.Kind) *cobra.Command {
	var filter string
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List packages, each with its latest version",
		Example: "  slipway package list\n  slipway package list --all-versions --filter Shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if !all {
				query.Set("latest", "true")
			}
			if filter != "" {
				query.Set("filter", filter)
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	cmd.Flags().StringVar(&filter, "filter", "", "only those whose id contains this")
	cmd.Flags().BoolVar(&all, "all-versions", false, "list every version")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many (0: all)")
	return cmd
}

func versions(c *console.Console, k kind.Kind) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "versions PACKAGE", Short: "List the versions of a package",
		Example: "  slipway package versions Shop.Web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			return k.ListAll(cmd, c, cl, url.Values{"nuGetPackageId": {args[0]}}, limit)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many (0: all)")
	return cmd
}

func get(c *console.Console, k kind.Kind) *cobra.Command {
	return &cobra.Command{
		Use: "get PACKAGE:VERSION|ID", Short: "Show one version of a package",
		Example: "  slipway package get Shop.Web:1.2.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := fetch(cmd, cl, args[0])
			if err != nil {
				return err
			}
			return k.PrintOne(cmd.Context(), c, cl, doc)
		},
	}
}

func remove(c *console.Console, k kind.Kind) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete PACKAGE:VERSION|ID", Aliases: []string{"rm"}, Short: "Delete one version of a package",
		Example: "  slipway package delete Shop.Web:1.2.0 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := fetch(cmd, cl, args[0])
			if err != nil {
				return err
			}
			return k.Remove(cmd, c, cl, doc, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// fetch reads a package by "Id:Version" or by its document id.
func fetch(cmd *cobra.Command, cl *client.Client, ref string) (client.Document, error) {
	id := ref
	if name, version, ok := strings.Cut(ref, ":"); ok {
		id = "packages-" + name + "." + version
	}
	path, err := cl.Path(cmd.Context(), "packages/"+url.PathEscape(id))
	if err != nil {
		return nil, err
	}
	var doc client.Document
	return doc, cl.Get(cmd.Context(), path, nil, &doc)
}
