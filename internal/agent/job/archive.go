package job

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/slipwayhq/slipway/internal/agent/packagestore"
	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/packages"
)

// open hashes the package in the store again and opens it. A package that is
// not there, or not what it was, is the server's to send again: nothing has
// started (abuse 55, fault 42).
func (a *attempt) open(p *agentrpc.Package) (*os.File, error) {
	f, err := a.env.Packages.Open(p.GetSha256())
	var mismatch *packagestore.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return nil, notStarted("the package %s %s in this machine's store was altered: it has digest %s instead of %s, and was removed",
			p.GetPackageId(), p.GetVersion(), mismatch.Got, mismatch.Want)
	case errors.Is(err, packagestore.ErrMissing):
		return nil, notStarted("the package %s %s is not in this machine's store", p.GetPackageId(), p.GetVersion())
	case err != nil:
		return nil, notStarted("the package %s %s cannot be read: %v", p.GetPackageId(), p.GetVersion(), err)
	}
	a.archives = append(a.archives, f)
	return f, nil
}

// extract unpacks into the folder, which nobody else may see yet.
func (a *attempt) extract(ctx context.Context, p *agentrpc.Package, f *os.File, dir string) (packages.Extracted, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return packages.Extracted{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return packages.Extracted{}, errors.Join(err, root.Close())
	}
	done, err := packages.Extract(ctx, packages.Source{Reader: f, Size: info.Size(), Ext: p.GetExtension()}, root, packages.ExtractOptions{
		Limits: packages.DefaultLimits(), Windows: runtime.GOOS == "windows", Now: a.env.Clock(),
	})
	for _, warning := range done.Warnings {
		a.log.Print(script.Warning, warning)
	}
	return done, errors.Join(err, root.Close())
}

// place names the variables of one package reference (configuration.md 2.6).
func place(p *agentrpc.Package, what string) string {
	if p.GetName() == "" {
		return "Octopus.Action.Package." + what
	}
	return "Octopus.Action.Package[" + p.GetName() + "]." + what
}

// provide puts a referenced package into the current folder: unpacked in a
// folder of its name, or as a file.
func (a *attempt) provide(ctx context.Context, p *agentrpc.Package) error {
	f, err := a.open(p)
	if err != nil {
		return err
	}
	target := filepath.Join(a.current, segment(p.GetName()))
	if p.GetExtract() {
		if err := os.Mkdir(target, 0o700); err != nil {
			return err
		}
		if _, err := a.extract(ctx, p, f, target); err != nil {
			return err
		}
		a.put(place(p, "ExtractedPath"), target)
		return nil
	}
	name := segment(p.GetName()) + p.GetExtension()
	if err := copyNew(f, filepath.Join(a.current, name)); err != nil {
		return err
	}
	a.put(place(p, "PackageFilePath"), filepath.Join(a.current, name))
	a.put(place(p, "PackageFileName"), name)
	a.put(place(p, "OriginalPath"), filepath.Join(a.current, name))
	return nil
}

func copyNew(from io.Reader, to string) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}
