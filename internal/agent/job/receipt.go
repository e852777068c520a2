package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// maxReceipt bounds a receipt's size on the wire, in bytes.
const maxReceipt = 24 << 20

// prove reads back from the disk what the deployment left there: the archive,
// and after the last script every file that is installed (design P1). A
// package that was altered in the store meanwhile, or a file of it that is
// gone, fails the attempt.
func (d *deployment) prove(ctx context.Context) error {
	got, err := d.env.Packages.Hash(d.pkg.GetSha256())
	if err != nil {
		return failed(0, "the package in this machine's store cannot be read again: %v", err)
	}
	if got != d.pkg.GetSha256() {
		return failed(0, "the package in this machine's store was altered while it was deployed: it has digest %s instead of %s", got, d.pkg.GetSha256())
	}
	root, err := os.OpenRoot(d.current)
	if err != nil {
		return failed(0, "the installation folder cannot be read again: %v", err)
	}
	files, err := d.hashes(ctx, root)
	if err := errors.Join(err, syncFiles(root), root.Close()); err != nil {
		return err
	}
	d.receipt = &agentrpc.Receipt{
		Attempt: d.env.Attempt, PackageId: d.pkg.GetPackageId(), Version: d.pkg.GetVersion(),
		PackageSha256: got, InstallDir: d.current, Files: files,
	}
	return nil
}

// hashes reads every file below the installation folder, or in a custom one,
// where other things may live, the package's own.
func (d *deployment) hashes(ctx context.Context, root *os.Root) ([]*agentrpc.FileHash, error) {
	expected := map[string]bool{}
	for _, name := range d.files {
		expected[name] = !d.removed[name]
	}
	custom := d.current != d.folder
	h := &hasher{ctx: ctx, root: root, buffer: make([]byte, 1<<17)}
	for _, name := range d.files {
		if !custom || !expected[name] {
			continue
		}
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() {
			if err := h.add(name); err != nil {
				return nil, err
			}
			delete(expected, name)
		}
	}
	if !custom {
		err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			delete(expected, name)
			return h.add(name)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := d.missing(expected); err != nil {
		return nil, err
	}
	slices.SortFunc(h.files, func(a, b *agentrpc.FileHash) int { return strings.Compare(a.GetPath(), b.GetPath()) })
	return h.files, nil
}

// missing judges the package's files that were expected and not found.
func (d *deployment) missing(expected map[string]bool) error {
	allowed := d.vars.GetPaths(propMayVanish)
	var gone []string
	for name, wanted := range expected {
		if wanted && !slices.ContainsFunc(allowed, func(glob string) bool { return matches(glob, name) }) {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	more := ""
	if len(gone) > 5 {
		more = fmt.Sprintf(" and %d more", len(gone)-5)
	}
	return failed(0, "files of the package are missing from %s: %s%s. If the scripts remove them on purpose, list them in %s",
		d.current, strings.Join(gone[:min(len(gone), 5)], ", "), more, propMayVanish)
}

type hasher struct {
	ctx    context.Context //nolint:containedctx // lives for one receipt
	root   *os.Root
	buffer []byte
	files  []*agentrpc.FileHash
	size   int
}

func (h *hasher) add(name string) (err error) {
	if h.ctx.Err() != nil {
		return context.Cause(h.ctx)
	}
	if h.size += len(name) + 90; h.size > maxReceipt {
		return failed(0, "the installed files are too many to list in a receipt; pack fewer files")
	}
	f, err := h.root.Open(name)
	if err != nil {
		return fmt.Errorf("read %s again: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{f}, h.buffer)
	if err != nil {
		return fmt.Errorf("read %s again: %w", name, err)
	}
	h.files = append(h.files, &agentrpc.FileHash{Path: name, Size: n, Sha256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}
