package kind

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// Plural is the noun for several of them.
func (k Kind) Plural() string {
	noun := strings.ReplaceAll(k.Noun, "-", " ")
	switch {
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ey"):
		return strings.TrimSuffix(noun, "y") + "ies"
	default:
		return noun + "s"
	}
}

func (k Kind) example(verb, args string) string {
	return strings.TrimRight(fmt.Sprintf("  slipway %s %s %s", k.Noun, verb, args), " ")
}

// ListCommand lists the kind's documents.
func (k Kind) ListCommand(c *console.Console) *cobra.Command {
	var filter string
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List " + k.Plural(),
		Example: k.example("list", "") + "\n" + k.example("list", "--format json"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if filter != "" {
				query.Set("partialName", filter)
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	cmd.Flags().StringVar(&filter, "filter", "", "only those whose name contains this")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many (0: all)")
	return cmd
}

// ListAll prints the collection as narrowed by query.
func (k Kind) ListAll(cmd *cobra.Command, c *console.Console, cl *client.Client, query url.Values, limit int) error {
	path, err := k.Collection(cmd.Context(), cl)
	if err != nil {
		return err
	}
	docs, err := client.List[client.Document](cmd.Context(), cl, path, query, limit)
	if err != nil {
		return err
	}
	return k.Print(cmd.Context(), c, cl, docs)
}

// GetCommand shows one document.
func (k Kind) GetCommand(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use:     "get NAME|ID",
		Aliases: []string{"view", "show"},
		Short:   "Show one " + strings.ReplaceAll(k.Noun, "-", " "),
		Example: k.example("get", quoted(k.Example)) + "\n" + k.example("get", quoted(k.Example)+" --format json"),
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: k.Complete(c),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return k.PrintOne(cmd.Context(), c, cl, doc)
		},
	}
}

// DeleteCommand deletes one document after asking.
func (k Kind) DeleteCommand(c *console.Console) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete NAME|ID",
		Aliases: []string{"rm"},
		Short:   "Delete a " + strings.ReplaceAll(k.Noun, "-", " "),
		Example: k.example("delete", quoted(k.Example)+" --yes"),
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: k.Complete(c),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return k.Remove(cmd, c, cl, doc, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// Remove deletes a document that was found, after asking unless yes.
func (k Kind) Remove(cmd *cobra.Command, c *console.Console, cl *client.Client, doc client.Document, yes bool) error {
	noun := strings.ReplaceAll(k.Noun, "-", " ")
	if err := c.Confirm(yes, fmt.Sprintf("Delete %s %s (%s)?", noun, doc.Text(k.basic()), doc.ID())); err != nil {
		return err
	}
	path, err := k.Collection(cmd.Context(), cl)
	if err != nil {
		return err
	}
	if err := cl.Delete(cmd.Context(), path+"/"+url.PathEscape(doc.ID())); err != nil {
		return err
	}
	return c.Print(console.Result{
		Lines: []string{fmt.Sprintf("Deleted %s %s (%s).", noun, doc.Text(k.basic()), doc.ID())},
		Basic: []string{doc.ID()},
		JSON:  map[string]string{"Id": doc.ID(), "Name": doc.Text(k.basic())},
	})
}

// NameArg takes a name from --name or from the only argument.
func NameArg(args []string, flag string) (string, error) {
	switch {
	case len(args) == 1 && flag == "":
		return args[0], nil
	case len(args) == 0 && flag != "":
		return flag, nil
	case len(args) == 0:
		return "", console.Usagef("a name is missing: give it as the argument or with --name")
	}
	return "", console.Usagef("the name is given twice; use either the argument or --name")
}

func quoted(text string) string {
	if strings.ContainsRune(text, ' ') {
		return `"` + text + `"`
	}
	return text
}
