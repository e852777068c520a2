package packaging

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/packages"
)

func pack(c *console.Console) *cobra.Command {
	var id, version, out string
	cmd := &cobra.Command{
		Use: "pack FOLDER --id ID --version VERSION", Short: "Make a package (a .zip) of a folder",
		Long: "Make a package of a folder: a .zip whose name carries id and version. The same files give the\n" +
			"same bytes, whenever and wherever it is made.",
		Example: "  slipway package pack ./publish --id Shop.Web --version 1.2.0\n  slipway package push Shop.Web.1.2.0.zip",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := filepath.Join(out, id+"."+version+".zip")
			if parsed, err := packages.ParseFileName(filepath.Base(name)); err != nil || parsed.ID != id || parsed.Version != version {
				return console.Usagef("--id %q and --version %q do not make a package name such as Shop.Web.1.2.0", id, version)
			}
			files, err := Pack(args[0], name)
			if err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Made %s from %d files.", name, files)},
				Basic: []string{name},
				JSON:  map[string]any{"File": name, "PackageId": id, "Version": version, "Files": files},
			})
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "package id, e.g. Shop.Web")
	cmd.Flags().StringVar(&version, "version", "", "version, e.g. 1.2.0")
	cmd.Flags().StringVarP(&out, "out", "o", ".", "folder to write the package to")
	// Both flags were declared above.
	_, _ = cmd.MarkFlagRequired("id"), cmd.MarkFlagRequired("version")
	return cmd
}

// Pack writes the regular files below folder to a new .zip and says how many
// they were. Entries are in name order and carry no times, so equal files make
// equal archives. Links are refused: what they lead to is not in the folder.
func Pack(folder, name string) (files int, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return 0, console.Usagef("%w", err)
	}
	defer root.Close()
	target, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("create package: %w", err)
	}
	archive := zip.NewWriter(target)
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		return addFile(archive, root, path)
	})
	if err := errors.Join(err, archive.Close(), target.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("pack %s: %w", folder, err), os.Remove(name))
	}
	if files == 0 {
		return 0, errors.Join(console.Usagef("%s holds no files", folder), os.Remove(name))
	}
	return files, nil
}

func addFile(archive *zip.Writer, root *os.Root, path string) error {
	info, err := root.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	header := &zip.FileHeader{Name: path, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	header.SetMode(mode)
	writer, err := archive.CreateHeader(header)
	if err != nil {
		return err
	}
	file, err := root.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(writer, file)
	return err
}
