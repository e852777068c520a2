package shop

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed all:files
var source embed.FS

// WriteSource writes the sources of one version of the shop's package into
// folder, unconfigured: as a build would hand it over, the same for every
// environment.
func WriteSource(folder, version, title string) error {
	replace := strings.NewReplacer("@VERSION@", version, "@TITLE@", title)
	return fs.WalkDir(source, "files", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(path, "files")))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := source.ReadFile(path)
		if err != nil {
			return fmt.Errorf("write shop: %w", err)
		}
		return os.WriteFile(target, []byte(replace.Replace(string(data))), 0o644)
	})
}
