package job

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/packages"
)

// deployment is the action Octopus.TentaclePackage while it runs.
type deployment struct {
	*attempt

	pkg     *agentrpc.Package
	folder  string          // the extracted package, absolute
	files   []string        // of the package, clean and relative
	removed map[string]bool // those that the agent itself has removed again
}

// errSkip ends the stages early, as success (configuration.md 5).
var errSkip = errors.New("the remaining stages are skipped")

// deploy installs, configures and proves the action's package.
func (a *attempt) deploy(ctx context.Context) error {
	d := &deployment{attempt: a, removed: map[string]bool{}}
	for _, p := range a.job.GetPackages() {
		if p.GetName() == "" {
			d.pkg = p
		}
	}
	if d.pkg == nil {
		return failed(0, "the action names no package; choose one in the step")
	}
	if err := d.install(ctx); err != nil {
		return err
	}
	err := d.stages(ctx)
	if errors.Is(err, errSkip) {
		err = nil
	}
	if err != nil && ctx.Err() == nil {
		d.afterFailure(ctx, err)
	}
	cleaned := d.deletePackaged("DeployFailed")
	if err != nil {
		return err
	}
	if cleaned != nil {
		return cleaned
	}
	return d.prove(ctx)
}

// stages are the steps of configuration.md 5 behind the extraction, in order.
func (d *deployment) stages(ctx context.Context) error {
	for _, stage := range []func(context.Context) error{
		func(ctx context.Context) error { return d.configured(ctx, "PreDeploy") },
		func(ctx context.Context) error { return d.packaged(ctx, "PreDeploy") },
		func(context.Context) error { return d.configure(d.current) },
		d.moveToCustomFolder,
		func(ctx context.Context) error { return d.packaged(ctx, "Deploy") },
		func(ctx context.Context) error { return d.configured(ctx, "Deploy") },
		func(ctx context.Context) error { return d.packaged(ctx, "PostDeploy") },
		func(ctx context.Context) error { return d.configured(ctx, "PostDeploy") },
	} {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := stage(ctx); err != nil {
			return err
		}
		if d.flag(propSkipRemaining, false) {
			d.log.Print(script.Verbose, propSkipRemaining+" is set: the remaining stages are skipped.")
			return errSkip
		}
	}
	return nil
}

// afterFailure runs the DeployFailed scripts; their own failure is only told.
func (d *deployment) afterFailure(ctx context.Context, cause error) {
	reason := d.log.Mask(sentence(cause))
	d.put(varLastError, reason)
	d.put(varLastMessage, reason)
	for _, run := range []func(context.Context, string) error{d.packaged, d.configured} {
		if err := run(ctx, "DeployFailed"); err != nil {
			d.log.Print(script.Error, "DeployFailed: "+sentence(err))
		}
	}
}

// install extracts the package and makes it visible under its final name.
func (d *deployment) install(ctx context.Context) error {
	f, err := d.open(d.pkg)
	if err != nil {
		return err
	}
	root, err := d.applications()
	if err != nil {
		return err
	}
	if err := d.enoughSpace(root); err != nil {
		return err
	}
	place, err := newPlace(root, d.env.Attempt, d.text(propTenant), d.text(propEnvironment), d.pkg)
	if err != nil {
		return err
	}
	d.log.Print(script.Info, "Extracting "+d.pkg.GetPackageId()+" "+d.pkg.GetVersion())
	done, err := d.extract(ctx, d.pkg, f, place.hidden())
	fail.Point(fail.Extracted)
	if err == nil {
		d.folder, err = place.publish()
	}
	fail.Point(fail.Installed)
	if err := errors.Join(err, place.close()); err != nil {
		return err
	}
	d.installed = true
	d.announce(done)
	return nil
}

func (d *deployment) announce(done packages.Extracted) {
	d.files, d.current = done.Files, d.folder
	d.put(varOriginalFolder, d.folder)
	d.output(outputInstallDir, d.folder)
	d.output(outputLegacyDir, d.folder)
	d.output(outputExtracted, strconv.Itoa(len(done.Files)))
	archive := d.archives[0].Name()
	for name, value := range map[string]string{
		"ExtractedPath": d.folder, "OriginalPath": archive, "PackageFilePath": archive,
		"PackageFileName": d.pkg.GetPackageId() + "." + d.pkg.GetVersion() + d.pkg.GetExtension(),
	} {
		d.put(place(d.pkg, name), value)
	}
	d.put("Octopus.Tentacle.CurrentDeployment.PackageFilePath", archive)
	d.log.Print(script.Info, "Extracted "+strconv.Itoa(len(done.Files))+" files to "+d.folder)
}

// applications is the folder that packages are installed below.
func (d *deployment) applications() (string, error) {
	root, err := d.exact(propApplications)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(root) {
		return "", failed(0, "%s is %q; it has to be an absolute path", propApplications, root)
	}
	return filepath.Clean(root), nil
}

// leastFree is what has to be free before anything is extracted, in MB.
const leastFree = 500

func (d *deployment) enoughSpace(dir string) error {
	if d.flag(propSkipFree, false) {
		return nil
	}
	need := leastFree
	if n, ok := d.vars.GetInt(propFreeOverride); ok {
		need = n
	}
	free, err := d.env.Free(existing(dir))
	if err != nil {
		return notStarted("the free space of %s cannot be read: %v", dir, err)
	}
	if free>>20 < int64(need) {
		return notStarted("the machine's disk is full: %d MB are free below %s and %d MB have to be; free some, or set %s", free>>20, dir, need, propFreeOverride)
	}
	return nil
}
