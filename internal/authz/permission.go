package authz

import (
	"fmt"
	"maps"
	"slices"
)

// Permission names one thing that a role can grant, in the field's own words.
type Permission string

// Two permissions no role grants: they are what a route says that needs none.
const (
	Public   Permission = "-public"    // everybody, without a key
	SignedIn Permission = "-signed-in" // everybody who is somebody
)

// The permissions that code asks for by name; permissions() has all of them.
const (
	AdministerSystem Permission = "AdministerSystem"
	ConfigureServer  Permission = "ConfigureServer"

	SpaceView   Permission = "SpaceView"
	SpaceCreate Permission = "SpaceCreate"
	SpaceEdit   Permission = "SpaceEdit"
	SpaceDelete Permission = "SpaceDelete"

	UserView     Permission = "UserView"
	UserEdit     Permission = "UserEdit"
	UserRoleView Permission = "UserRoleView"
	TeamView     Permission = "TeamView"

	EnvironmentView   Permission = "EnvironmentView"
	EnvironmentEdit   Permission = "EnvironmentEdit"
	LifecycleView     Permission = "LifecycleView"
	ProjectGroupView  Permission = "ProjectGroupView"
	ProjectView       Permission = "ProjectView"
	ProjectCreate     Permission = "ProjectCreate"
	ProjectEdit       Permission = "ProjectEdit"
	ProjectDelete     Permission = "ProjectDelete"
	ProcessView       Permission = "ProcessView"
	ProcessEdit       Permission = "ProcessEdit"
	VariableView      Permission = "VariableView"
	VariableEdit      Permission = "VariableEdit"
	LibrarySetView    Permission = "LibraryVariableSetView"
	MachineView       Permission = "MachineView"
	MachineCreate     Permission = "MachineCreate"
	MachinePolicyView Permission = "MachinePolicyView"
	FeedView          Permission = "FeedView"
	PackageView       Permission = "BuiltInFeedDownload"
	PackagePush       Permission = "BuiltInFeedPush"
	PackageAdminister Permission = "BuiltInFeedAdminister"

	ReleaseView        Permission = "ReleaseView"
	ReleaseCreate      Permission = "ReleaseCreate"
	ReleaseEdit        Permission = "ReleaseEdit"
	ReleaseDelete      Permission = "ReleaseDelete"
	DeploymentView     Permission = "DeploymentView"
	DeploymentCreate   Permission = "DeploymentCreate"
	DeploymentDelete   Permission = "DeploymentDelete"
	TaskView           Permission = "TaskView"
	TaskCreate         Permission = "TaskCreate"
	TaskCancel         Permission = "TaskCancel"
	TaskEdit           Permission = "TaskEdit"
	InterruptionView   Permission = "InterruptionView"
	InterruptionSubmit Permission = "InterruptionSubmit"
	EventView          Permission = "EventView"
	ArtifactView       Permission = "ArtifactView"
	ArtifactCreate     Permission = "ArtifactCreate"
	ArtifactDelete     Permission = "ArtifactDelete"
)

// About says what a permission is for and at which level it can be granted.
type About struct {
	Permission    Permission
	Description   string
	System, Space bool
}

// Set is a set of permissions.
type Set map[Permission]struct{}

// SetOf makes a Set.
func SetOf(permissions ...Permission) Set {
	set := make(Set, len(permissions))
	for _, p := range permissions {
		set[p] = struct{}{}
	}
	return set
}

// Has says whether p is in the set.
func (s Set) Has(p Permission) bool {
	_, ok := s[p]
	return ok
}

// Describe looks a permission up.
func Describe(p Permission) (About, bool) {
	a, ok := permissions[p]
	return a, ok
}

// All are the permissions by name.
func All() []About {
	list := make([]About, 0, len(permissions))
	for _, p := range slices.Sorted(maps.Keys(permissions)) {
		list = append(list, permissions[p])
	}
	return list
}

// Verb is what is done to a document.
type Verb string

// The verbs.
const (
	View   Verb = "View"
	Create Verb = "Create"
	Edit   Verb = "Edit"
	Delete Verb = "Delete"
)

// For is the permission for a verb on the kinds with this stem. Where the
// field has none of its own (FeedCreate), editing covers creating and deleting.
func For(stem string, verb Verb) (Permission, error) {
	p := Permission(stem + string(verb))
	if _, ok := permissions[p]; ok {
		return p, nil
	}
	p = Permission(stem + string(Edit))
	if _, ok := permissions[p]; ok && verb != View {
		return p, nil
	}
	return "", fmt.Errorf("no permission lets anybody %s a %s", verb, stem)
}
