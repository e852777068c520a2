package resource

// Team gathers users; roles are given to teams (octopus-api.md 2.18). SpaceID
// is empty for a system team.
type Team struct {
	Document
	Name                   string
	Slug                   string
	Description            string
	MemberUserIDs          []string `json:"MemberUserIds"`
	ExternalSecurityGroups []ExternalSecurityGroup
	CanBeDeleted           bool
	CanBeRenamed           bool
	CanChangeRoles         bool
	CanChangeMembers       bool
}

// ExternalSecurityGroup is a group at an identity provider.
type ExternalSecurityGroup struct {
	ID               string `json:"Id"`
	DisplayName      string
	DisplayIDAndName bool `json:"DisplayIdAndName"`
}

// The ids of the teams that every server has.
const (
	TeamAdministrators = "teams-administrators"
	TeamManagers       = "teams-managers"
	TeamEveryone       = "teams-everyone"
)

// TeamKind declares Team.
var TeamKind = &Kind{
	Name: "Team", Noun: "team", IDPrefix: "Teams", Table: "team", Route: "teams",
	Reach: Either, NameField: "Name", Slug: true, Permission: "Team",
	Fields: []Field{{Path: "MemberUserIds", List: true, Ref: "User", Tie: Pruned}},
	Order:  []string{"name_key"},
	Links: map[string]string{
		"ScopedUserRoles": "{Self}/scopeduserroles{?skip,take,ids,partialName,spaces,includeSystem}",
	},
	New: func() Doc { return new(Team) },
}

// Kind implements Doc.
func (t *Team) Kind() *Kind { return TeamKind }

// SlugField implements Slugged.
func (t *Team) SlugField() *string { return &t.Slug }

// SetDefaults implements Defaulter.
func (t *Team) SetDefaults(func() string) {
	t.MemberUserIDs = list(t.MemberUserIDs)
	t.ExternalSecurityGroups = list(t.ExternalSecurityGroups)
}

// Validate implements Doc.
func (t *Team) Validate() error {
	return first(CheckName("team", t.Name, MaxName), CheckText("Description", t.Description))
}

// UserRole is a named set of permissions.
type UserRole struct {
	Document
	Name                     string
	Description              string
	GrantedSpacePermissions  []string
	GrantedSystemPermissions []string
	SupportedRestrictions    []string
	CanBeDeleted             bool

	SpacePermissionDescriptions  []string
	SystemPermissionDescriptions []string
}

// UserRoleKind declares UserRole.
var UserRoleKind = &Kind{
	Name: "UserRole", Noun: "user role", IDPrefix: "UserRoles", Table: "user_role", Route: "userroles",
	Reach: SystemWide, NameField: "Name", Permission: "UserRole",
	Order: []string{"name_key"},
	New:   func() Doc { return new(UserRole) },
}

// Kind implements Doc.
func (r *UserRole) Kind() *Kind { return UserRoleKind }

// SetDefaults implements Defaulter.
func (r *UserRole) SetDefaults(func() string) {
	r.GrantedSpacePermissions = list(r.GrantedSpacePermissions)
	r.GrantedSystemPermissions = list(r.GrantedSystemPermissions)
	r.SupportedRestrictions = list(r.SupportedRestrictions)
	r.SpacePermissionDescriptions = list(r.SpacePermissionDescriptions)
	r.SystemPermissionDescriptions = list(r.SystemPermissionDescriptions)
}

// Validate implements Doc.
func (r *UserRole) Validate() error {
	return first(CheckName("user role", r.Name, MaxName), CheckText("Description", r.Description))
}

// ScopedUserRole gives a role to a team, in a space or (SpaceID empty) in the
// system, and for the named environments, projects, groups and tenants only,
// where there are any.
type ScopedUserRole struct {
	Document
	TeamID          string   `json:"TeamId"`
	UserRoleID      string   `json:"UserRoleId"`
	EnvironmentIDs  []string `json:"EnvironmentIds"`
	ProjectIDs      []string `json:"ProjectIds"`
	ProjectGroupIDs []string `json:"ProjectGroupIds"`
	TenantIDs       []string `json:"TenantIds"`
}

// ScopedUserRoleKind declares ScopedUserRole. A scope that is deleted keeps
// the row's restriction: a list that became empty would mean everything, so
// the id stays and grants nothing.
var ScopedUserRoleKind = &Kind{
	Name: "ScopedUserRole", Noun: "scoped user role", IDPrefix: "ScopedUserRoles", Table: "scoped_user_role", Route: "scopeduserroles",
	Reach: Either, Permission: "Team",
	Fields: []Field{
		{Path: "TeamId", Column: "team_id", Ref: "Team", Tie: Owner},
		{Path: "UserRoleId", Column: "user_role_id", Ref: "UserRole"},
		{Path: "EnvironmentIds", List: true, Ref: "Environment", Tie: Loose},
		{Path: "ProjectIds", List: true, Ref: "Project", Tie: Loose},
		{Path: "ProjectGroupIds", List: true, Ref: "ProjectGroup", Tie: Loose},
	},
	Order: []string{"ord"},
	New:   func() Doc { return new(ScopedUserRole) },
}

// Kind implements Doc.
func (r *ScopedUserRole) Kind() *Kind { return ScopedUserRoleKind }

// SetDefaults implements Defaulter.
func (r *ScopedUserRole) SetDefaults(func() string) {
	r.EnvironmentIDs = list(r.EnvironmentIDs)
	r.ProjectIDs = list(r.ProjectIDs)
	r.ProjectGroupIDs = list(r.ProjectGroupIDs)
	r.TenantIDs = list(r.TenantIDs)
}

// Validate implements Doc.
func (r *ScopedUserRole) Validate() error {
	if r.TeamID == "" {
		return invalid("TeamId", "Please say which team gets the role.")
	}
	if r.UserRoleID == "" {
		return invalid("UserRoleId", "Please say which user role the team gets.")
	}
	return nil
}
