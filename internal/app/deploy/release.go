package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
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
		project, err := namedProject(tx, who, space, in.Project, authz.ReleaseCreate)
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
	chosen, old, err := choose(tx, project, process, &in)
	if old != nil || err != nil {
		return old, false, err
	}
	release := &resource.Release{
		ProjectID: project.ID, ChannelID: channel.ID, Version: in.Version, ReleaseNotes: in.Notes, CustomFields: in.CustomFields, SelectedPackages: chosen,
		IgnoreChannelRules: in.IgnoreChannelRules, Assembled: resource.TimeOf(tx.Now()), AssembledBy: who.Username,
	}
	release.SpaceID = project.SpaceID
	if err := snapshot(tx, project, process, release); err != nil {
		return nil, false, err
	}
	if err := store.Insert(tx, release); err != nil {
		return nil, false, err
	}
	return release, true, audit(tx, resource.EventCreated, fmt.Sprintf("Release %s of %s was created", release.Version, project.Name), project.SpaceID,
		release.ID, project.ID, channel.ID)
}

// choose settles the release's version and packages, or finds the release that
// has the version already.
func choose(tx *store.Tx, project *resource.Project, process *resource.DeploymentProcess, in *NewRelease) (chosen []resource.SelectedPackage, old *resource.Release, err error) {
	in.Version = strings.TrimSpace(in.Version)
	if in.Version != "" {
		if old, err := existing(tx, project, in); old != nil || err != nil {
			return nil, old, err
		}
		chosen, err = selectPackages(tx, process, *in)
		return chosen, nil, err
	}
	if chosen, err = selectPackages(tx, process, *in); err != nil {
		return nil, nil, err
	}
	if in.Version, err = nextVersion(tx, project, chosen); err != nil {
		return nil, nil, err
	}
	old, err = existing(tx, project, in)
	return chosen, old, err
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
