package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

func download(c *console.Console) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use: "download ID", Aliases: []string{"get"}, Short: "Download an artifact",
		Long: "Download an artifact: into this folder under the name its script gave it, or to the file in\n" +
			"--out (- for standard output). The file appears whole and checked, or not at all; one that is\n" +
			"there already is left alone without --force.",
		Example: "  slipway artifact download Artifacts-ServerTasks-1.0.0.Machines-1.1.0\n" +
			"  slipway artifact download Artifacts-ServerTasks-1.0.0.Machines-1.1.0 -o report.html",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			a, err := cl.Artifact(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if out == "-" {
				return cl.Download(cmd.Context(), a, c.Out)
			}
			target, err := fileFor(a, out)
			if err != nil {
				return err
			}
			if err := save(cmd.Context(), cl, a, target, force); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Downloaded %s to %s.", console.Printable(a.Filename), target)},
				Basic: []string{target},
				JSON:  map[string]any{"File": target, "Artifact": a},
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file or folder to write to, - for standard output (default: its own name)")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// fileFor is the file to write. A script's name for its file chooses nothing
// but the last part of that (abuse 54).
func fileFor(a client.Artifact, out string) (string, error) {
	folder := out
	if out == "" {
		folder = "."
	} else if info, err := os.Stat(out); err != nil || !info.IsDir() {
		return out, nil //nolint:nilerr // what is not there will be a file
	}
	name := console.Printable(a.Filename)
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if !filepath.IsLocal(name) || name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\n\t:") {
		return "", console.Usagef("%q is no name for a file here; choose one with --out", console.Printable(a.Filename))
	}
	return filepath.Join(folder, name), nil
}

// save writes the artifact beside its place and moves it there when it is
// whole.
func save(ctx context.Context, cl *client.Client, a client.Artifact, target string, force bool) (err error) {
	if _, err := os.Lstat(target); err == nil && !force {
		return resource.Errorf(resource.Conflict, "%s exists already. Choose another --out, or add --force to replace it.", target)
	}
	part, err := os.CreateTemp(filepath.Dir(target), ".artifact-*")
	if err != nil {
		return console.Usagef("%w", err)
	}
	defer func() {
		if gone := os.Remove(part.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	err = cl.Download(ctx, a, io.Writer(part))
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), target); err != nil {
		return fmt.Errorf("keep the artifact: %w", err)
	}
	return nil
}
