package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/slipwayhq/slipway/internal/agent/script"
)

// moveToCustomFolder copies the configured package over the folder that the
// step names, and goes on from there (configuration.md 5, step 11).
func (d *deployment) moveToCustomFolder(ctx context.Context) error {
	dir, err := d.exact(propCustomDir)
	if err != nil || dir == "" {
		return err
	}
	if err := d.checkCustom(dir); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the custom installation folder: %w", err)
	}
	from, err := os.OpenRoot(d.folder)
	if err != nil {
		return err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	c := &copier{ctx: ctx, log: d.log, from: from, to: to, temp: ".slipway-" + hiddenName(d.env.Attempt)}
	if d.flag(propPurge, false) {
		d.log.Print(script.Info, "Purging "+dir)
		err = purge(to, d.vars.GetPaths(propPurgeKeep))
	}
	if err == nil {
		err = c.run()
	}
	if err := errors.Join(err, from.Close(), to.Close()); err != nil {
		return fmt.Errorf("copy to the custom installation folder %s: %w", dir, err)
	}
	d.log.Print(script.Info, fmt.Sprintf("Copied %d files to %s; %d of them were the same already", c.files, dir, c.same))
	d.current = dir
	d.output(outputInstallDir, dir)
	d.output(outputLegacyDir, dir)
	d.output(outputCopied, strconv.Itoa(c.files))
	return nil
}

// checkCustom refuses folders that would make a package copy over itself, or a
// purge take other packages with it.
func (d *deployment) checkCustom(dir string) error {
	root, err := d.applications()
	switch {
	case err != nil:
		return err
	case !filepath.IsAbs(dir):
		return failed(0, "the custom installation folder %q is not an absolute path; correct it in the step", dir)
	case inside(dir, d.folder):
		return failed(0, "the custom installation folder %s is inside the extracted package %s; choose another", dir, d.folder)
	case inside(root, dir) || inside(d.env.Dir, dir):
		return failed(0, "the custom installation folder %s holds the agent's own folders; choose another", dir)
	}
	return nil
}

// inside says whether name is dir or below it.
func inside(name, dir string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(name))
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// purge empties the folder except for what the globs keep; a folder that is
// kept keeps all that is in it.
func purge(root *os.Root, keep []string) error {
	kept := func(name string) bool {
		for _, glob := range keep {
			if matches(glob, name) {
				return true
			}
		}
		return false
	}
	_, err := purgeFolder(root, ".", kept)
	return err
}

func purgeFolder(root *os.Root, dir string, kept func(string) bool) (empty bool, err error) {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return false, err
	}
	empty = true
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		gone := false
		switch {
		case kept(name):
		case e.IsDir():
			if gone, err = purgeFolder(root, name, kept); err == nil && gone {
				err = root.Remove(name)
			}
		default:
			gone, err = true, root.Remove(name)
		}
		if err != nil {
			return false, err
		}
		empty = empty && gone
	}
	return empty, nil
}

// matches compares a glob of the process with a clean relative path, as the
// machine's file system would.
func matches(glob, name string) bool {
	glob = strings.TrimSuffix(path.Clean(strings.ReplaceAll(strings.TrimSpace(glob), `\`, "/")), "/")
	if runtime.GOOS == "windows" {
		glob, name = strings.ToLower(glob), strings.ToLower(name)
	}
	ok, err := doublestar.Match(glob, name)
	return err == nil && ok
}

// copier copies a folder over another; each file appears whole, and one that
// is the same already is not written again.
type copier struct {
	ctx   context.Context //nolint:containedctx // lives for one copy
	log   *script.Log
	from  *os.Root
	to    *os.Root
	temp  string // a name for what is half-written
	files int
	same  int
}

func (c *copier) run() error {
	return fs.WalkDir(c.from.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case c.ctx.Err() != nil:
			return context.Cause(c.ctx)
		case e.IsDir():
			return c.to.MkdirAll(name, 0o755)
		case !e.Type().IsRegular():
			c.log.Print(script.Warning, name+" is neither a file nor a folder and is not copied")
			return nil
		}
		c.files++
		return c.file(name)
	})
}

func (c *copier) file(name string) (err error) {
	in, err := c.from.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if c.equal(name, in, info) {
		c.same++
		return nil
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	temp := path.Join(path.Dir(name), c.temp)
	if err := c.to.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := c.to.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil && runtime.GOOS != "windows" {
		err = out.Chmod(info.Mode().Perm())
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = errors.Join(c.to.Chtimes(temp, info.ModTime(), info.ModTime()), c.to.Rename(temp, name))
	}
	if err != nil {
		return errors.Join(err, c.to.RemoveAll(temp))
	}
	return nil
}

// equal says whether the file is there already with the same bytes and mode.
func (c *copier) equal(name string, in io.Reader, info fs.FileInfo) bool {
	there, err := c.to.Lstat(name)
	if err != nil || !there.Mode().IsRegular() || there.Size() != info.Size() || there.Mode() != info.Mode() {
		return false
	}
	old, err := c.to.Open(name)
	if err != nil {
		return false
	}
	defer old.Close()
	a, b := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, errA := io.ReadFull(in, a)
		m, errB := io.ReadFull(old, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) || (errA == nil) != (errB == nil) {
			return false
		}
		if errA != nil {
			return errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		}
	}
}
