package packages

import (
	"regexp"

	"github.com/slipwayhq/slipway/internal/resource"
)

// The forms of abuse 49. Ids and versions are data only: no storage path is
// made from them, and the agent escapes them before they name a folder.
var (
	idForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// maxName is the most bytes of an id or version; a bound within the expressions
// would cost each process memory.
const maxName = 100

// ValidateID accepts a package id: a letter or digit, then up to 99 letters,
// digits, dots, underscores and dashes (abuse 49).
func ValidateID(id string) error {
	if len(id) <= maxName && idForm.MatchString(id) {
		return nil
	}
	return &resource.Error{
		Code: resource.Invalid, Field: "PackageId",
		Message: "A package id starts with a letter or digit and has at most 100 letters, digits, dots, underscores and dashes; rename the package.",
	}
}

// ValidateVersion accepts a version that may name a package: the form of an
// id plus '+', and readable as a semantic version with one to four numbers
// (abuse 49, 50).
func ValidateVersion(version string) error {
	if len(version) <= maxName && versionForm.MatchString(version) {
		if _, err := ParseSemver(version); err == nil {
			return nil
		}
	}
	return &resource.Error{
		Code: resource.Invalid, Field: "Version",
		Message: "A package version has one to four numbers, like 1.2.3 or 1.2.3.4-beta.1+build, at most 100 characters; rename the package.",
	}
}
