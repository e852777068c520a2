package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"time"
)

// ExtractOptions say how Extract behaves on this machine.
type ExtractOptions struct {
	Limits Limits
	// Windows applies Windows' rules for file names and refuses entries that
	// differ only in case (abuse 46).
	Windows bool
	// Now is the time that no file's time stamp may be later than.
	Now time.Time
}

// Extracted is what Extract wrote.
type Extracted struct {
	Files    []string // clean relative slash paths, in the archive's order
	Bytes    int64
	Warnings []string
}

// Extract unpacks src into root, which should be a fresh folder that nobody
// else sees: on an error part of the archive may be there. Every entry is
// vetted again, whatever Inspect said of the same bytes elsewhere; nothing is
// overwritten, linked, or written outside root; modes are cut to 0755
// (abuse 43-48).
func Extract(ctx context.Context, src Source, root *os.Root, o ExtractOptions) (Extracted, error) {
	x := &extraction{ctx: ctx, root: root, options: o, buffer: make([]byte, 1<<17)}
	w := &walker{}
	x.portable = func() error { return w.unportable }
	err := w.walk(src, o.Limits, x.visit)
	if err == nil {
		err = x.stampFolders()
	}
	x.done.Warnings = w.warnings
	return x.done, err
}

type extraction struct {
	ctx      context.Context //nolint:containedctx // lives for one call of Extract
	root     *os.Root
	options  ExtractOptions
	portable func() error
	buffer   []byte
	folders  []stamped
	done     Extracted
}

type stamped struct {
	name     string
	modified time.Time
}

func (x *extraction) visit(e *entry) error {
	if err := context.Cause(x.ctx); err != nil {
		return &visitError{err}
	}
	if err := x.portable(); err != nil && x.options.Windows {
		return err
	}
	switch {
	case e.skip || e.nuspec || e.kind == link:
		return nil
	case e.kind == folder:
		x.folders = append(x.folders, stamped{e.name, e.modified})
		return onDisk(x.root.MkdirAll(e.name, 0o755))
	}
	if dir := path.Dir(e.name); dir != "." {
		if err := onDisk(x.root.MkdirAll(dir, 0o755)); err != nil {
			return err
		}
	}
	n, err := x.file(e)
	if err != nil {
		return err
	}
	x.done.Files = append(x.done.Files, e.name)
	x.done.Bytes += n
	return nil
}

func (x *extraction) file(e *entry) (n int64, err error) {
	mode := e.mode | 0o600
	out, err := x.root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return 0, refused(e.name, "has the same name as another on this machine's file system")
	}
	if err != nil {
		return 0, onDisk(err)
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = onDisk(closeErr)
		}
	}()
	body := e.body
	if e.hardLink != "" {
		twin, err := x.root.Open(e.hardLink)
		if err != nil {
			return 0, onDisk(err)
		}
		defer twin.Close()
		body = twin
	}
	if n, err = io.CopyBuffer(diskWriter{out}, struct{ io.Reader }{body}, x.buffer); err != nil {
		return n, err
	}
	if runtime.GOOS != "windows" {
		if err := out.Chmod(mode); err != nil {
			return n, onDisk(err)
		}
	}
	if modified, ok := notInFuture(e.modified, x.options.Now); ok {
		return n, onDisk(x.root.Chtimes(e.name, modified, modified))
	}
	return n, nil
}

// stampFolders sets the folders' times last, since writing into them moves
// them.
func (x *extraction) stampFolders() error {
	for _, f := range x.folders {
		if modified, ok := notInFuture(f.modified, x.options.Now); ok {
			if err := x.root.Chtimes(f.name, modified, modified); err != nil {
				return fmt.Errorf("set time of %s: %w", f.name, err)
			}
		}
	}
	return nil
}

// onDisk keeps the machine's own errors from being blamed on the archive.
func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &visitError{fmt.Errorf("extract: %w", err)}
}

type diskWriter struct{ f *os.File }

func (w diskWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	return n, onDisk(err)
}
