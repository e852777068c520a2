package variable

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Command is `slipway variable`.
func Command(c *console.Console) *cobra.Command {
	o := &owner{}
	cmd := console.Group("variable", "Variables of a project or a library set",
		list(c, o), set(c, o), remove(c, o))
	cmd.Aliases = []string{"variables", "var"}
	for _, verb := range cmd.Commands() {
		verb.Flags().StringVarP(&o.project, "project", "p", "", "the project")
		verb.Flags().StringVar(&o.library, "library-set", "", "the library variable set, instead of a project")
		verb.MarkFlagsOneRequired("project", "library-set")
		verb.MarkFlagsMutuallyExclusive("project", "library-set")
	}
	return cmd
}

// owner says whose variables are meant.
type owner struct{ project, library string }

// variables are a variable set with its entries as documents, so that what
// this program does not know about them survives an edit.
type variables struct {
	set   client.Document
	path  string
	items []client.Document
	names scopeNames
}

// scopeNames maps dimension and id to the name that people know.
type scopeNames map[string]map[string]string

// dimensions are the words for a scope on the command line and in a document.
var dimensions = []struct{ flag, field, values string }{
	{"environment", "Environment", "Environments"},
	{"machine", "Machine", "Machines"},
	{"role", "Role", "Roles"},
	{"channel", "Channel", "Channels"},
	{"step", "Action", "Actions"},
	{"tenant-tag", "TenantTag", "TenantTags"},
}

func (o *owner) load(ctx context.Context, cl *client.Client) (*variables, error) {
	k, ref := kind.Project(), o.project
	if o.library != "" {
		k, ref = kind.Kind{Noun: "library-variable-set", Path: "libraryvariablesets"}, o.library
	}
	doc, err := k.Find(ctx, cl, ref)
	if err != nil {
		return nil, err
	}
	path, err := cl.Path(ctx, "variables/"+url.PathEscape(doc.Text("VariableSetId")))
	if err != nil {
		return nil, err
	}
	v := &variables{path: path}
	if err := cl.Get(ctx, path, nil, &v.set); err != nil {
		return nil, err
	}
	return v, v.parse()
}

func (v *variables) parse() error {
	if err := json.Unmarshal(v.set["Variables"], &v.items); err != nil {
		return fmt.Errorf("read variables: %w", err)
	}
	var values map[string][]struct {
		ID   string `json:"Id"`
		Name string
	}
	if raw, ok := v.set["ScopeValues"]; ok {
		if err := json.Unmarshal(raw, &values); err != nil {
			return fmt.Errorf("read scope values: %w", err)
		}
	}
	v.names = make(scopeNames)
	for _, d := range dimensions {
		v.names[d.field] = make(map[string]string)
		for _, value := range values[d.values] {
			v.names[d.field][value.ID] = value.Name
		}
	}
	return nil
}

func (v *variables) save(ctx context.Context, cl *client.Client) error {
	if err := v.set.Set("Variables", v.items); err != nil {
		return err
	}
	return cl.Put(ctx, v.path, v.set, nil)
}

func list(c *console.Console, o *owner) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls", "get"}, Short: "List variables with their scopes",
		Example: "  slipway variable list --project Shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			v, err := o.load(cmd.Context(), cl)
			if err != nil {
				return err
			}
			result := console.Result{Columns: []string{"NAME", "VALUE", "SCOPE"}, JSON: v.items}
			sort.SliceStable(v.items, func(i, j int) bool {
				return strings.ToLower(v.items[i].Text("Name")) < strings.ToLower(v.items[j].Text("Name"))
			})
			for _, item := range v.items {
				result.Rows = append(result.Rows, []string{item.Text("Name"), shown(item), v.names.show(scopeOf(item))})
				result.Basic = append(result.Basic, item.Text("Name"))
			}
			return c.Print(result)
		},
	}
}

func shown(item client.Document) string {
	if sensitive(item) {
		return "********"
	}
	return item.Text("Value")
}

func sensitive(item client.Document) bool {
	return string(item["IsSensitive"]) == "true" || item.Text("Type") == "Sensitive"
}
