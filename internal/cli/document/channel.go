package document

import (
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// Channel is `slipway channel`. A channel's name means something only together
// with its project.
func Channel(c *console.Console) *cobra.Command {
	k := kind.Channel()
	var project string
	cmd := k.Group("A project's lines of releases",
		listChannels(c, k, &project), oneChannel(c, k, &project, "get"), createChannel(c, k, &project),
		oneChannel(c, k, &project, "delete"))
	for _, verb := range cmd.Commands() {
		verb.Flags().StringVarP(&project, "project", "p", "", "the project")
		// The flag was declared in the line above.
		_ = verb.MarkFlagRequired("project")
	}
	return cmd
}

// ofProject narrows the kind to one project's documents.
func ofProject(cmd *cobra.Command, c *console.Console, k kind.Kind, project string) (kind.Kind, client.Document, *client.Client, error) {
	cl, err := c.Client()
	if err != nil {
		return k, nil, nil, err
	}
	doc, err := kind.Project().Find(cmd.Context(), cl, project)
	if err != nil {
		return k, nil, nil, err
	}
	k.Path = "projects/" + url.PathEscape(doc.ID()) + "/" + k.Path
	return k, doc, cl, nil
}

func listChannels(c *console.Console, k kind.Kind, project *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List a project's channels",
		Example: "  slipway channel list --project Shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, _, cl, err := ofProject(cmd, c, k, *project)
			if err != nil {
				return err
			}
			return k.ListAll(cmd, c, cl, nil, 0)
		},
	}
}

func oneChannel(c *console.Console, k kind.Kind, project *string, verb string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: verb + " NAME|ID", Short: map[string]string{"get": "Show one channel", "delete": "Delete a channel"}[verb],
		Example: "  slipway channel " + verb + " Default --project Shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, cl, err := ofProject(cmd, c, k, *project)
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			if verb == "get" {
				return k.PrintOne(cmd.Context(), c, cl, doc)
			}
			return k.Remove(cmd, c, cl, doc, yes)
		},
	}
	if verb == "delete" {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

func createChannel(c *console.Console, k kind.Kind, project *string) *cobra.Command {
	var name, description, lifecycle string
	var isDefault bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a channel",
		Example: "  slipway channel create Hotfix --project Shop --lifecycle Short",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := kind.NameArg(args, name)
			if err != nil {
				return err
			}
			_, owner, cl, err := ofProject(cmd, c, k, *project)
			if err != nil {
				return err
			}
			body := map[string]any{"Name": name, "Description": description, "ProjectId": owner.ID(), "IsDefault": isDefault}
			if lifecycle != "" {
				doc, err := kind.Lifecycle().Find(cmd.Context(), cl, lifecycle)
				if err != nil {
					return err
				}
				body["LifecycleId"] = doc.ID()
			}
			return k.Create(cmd.Context(), c, cl, body)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the channel, instead of the argument")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().StringVar(&lifecycle, "lifecycle", "", "lifecycle (default: the project's)")
	cmd.Flags().BoolVar(&isDefault, "default", false, "make it the channel for releases that name none")
	return cmd
}
