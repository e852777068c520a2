package kind

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// completeWithin bounds how long the shell waits for names.
const completeWithin = 2 * time.Second

// Complete offers the names of the kind's documents to the shell. A server
// that does not answer, or a missing key, offers nothing and says nothing.
func (k Kind) Complete(c *console.Console) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cl, err := c.Client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeWithin)
		defer cancel()
		path, err := k.Collection(ctx, cl)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		docs, err := client.List[client.Document](ctx, cl, path, url.Values{"partialName": {typed}}, 50)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := make([]cobra.Completion, 0, len(docs))
		for _, doc := range docs {
			if name := doc.Text(k.basic()); len(name) >= len(typed) && strings.EqualFold(name[:len(typed)], typed) {
				names = append(names, console.Printable(name))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlags gives the flags that name documents, and --format, their
// completions, in the whole tree of commands.
func CompleteFlags(c *console.Console, cmd *cobra.Command) {
	fixed := []cobra.Completion{string(console.Table), string(console.JSON), string(console.Basic)}
	for name, complete := range map[string]cobra.CompletionFunc{
		"project": Project().Complete(c), "environment": Environment().Complete(c), "lifecycle": Lifecycle().Complete(c),
		"group": ProjectGroup().Complete(c), "machine": Machine().Complete(c), "exclude-machine": Machine().Complete(c),
		"space": Space().Complete(c), "format": cobra.FixedCompletions(fixed, cobra.ShellCompDirectiveNoFileComp),
	} {
		flag := cmd.LocalFlags().Lookup(name)
		if _, done := cmd.GetFlagCompletionFunc(name); flag == nil || done {
			continue
		}
		// The flag exists and has no completion: there is no other error.
		_ = cmd.RegisterFlagCompletionFunc(name, complete)
	}
	for _, sub := range cmd.Commands() {
		CompleteFlags(c, sub)
	}
}
