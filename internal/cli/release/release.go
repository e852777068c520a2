package release

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Command is `slipway release`.
func Command(c *console.Console) *cobra.Command {
	cmd := console.Group("release", "Frozen versions of a project, and where they go",
		create(c), list(c), get(c), preview(c), plan(c), Deploy(c, "deploy"), progression(c), remove(c))
	cmd.Aliases = []string{"releases"}
	return cmd
}

// projectFlag declares the required --project of a verb.
func projectFlag(cmd *cobra.Command, project *string) {
	cmd.Flags().StringVarP(project, "project", "p", "", "the project")
	// The flag was declared in the line above.
	_ = cmd.MarkFlagRequired("project")
}

func versionFlag(cmd *cobra.Command, version *string) {
	cmd.Flags().StringVar(version, "version", "", "version of the release")
	// The flag was declared in the line above.
	_ = cmd.MarkFlagRequired("version")
}

// find is the release of that version.
func find(ctx context.Context, cl *client.Client, project, version string) (client.Document, error) {
	owner, err := kind.Project().Find(ctx, cl, project)
	if err != nil {
		return nil, err
	}
	path, err := cl.Path(ctx, "projects/"+url.PathEscape(owner.ID())+"/releases")
	if err != nil {
		return nil, err
	}
	var doc client.Document
	err = cl.Get(ctx, path+"/"+url.PathEscape(version), nil, &doc)
	if resource.CodeOf(err) != resource.NotFound {
		return doc, err
	}
	known, lerr := client.List[client.Document](ctx, cl, path, nil, 30)
	if lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	missing := &client.MissingError{Kind: "release of " + owner.Text("Name"), Ref: version}
	for _, k := range known {
		missing.Names = append(missing.Names, k.Text("Version"))
	}
	return nil, missing
}

func create(c *console.Console) *cobra.Command {
	var r client.NewRelease
	cmd := &cobra.Command{
		Use: "create", Short: "Freeze process, variables and package versions as a release",
		Long: "Freeze a project's process, its variables and the versions of its packages as a release. What is\n" +
			"not said takes the project's rules: the next version, the default channel, the latest packages.",
		Example: "  slipway release create --project Shop\n" +
			"  slipway release create --project Shop --version 1.2.0 --package Shop.Web:1.2.0 --package Shop.Db:1.1.0",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			created, err := cl.CreateRelease(cmd.Context(), r)
			if err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Created release %s of %s (%s).", created.ReleaseVersion, r.Project, created.ReleaseID)},
				Basic: []string{created.ReleaseVersion}, JSON: created,
			})
		},
	}
	projectFlag(cmd, &r.Project)
	f := cmd.Flags()
	f.StringVar(&r.Version, "version", "", "version of the release (default: the next one)")
	f.StringVar(&r.Channel, "channel", "", "channel (default: the project's default one)")
	f.StringVar(&r.PackageVersion, "package-version", "", "version of every package that --package does not name")
	f.StringArrayVar(&r.Packages, "package", nil, "version of a package or step: NAME:VERSION (repeat)")
	f.StringVar(&r.PrereleaseOfPackage, "package-prerelease", "", "latest packages with this pre-release tag")
	f.StringVar(&r.Notes, "notes", "", "release notes")
	f.BoolVar(&r.IgnoreIfExists, "ignore-existing", false, "succeed when that version exists already")
	f.BoolVar(&r.IgnoreChannelRules, "ignore-channel-rules", false, "accept package versions that the channel's rules refuse")
	return cmd
}

func list(c *console.Console) *cobra.Command {
	var project string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List a project's releases, newest first",
		Example: "  slipway release list --project Shop --limit 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			owner, err := kind.Project().Find(cmd.Context(), cl, project)
			if err != nil {
				return err
			}
			k := kind.Release()
			k.Path = "projects/" + url.PathEscape(owner.ID()) + "/releases"
			k.Names = []string{k.Path[:len(k.Path)-len("releases")] + "channels"}
			return k.ListAll(cmd, c, cl, nil, limit)
		},
	}
	projectFlag(cmd, &project)
	cmd.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	return cmd
}

func get(c *console.Console) *cobra.Command {
	var project, version string
	cmd := &cobra.Command{
		Use: "get", Aliases: []string{"view", "show"}, Short: "Show one release",
		Example: "  slipway release get --project Shop --version 1.2.0",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, project, version)
			if err != nil {
				return err
			}
			k := kind.Release()
			k.Names = []string{"projects/" + url.PathEscape(doc.Text("ProjectId")) + "/channels"}
			return k.PrintOne(cmd.Context(), c, cl, doc)
		},
	}
	projectFlag(cmd, &project)
	versionFlag(cmd, &version)
	return cmd
}

func remove(c *console.Console) *cobra.Command {
	var project, version string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Aliases: []string{"rm"}, Short: "Delete a release with its deployments",
		Example: "  slipway release delete --project Shop --version 1.2.0 --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := find(cmd.Context(), cl, project, version)
			if err != nil {
				return err
			}
			return kind.Release().Remove(cmd, c, cl, doc, yes)
		},
	}
	projectFlag(cmd, &project)
	versionFlag(cmd, &version)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
