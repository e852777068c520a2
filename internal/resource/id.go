package resource

import (
	"fmt"
	"strconv"
	"strings"
)

// Derived ids are functions of other ids, never counters; clients build and
// parse them (octopus-api.md 1.5).
const (
	deploymentProcessPrefix  = "deploymentprocess-"
	variableSetPrefix        = "variableset-"
	deploymentSettingsPrefix = "deploymentsettings-"
	packagePrefix            = "packages-"
)

// DefaultSpace is the id of the space that an absent one stands for.
const DefaultSpace = "Spaces-1"

// BuiltInFeed is the id of the default space's built-in feed.
const BuiltInFeed = "feeds-builtin"

// DeploymentProcessID is the id of a project's deployment process.
func DeploymentProcessID(project string) string { return deploymentProcessPrefix + project }

// VariableSetID is the id of the variable set of a project or a library
// variable set.
func VariableSetID(owner string) string { return variableSetPrefix + owner }

// DeploymentSettingsID is the id of the view on a project's own settings.
func DeploymentSettingsID(project string) string { return deploymentSettingsPrefix + project }

// SpaceManagersTeam is the id of the team that manages a space.
func SpaceManagersTeam(space string) string { return "teams-spacemanagers-" + space }

// PackageID is the id of a package of a built-in feed. The default space has
// the plain form that clients build; ids of other spaces name their space.
func PackageID(space, id, version string) string {
	name := packagePrefix + id + "." + version
	if space != DefaultSpace {
		name += "@" + space
	}
	return name
}

// SnapshotID is the id of a frozen copy of a process or a variable set. n is
// the copied version, unique makes it the only one of that version: five
// characters of A–Z and 0–9.
func SnapshotID(id string, n int, unique string) string {
	return fmt.Sprintf("%s-s-%d-%s", id, n, unique)
}

// IsSnapshotID says whether SnapshotID made it.
func IsSnapshotID(id string) bool { return SnapshotOf(id) != "" }

// SnapshotOf is the id of the document that a snapshot was taken of; "" when
// id is none of a snapshot.
func SnapshotOf(id string) string {
	if !strings.HasPrefix(id, deploymentProcessPrefix) && !strings.HasPrefix(id, variableSetPrefix) {
		return ""
	}
	at := strings.LastIndex(id, "-s-")
	if at < 0 || !strings.Contains(id[at+len("-s-"):], "-") {
		return ""
	}
	return id[:at]
}

// OwnerOf is the project or library variable set that a derived id belongs to,
// a snapshot's included; "" when id is not derived.
func OwnerOf(id string) string {
	if of := SnapshotOf(id); of != "" {
		id = of
	}
	for _, prefix := range []string{deploymentProcessPrefix, variableSetPrefix, deploymentSettingsPrefix} {
		if owner, ok := strings.CutPrefix(id, prefix); ok {
			return owner
		}
	}
	return ""
}

// Ordinal is the number at the end of an id, which orders documents of a kind
// by age; 0 when there is none.
func Ordinal(id string) int64 {
	n, err := strconv.ParseInt(id[strings.LastIndexByte(id, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
