package store

import (
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Admin is the first user of a server.
type Admin struct {
	Username     string
	DisplayName  string // the user name when empty
	EmailAddress string
	PasswordHash resource.Sensitive // empty: no login by password
	KeyHash      string             // of an API key (secret.Hash); empty: none
	KeyHint      string
}

// Seeded says whether the store has been seeded.
func Seeded(tx *Tx) (bool, error) { return Exists(tx, resource.SpaceKind, resource.DefaultSpace) }

// Seed gives a new server what every server starts with: built-in roles and
// teams, an administrator, and the default space (octopus-api.md 2.0). It does
// nothing on a store that has been seeded.
func Seed(tx *Tx, admin Admin) error {
	done, err := Seeded(tx)
	if err != nil || done {
		return err
	}
	for _, role := range resource.BuiltInRoles() {
		if err := InsertAs(tx, &role, role.ID); err != nil {
			return fmt.Errorf("seed %s: %w", role.ID, err)
		}
	}
	user := &resource.User{
		Username: admin.Username, DisplayName: admin.DisplayName, EmailAddress: admin.EmailAddress, IsActive: true, PasswordHash: admin.PasswordHash,
	}
	if err := Insert(tx, user); err != nil {
		return fmt.Errorf("seed administrator: %w", err)
	}
	if admin.KeyHash != "" {
		key := &resource.APIKey{UserID: user.ID, Purpose: "Set at first start", KeyHash: admin.KeyHash, Hint: admin.KeyHint, Created: resource.TimeOf(tx.now)}
		if err := Insert(tx, key); err != nil {
			return fmt.Errorf("seed API key: %w", err)
		}
	}
	if err := seedSystemTeams(tx, user.ID); err != nil {
		return err
	}
	return SeedSpace(tx, &resource.Space{Name: "Default", IsDefault: true, SpaceManagersTeamMembers: []string{user.ID}})
}

func seedSystemTeams(tx *Tx, admin string) error {
	for _, t := range []struct {
		id, name, description, role string
		members                     []string
	}{
		{resource.TeamAdministrators, "Octopus Administrators", "They may do everything.", resource.RoleSystemAdministrator, []string{admin}},
		{resource.TeamManagers, "Octopus Managers", "They manage spaces, users and teams.", resource.RoleSystemManager, nil},
		{resource.TeamEveryone, "Everyone", "Every user is a member.", "", nil},
	} {
		team := &resource.Team{Name: t.name, Description: t.description, MemberUserIDs: t.members, CanChangeRoles: t.role == "", CanChangeMembers: t.id != resource.TeamEveryone}
		if err := InsertAs(tx, team, t.id); err != nil {
			return fmt.Errorf("seed %s: %w", t.id, err)
		}
		if t.role == "" {
			continue
		}
		if err := Insert(tx, &resource.ScopedUserRole{TeamID: t.id, UserRoleID: t.role}); err != nil {
			return fmt.Errorf("seed role of %s: %w", t.id, err)
		}
	}
	all := &resource.ScopedUserRole{TeamID: resource.TeamAdministrators, UserRoleID: resource.RoleSpaceManager}
	if err := Insert(tx, all); err != nil {
		return fmt.Errorf("seed role of %s: %w", resource.TeamAdministrators, err)
	}
	return nil
}

// SeedSpace stores a new space with what every space starts with: managers'
// team, lifecycle, project group, machine policy, worker pool and feeds, all in
// the caller's transaction, so that nobody sees a space without them.
func SeedSpace(tx *Tx, space *resource.Space) error {
	id, err := tx.NextID(resource.SpaceKind.IDPrefix)
	if err != nil {
		return err
	}
	if err := seedManagers(tx, space, id); err != nil {
		return err
	}
	if err := InsertAs(tx, space, id); err != nil {
		return err
	}
	policy := resource.DefaultMachinePolicy()
	for _, doc := range []resource.Doc{
		&resource.Lifecycle{Name: "Default Lifecycle"},
		&resource.ProjectGroup{Name: "Default Project Group"},
		policy,
		&resource.WorkerPool{Name: "Default Worker Pool", IsDefault: true},
	} {
		*doc.Head().SpaceID = id
		if err := Insert(tx, doc); err != nil {
			return fmt.Errorf("seed %s: %w", id, err)
		}
	}
	return seedFeeds(tx, id)
}

func seedManagers(tx *Tx, space *resource.Space, id string) error {
	team := &resource.Team{Name: "Space Managers", Description: "They may do everything in this space.", MemberUserIDs: space.SpaceManagersTeamMembers, CanChangeMembers: true}
	team.SpaceID = id
	managers := resource.SpaceManagersTeam(id)
	if err := InsertAs(tx, team, managers); err != nil {
		return fmt.Errorf("seed %s: %w", managers, err)
	}
	scoped := &resource.ScopedUserRole{TeamID: managers, UserRoleID: resource.RoleSpaceManager}
	scoped.SpaceID = id
	if err := Insert(tx, scoped); err != nil {
		return fmt.Errorf("seed role of %s: %w", managers, err)
	}
	if !slices.Contains(space.SpaceManagersTeams, managers) {
		space.SpaceManagersTeams = append(space.SpaceManagersTeams, managers)
	}
	return nil
}

func seedFeeds(tx *Tx, space string) error {
	builtIn := &resource.Feed{Name: "Octopus Server (built-in)", FeedType: resource.FeedBuiltIn}
	projects := &resource.Feed{Name: "Octopus Server Releases (built-in)", FeedType: resource.FeedProject}
	builtIn.SpaceID, projects.SpaceID = space, space
	store := Insert
	if space == resource.DefaultSpace {
		store = func(tx *Tx, doc resource.Doc) error { return InsertAs(tx, doc, resource.BuiltInFeed) }
	}
	if err := store(tx, builtIn); err != nil {
		return fmt.Errorf("seed feeds of %s: %w", space, err)
	}
	if err := Insert(tx, projects); err != nil {
		return fmt.Errorf("seed feeds of %s: %w", space, err)
	}
	return nil
}
