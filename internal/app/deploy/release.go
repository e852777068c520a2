package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// NewRelease asks for a release. Projects and channels go by id, slug or name.
type NewRelease struct {
	Project            string
	Channel            string // "": the default one
	Version            string // "": the next one by the project's template
	PackageVersion     string // of every package that nothing more exact names
	PackagePrerelease  string // the tag that a latest version has to have; "" for any
	Packages           []PackageSpec
	Selected           []resource.SelectedPackage // by action and reference; from the release document
	Notes              string
	CustomFields       map[string]string
	IgnoreIfExists     bool
	IgnoreChannelRules bool
}

// CreateRelease freezes process, variables and package digests under a
// version. made is false when it exists already and that was allowed.
func (s *Service) CreateRelease(ctx context.Context, who app.Caller, space string, in NewRelease) (release *resource.Release, made bool, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		project, err := findProject(tx, who, space, in.Project, authz.ReleaseCreate)
		if err != nil {
			return err
		}
		release, made, err = createRelease(tx, who, project, in)
		return err
	})
	return release, made, err
}

func createRelease(tx *store.Tx, who app.Caller, project *resource.Project, in NewRelease) (*resource.Release, bool, error) {
	channel, err := findChannel(tx, project, in.Channel)
	if err != nil {
		return nil, false, err
	}
	if len(channel.Rules) > 0 && !in.IgnoreChannelRules {
		return nil, false, resource.Errorf(resource.Invalid, "Channel '%s' has version rules, which this version of Slipway does not check. Pass IgnoreChannelRules to create the release all the same.", channel.Name)
	}
	process, err := store.Get[resource.DeploymentProcess](tx, project.DeploymentProcessID)
	if err != nil {
		return nil, false, err
	}
	version, err := versionFor(tx, project, in.Version)
	if err != nil {
		return nil, false, err
	}
	if old, err := findRelease(tx, project, version); err == nil {
		if in.IgnoreIfExists {
			return old, false, nil
		}
		return nil, false, resource.Errorf(resource.Invalid, "Release '%s' already exists for project '%s'. Please use a different version, or deploy the existing one.", version, project.Name)
	}
	release := &resource.Release{
		ProjectID: project.ID, ChannelID: channel.ID, Version: version, ReleaseNotes: in.Notes, CustomFields: in.CustomFields,
		IgnoreChannelRules: in.IgnoreChannelRules, Assembled: resource.TimeOf(tx.Now()), AssembledBy: who.Username,
	}
	release.SpaceID = project.SpaceID
	if release.SelectedPackages, err = selectPackages(tx, process, in); err != nil {
		return nil, false, err
	}
	if err := snapshot(tx, project, process, release); err != nil {
		return nil, false, err
	}
	if err := store.Insert(tx, release); err != nil {
		return nil, false, err
	}
	return release, true, audit(tx, resource.EventCreated, fmt.Sprintf("Release %s of %s was created", version, project.Name), project.SpaceID,
		release.ID, project.ID, channel.ID)
}

// snapshot copies the process and the variable sets as they are now.
func snapshot(tx *store.Tx, project *resource.Project, process *resource.DeploymentProcess, release *resource.Release) error {
	id := resource.SnapshotID(process.ID, process.Version, unique(tx))
	if err := store.Reseal(tx, process, id); err != nil {
		return err
	}
	release.ProjectDeploymentProcessSnapshotID = id
	owners := append([]string{project.ID}, project.IncludedLibraryVariableSetIDs...)
	for i, owner := range owners {
		copied, err := snapshotVariables(tx, owner)
		if err != nil {
			return err
		}
		if i == 0 {
			release.ProjectVariableSetSnapshotID = copied
			continue
		}
		release.LibraryVariableSetSnapshotIDs = append(release.LibraryVariableSetSnapshotIDs, copied)
	}
	return nil
}

func snapshotVariables(tx *store.Tx, owner string) (string, error) {
	set, err := store.Get[resource.VariableSet](tx, resource.VariableSetID(owner))
	if err != nil {
		return "", err
	}
	id := resource.SnapshotID(set.ID, set.Version, unique(tx))
	return id, store.Reseal(tx, set, id)
}

// unique is the part of a snapshot's id that makes it the only one: five
// characters of A–Z and 0–9.
func unique(tx *store.Tx) string {
	return strings.ToUpper(strings.ReplaceAll(tx.NewGUID(), "-", "")[:5])
}

func versionFor(tx *store.Tx, project *resource.Project, asked string) (string, error) {
	if asked != "" {
		return strings.TrimSpace(asked), nil
	}
	last, err := lastVersion(tx, project)
	if err != nil {
		return "", err
	}
	template := resource.DefaultVersionTemplate
	if s := project.VersioningStrategy; s != nil && s.Template != "" {
		template = s.Template
	}
	version, err := NextVersion(template, last)
	if err != nil {
		return "", resource.Errorf(resource.Invalid, "The next version of '%s' cannot be made: %v. Give a version.", project.Name, err)
	}
	return version, nil
}

// lastVersion is the version of the project's newest release.
func lastVersion(tx *store.Tx, project *resource.Project) (string, error) {
	release, err := store.First[resource.Release](tx, store.Query{Space: project.SpaceID, Where: map[string][]string{"ProjectId": {project.ID}}})
	if resource.CodeOf(err) == resource.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return release.Version, nil
}

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
