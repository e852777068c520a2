package configure

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// MaxFile is the size of the largest file that is configured, in bytes (abuse
// 56); larger ones fail the run.
const MaxFile = 16 << 20

// files reads and replaces files below a folder. A dry run keeps replacements
// in memory, so that a later feature sees what an earlier one would have
// written.
type files struct {
	root    *os.Root
	fsys    fs.FS
	dry     bool
	written map[string][]byte // of a dry run
	plain   map[string]bool   // folders known to be no symbolic link
}

func newFiles(root *os.Root, dry bool) *files {
	return &files{root: root, fsys: root.FS(), dry: dry, written: map[string][]byte{}, plain: map[string]bool{".": true}}
}

type file struct {
	path string
	raw  []byte
	mode fs.FileMode
}

// errFolder says that a target is a folder.
var errFolder = errors.New("is a folder")

// find lists the files that a target names: the file of exactly this name, or
// else those that the glob matches, in order. A target outside of the folder is
// an error; a folder is errFolder.
func (f *files) find(target string) ([]string, error) {
	name := path.Clean(strings.ReplaceAll(target, `\`, "/"))
	if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") || strings.Contains(name, "/../") || hasDrive(name) {
		return nil, errors.New("the path leads out of the package; name a file inside of it")
	}
	if info, err := f.root.Lstat(name); err == nil {
		if info.IsDir() {
			return nil, errFolder
		}
		return []string{name}, nil
	}
	if !doublestar.ValidatePattern(name) {
		return nil, errors.New("the path is not a valid pattern")
	}
	options := []doublestar.GlobOption{doublestar.WithFilesOnly(), doublestar.WithNoFollow(), doublestar.WithFailOnIOErrors()}
	if caseless() {
		options = append(options, doublestar.WithCaseInsensitive())
	}
	found, err := doublestar.Glob(f.fsys, name, options...)
	if err != nil {
		return nil, fmt.Errorf("look for files: %w", err)
	}
	slices.Sort(found)
	return slices.DeleteFunc(found, isTemporary), nil
}

func hasDrive(name string) bool { return len(name) > 1 && name[1] == ':' }

func caseless() bool { return runtime.GOOS == "windows" }

// targets finds the files of all globs, each once: a file that two globs match
// must not be substituted twice (abuse 63).
func (r *run) targets(globs []string, feature string, quiet bool) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	for _, glob := range globs {
		found, err := r.files.find(glob)
		if errors.Is(err, errFolder) {
			r.warn("%s: '%s' is a folder and was skipped; name its files, for example %s/**", feature, glob, strings.TrimRight(glob, `/\`))
			continue
		}
		if err != nil {
			return nil, fileError(glob, 0, "", err)
		}
		if len(found) == 0 && !quiet {
			r.warn("%s: no file matches '%s'", feature, glob)
		}
		for _, p := range found {
			key := p
			if caseless() || runtime.GOOS == "darwin" {
				key = strings.ToLower(p)
			}
			if !seen[key] {
				seen[key] = true
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// walk lists the files with the extension, in any case, in order; links are
// passed by.
func (f *files) walk(extension string) ([]string, error) {
	var found []string
	err := fs.WalkDir(f.fsys, ".", func(p string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.EqualFold(path.Ext(p), extension) && !isTemporary(p) {
			found = append(found, p)
		}
		return err
	})
	return found, err
}

// read opens a regular file that no symbolic link leads to.
func (f *files) read(name string) (*file, error) {
	if err := f.noLinks(path.Dir(name)); err != nil {
		return nil, err
	}
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("look at the file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is a symbolic link or no ordinary file; name the file itself")
	}
	if raw, ok := f.written[name]; ok {
		return &file{path: name, raw: raw, mode: info.Mode().Perm()}, nil
	}
	if info.Size() > MaxFile {
		return nil, errTooLarge()
	}
	opened, err := f.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", err)
	}
	defer func() { _ = opened.Close() }()
	if now, err := opened.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, errors.New("the file was exchanged while it was read; run the step again")
	}
	raw, err := io.ReadAll(io.LimitReader(opened, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if len(raw) > MaxFile {
		return nil, errTooLarge()
	}
	return &file{path: name, raw: raw, mode: info.Mode().Perm()}, nil
}

func errTooLarge() error {
	return fmt.Errorf("it is larger than %d MiB; take it out of the step's files", MaxFile>>20)
}

// noLinks refuses folders that are symbolic links: one file would have two
// names, and would be configured twice.
func (f *files) noLinks(dir string) error {
	if f.plain[dir] {
		return nil
	}
	if err := f.noLinks(path.Dir(dir)); err != nil {
		return err
	}
	info, err := f.root.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the folder %s: %w", dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the folder %s is a symbolic link; name the file by its own path", dir)
	}
	f.plain[dir] = true
	return nil
}

// replace puts the new bytes in place of the file, whole or not at all, and
// keeps its mode.
func (f *files) replace(old *file, after []byte) (err error) {
	if f.dry {
		f.written[old.path] = after
		return nil
	}
	temporary := path.Join(path.Dir(old.path), "."+path.Base(old.path)+temporarySuffix)
	if err := f.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a run that was killed
		return fmt.Errorf("clear the way for the new file: %w", err)
	}
	opened, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the new file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.root.Remove(temporary))
		}
	}()
	_, err = opened.Write(after)
	if err == nil {
		err = opened.Chmod(old.mode)
	}
	if err == nil {
		err = opened.Sync()
	}
	if closed := opened.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the new file: %w", err)
	}
	if err := f.root.Rename(temporary, old.path); err != nil {
		return fmt.Errorf("put the new file in place: %w", err)
	}
	return nil
}

const temporarySuffix = ".slipway-new"

func isTemporary(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, temporarySuffix)
}
