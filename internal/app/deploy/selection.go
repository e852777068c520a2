package deploy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// selectPackages chooses a version for every package reference of the process
// and pins its digest.
func selectPackages(tx *store.Tx, process *resource.DeploymentProcess, in NewRelease) ([]resource.SelectedPackage, error) {
	var list []resource.SelectedPackage
	used := make([]bool, len(in.Packages))
	for i := range process.Steps {
		step := &process.Steps[i]
		for j := range step.Actions {
			action := &step.Actions[j]
			for k := range action.Packages {
				chosen, err := selectPackage(tx, process.SpaceID, step, action, &action.Packages[k], in, used)
				if err != nil {
					return nil, err
				}
				list = append(list, *chosen)
			}
		}
	}
	for i, spec := range in.Packages {
		if !used[i] {
			return nil, resource.Errorf(resource.Invalid, "No step of the process uses the package or step '%s'. Check the name in the package version you gave.", cmp.Or(spec.PackageOrStep, spec.Reference))
		}
	}
	return list, nil
}

func selectPackage(tx *store.Tx, space string, step *resource.Step, action *resource.Action, ref *resource.PackageReference, in NewRelease, used []bool) (*resource.SelectedPackage, error) {
	version := cmp.Or(ref.Version, in.PackageVersion)
	best := 0
	for i, spec := range in.Packages {
		weight := spec.matches(step, action, ref)
		used[i] = used[i] || weight > 0
		if weight > best {
			best, version = weight, spec.Version
		}
	}
	for _, selected := range in.Selected {
		if strings.EqualFold(selected.PackageReferenceName, ref.Name) &&
			(strings.EqualFold(selected.ActionName, action.Name) || selected.ActionName == "" && strings.EqualFold(selected.StepName, step.Name)) {
			version = selected.Version
		}
	}
	pkg, err := findPackage(tx, space, ref, version, in.PackagePrerelease)
	if err != nil {
		return nil, err
	}
	return &resource.SelectedPackage{
		ActionName: action.Name, StepName: step.Name, PackageReferenceName: ref.Name, Version: pkg.Version,
		FeedID: pkg.FeedID, PackageID: pkg.PackageID, Sha256: pkg.Sha256, SizeBytes: pkg.PackageSizeBytes, FileExtension: pkg.FileExtension,
	}, nil
}

// findPackage finds a version of a package in a built-in feed, the highest one
// when none is named.
func findPackage(tx *store.Tx, space string, ref *resource.PackageReference, version, prerelease string) (*resource.Package, error) {
	feed, err := store.Find[resource.Feed](tx, space, cmp.Or(ref.FeedID, resource.BuiltInFeed))
	if err != nil {
		return nil, asInvalid(err, "The feed '%s' of package '%s' does not exist.", ref.FeedID, ref.PackageID)
	}
	if !feed.IsBuiltIn() {
		return nil, resource.Errorf(resource.Invalid, "Package '%s' comes from feed '%s' of type %s; this version of Slipway deploys from the built-in feed only. Push the package there.", ref.PackageID, feed.Name, feed.FeedType)
	}
	list, _, err := store.List[resource.Package](tx, store.Query{Space: space, Where: map[string][]string{"FeedId": {feed.ID}, "PackageId": {ref.PackageID}}})
	if err != nil {
		return nil, err
	}
	var best *resource.Package
	for i := range list {
		if suits(&list[i], version, prerelease) && (best == nil || newer(list[i].Version, best.Version)) {
			best = &list[i]
		}
	}
	switch {
	case best != nil:
		return best, nil
	case version != "":
		return nil, resource.Errorf(resource.Invalid, "Version '%s' of package '%s' is not in the built-in feed. Push it, or choose one of: %s.", version, ref.PackageID, versionsOf(list))
	}
	return nil, resource.Errorf(resource.Invalid, "Package '%s' is not in the built-in feed. Push it first, for example with: slipway package push %s.1.0.0.zip", ref.PackageID, ref.PackageID)
}

func suits(p *resource.Package, version, prerelease string) bool {
	if version != "" {
		return same(p.Version, version)
	}
	if prerelease == "" {
		return true
	}
	v, err := packages.ParseOctopus(p.Version)
	return err == nil && len(v.Labels) > 0 && strings.EqualFold(v.Labels[0], prerelease)
}

func same(a, b string) bool {
	va, errA := packages.ParseOctopus(a)
	vb, errB := packages.ParseOctopus(b)
	return strings.EqualFold(a, b) || errA == nil && errB == nil && va.Precedence(vb) == 0
}

func newer(a, b string) bool {
	va, errA := packages.ParseOctopus(a)
	vb, errB := packages.ParseOctopus(b)
	return errA == nil && (errB != nil || va.Precedence(vb) > 0)
}

// versionsOf names up to five versions, newest first.
func versionsOf(list []resource.Package) string {
	if len(list) == 0 {
		return "none is there"
	}
	slices.SortFunc(list, func(a, b resource.Package) int {
		if newer(a.Version, b.Version) {
			return -1
		}
		return 1
	})
	var names []string
	for i := range list[:min(5, len(list))] {
		names = append(names, list[i].Version)
	}
	return strings.Join(names, ", ")
}
