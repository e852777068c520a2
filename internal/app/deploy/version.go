package deploy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// NextVersion fills a versioning template (octopus-api.md 1.9). last is the version of the
// project's newest release, "" when there is none: the first release
// of the default template is 0.0.1.
func NextVersion(template, last string) (string, error) {
	v, err := packages.ParseOctopus(last)
	if last == "" || err != nil {
		v = packages.Version{}
	}
	parts := map[string]int32{"major": v.Numbers[0], "minor": v.Numbers[1], "patch": v.Numbers[2], "build": v.Numbers[2], "revision": v.Numbers[3]}
	text := template
	for {
		start := strings.Index(text, "#{")
		if start < 0 {
			return text, nil
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return "", fmt.Errorf("version template %q: '#{' without '}'", template)
		}
		name := strings.TrimSpace(text[start+2 : start+end])
		value, err := versionPart(name, parts)
		if err != nil {
			return "", fmt.Errorf("version template %q: %w", template, err)
		}
		text = text[:start] + value + text[start+end+1:]
	}
}

func versionPart(name string, parts map[string]int32) (string, error) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "octopus.version.")
	if part, last := strings.CutPrefix(rest, "last"); ok && last {
		if n, known := parts[part]; known {
			return strconv.Itoa(int(n)), nil
		}
	}
	if part, next := strings.CutPrefix(rest, "next"); ok && next {
		if n, known := parts[part]; known {
			return strconv.Itoa(int(n) + 1), nil
		}
	}
	return "", fmt.Errorf("#{%s} is not known; use Octopus.Version.Last… or Next… with Major, Minor, Patch or Revision", name)
}

// existing is the release that has the version already, where that is allowed;
// nil when there is none.
func existing(tx *store.Tx, project *resource.Project, in *NewRelease) (*resource.Release, error) {
	old, err := findRelease(tx, project, in.Version)
	switch {
	case resource.CodeOf(err) == resource.Invalid:
		return nil, nil
	case err != nil:
		return nil, err
	case in.IgnoreIfExists:
		return old, nil
	}
	return nil, resource.Errorf(resource.Invalid, "Release '%s' already exists for project '%s'. Please use a different version, or deploy the existing one.", in.Version, project.Name)
}

// nextVersion is the version of a release that was given none: by the
// project's template, or the version of its donor package.
func nextVersion(tx *store.Tx, project *resource.Project, chosen []resource.SelectedPackage) (string, error) {
	template := resource.DefaultVersionTemplate
	if s := project.VersioningStrategy; s != nil && s.DonorPackage != nil {
		return donorVersion(project, *s.DonorPackage, chosen)
	} else if s != nil && s.Template != "" {
		template = s.Template
	}
	last, err := lastVersion(tx, project)
	if err != nil {
		return "", err
	}
	version, err := NextVersion(template, last)
	if err != nil {
		return "", resource.Errorf(resource.Invalid, "The next version of '%s' cannot be made: %v. Give a version.", project.Name, err)
	}
	return version, nil
}

func donorVersion(project *resource.Project, donor resource.DeploymentActionPackage, chosen []resource.SelectedPackage) (string, error) {
	for i := range chosen {
		if p := &chosen[i]; strings.EqualFold(p.ActionName, donor.DeploymentAction) && strings.EqualFold(p.PackageReferenceName, donor.PackageReference) {
			return p.Version, nil
		}
	}
	return "", resource.Errorf(resource.Invalid, "Releases of '%s' are numbered by a package of the step '%s', which its process does not have. Give a version, or change the project's versioning.", project.Name, donor.DeploymentAction)
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
