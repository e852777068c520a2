package variable

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

func set(c *console.Console, o *owner) *cobra.Command {
	var scopes []string
	var description string
	var secret bool
	cmd := &cobra.Command{
		Use: "set NAME [VALUE]", Short: "Set a variable's value in one scope",
		Long: "Set a variable's value in one scope. An existing value of exactly that scope is replaced; values\n" +
			"in other scopes stay. A sensitive value is never an argument: it is asked for, or read from\n" +
			"standard input.",
		Example: "  slipway variable set Color blue --project Shop\n" +
			"  slipway variable set Color green --project Shop --scope environment=Production --scope role=web\n" +
			"  slipway variable set DbPassword --project Shop --sensitive < password.txt",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := valueFrom(c, args, secret)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			v, err := o.load(cmd.Context(), cl)
			if err != nil {
				return err
			}
			where, err := v.names.parseScope(scopes)
			if err != nil {
				return err
			}
			item, err := v.put(args[0], value, where, secret, description)
			if err != nil {
				return err
			}
			if err := v.save(cmd.Context(), cl); err != nil {
				return err
			}
			return c.Print(saved(v, args[0], item, where))
		},
	}
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "where it applies: environment=, machine=, role=, channel=, step= with names (repeat)")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().BoolVar(&secret, "sensitive", false, "keep the value secret; it is read from standard input or asked for")
	return cmd
}

func saved(v *variables, name string, item client.Document, where scope) console.Result {
	line := "Set " + name
	if text := v.names.show(where); text != "" {
		line += " for " + text
	}
	shownItem := map[string]any{"Name": name, "Scope": where, "IsSensitive": sensitive(item)}
	if !sensitive(item) {
		shownItem["Value"] = item.Text("Value")
	}
	return console.Result{Lines: []string{line + "."}, Basic: []string{name}, JSON: shownItem}
}

func valueFrom(c *console.Console, args []string, secret bool) (string, error) {
	switch {
	case secret && len(args) == 2:
		return "", console.Usagef("a sensitive value on the command line ends up in the shell's history and the process list;" +
			" leave it out to be asked, or pipe it in")
	case secret:
		return c.Secret("Value of " + args[0])
	case len(args) == 2:
		return args[1], nil
	}
	return "", console.Usagef("a value is missing: slipway variable set %s VALUE", args[0])
}

// put replaces the value of that name and scope, or adds it.
func (v *variables) put(name, value string, where scope, secret bool, description string) (client.Document, error) {
	at := slices.IndexFunc(v.items, func(item client.Document) bool {
		return strings.EqualFold(item.Text("Name"), name) && scopeOf(item).equal(where)
	})
	if at < 0 {
		v.items = append(v.items, client.Document{})
		at = len(v.items) - 1
	}
	item := v.items[at]
	fields := map[string]any{"Name": name, "Value": value, "Scope": where}
	if secret {
		fields["IsSensitive"], fields["Type"] = true, "Sensitive"
	} else if len(item) == 0 {
		fields["IsSensitive"], fields["Type"] = false, "String"
	} else if sensitive(item) {
		return nil, console.Usagef("%s is sensitive; give --sensitive to replace its value", name)
	}
	if description != "" || len(item) == 0 {
		fields["Description"] = description
	}
	for field, value := range fields {
		if err := item.Set(field, value); err != nil {
			return nil, err
		}
	}
	return item, nil
}

func remove(c *console.Console, o *owner) *cobra.Command {
	var scopes []string
	var all bool
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm", "unset"}, Short: "Delete a variable's value in one scope, or all of them",
		Example: "  slipway variable delete Color --project Shop --scope environment=Production\n" +
			"  slipway variable delete Color --project Shop --all",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			v, err := o.load(cmd.Context(), cl)
			if err != nil {
				return err
			}
			where, err := v.names.parseScope(scopes)
			if err != nil {
				return err
			}
			before := len(v.items)
			v.items = slices.DeleteFunc(v.items, func(item client.Document) bool {
				return strings.EqualFold(item.Text("Name"), args[0]) && (all || scopeOf(item).equal(where))
			})
			n := before - len(v.items)
			if n == 0 {
				return v.noSuch(args[0], where)
			}
			if err := v.save(cmd.Context(), cl); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Deleted %d value(s) of %s.", n, args[0])},
				Basic: []string{args[0]}, JSON: map[string]any{"Name": args[0], "Deleted": n},
			})
		},
	}
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "the scope of the value to delete, as it was set (repeat)")
	cmd.Flags().BoolVar(&all, "all", false, "delete the values of all scopes")
	return cmd
}

// noSuch says what there is instead.
func (v *variables) noSuch(name string, where scope) error {
	var names, scopes []string
	for _, item := range v.items {
		names = append(names, item.Text("Name"))
		if strings.EqualFold(item.Text("Name"), name) {
			scopes = append(scopes, "("+v.names.show(scopeOf(item))+")")
		}
	}
	if len(scopes) > 0 {
		return resource.Errorf(resource.NotFound, "%s has no value in the scope (%s), but in: %s. Name one with --scope, or use --all.",
			name, v.names.show(where), strings.Join(scopes, ", "))
	}
	return resource.Errorf(resource.NotFound, "There is no variable %q.%s", name, console.DidYouMean(name, names))
}
