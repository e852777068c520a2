package deploy

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// PackageSpec chooses the version of a package reference when a release is
// made: "{package or step}:{version}" or "{reference}:{package or
// step}:{version}"; ':' '=' and '/' separate, '\' escapes, "*" and "" match all
// (octopus-api.md 1.9).
type PackageSpec struct {
	Reference     string // "" when not given
	PackageOrStep string
	Version       string
}

// ParsePackageSpec reads one.
func ParsePackageSpec(text string) (PackageSpec, error) {
	parts := splitSpec(text)
	bad := resource.Errorf(resource.Invalid, "The package version '%s' is not understood. Write it as PackageOrStep:Version or Reference:PackageOrStep:Version.", text)
	for i := range parts {
		if parts[i] = strings.TrimSpace(parts[i]); parts[i] == "*" {
			parts[i] = ""
		}
	}
	var spec PackageSpec
	switch len(parts) {
	case 1:
		spec = PackageSpec{Version: parts[0]}
	case 2:
		spec = PackageSpec{PackageOrStep: parts[0], Version: parts[1]}
	case 3:
		spec = PackageSpec{Reference: parts[0], PackageOrStep: parts[1], Version: parts[2]}
	default:
		return spec, bad
	}
	if spec.Version == "" {
		return spec, bad
	}
	return spec, nil
}

func splitSpec(text string) []string {
	var parts []string
	var part strings.Builder
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			part.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == ':' || r == '=' || r == '/':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteRune(r)
		}
	}
	return append(parts, part.String())
}

// matches says whether the spec speaks of the reference of an action, and how
// exactly: 0 not at all, more is more exact.
func (s PackageSpec) matches(step *resource.Step, action *resource.Action, ref *resource.PackageReference) int {
	weight := 1
	if s.Reference != "" {
		if !strings.EqualFold(s.Reference, ref.Name) {
			return 0
		}
		weight += 4
	}
	if s.PackageOrStep != "" {
		switch {
		case strings.EqualFold(s.PackageOrStep, action.Name), strings.EqualFold(s.PackageOrStep, step.Name):
			weight += 2
		case strings.EqualFold(s.PackageOrStep, ref.PackageID):
			weight++
		default:
			return 0
		}
	}
	return weight
}
