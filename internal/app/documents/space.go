package documents

import (
	"context"
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func (s *Service) spaceRules() rules {
	return rules{
		updating: asChange(func(_ *store.Tx, old, space *resource.Space) error {
			space.IsDefault = old.IsDefault
			if len(space.SpaceManagersTeams)+len(space.SpaceManagersTeamMembers) == 0 {
				return nil // Validate says what is missing
			}
			if own := resource.SpaceManagersTeam(old.ID); !slices.Contains(space.SpaceManagersTeams, own) {
				space.SpaceManagersTeams = append(space.SpaceManagersTeams, own)
			}
			return nil
		}),
		updated: asChange(func(tx *store.Tx, _, space *resource.Space) error { return syncManagers(tx, space) }),
		deleting: as(func(tx *store.Tx, space *resource.Space) error {
			switch {
			case space.IsDefault:
				return resource.Errorf(resource.Invalid, "The default space cannot be deleted.")
			case !space.TaskQueueStopped:
				return resource.Errorf(resource.Invalid, "The task queue of space '%s' is running. Please stop it first: set TaskQueueStopped.", space.Name)
			}
			return emptySpace(tx, space.ID)
		}),
	}
}

// CreateSpace stores a space with what every space starts with, in one
// transaction (octopus-api.md 2.0).
func (s *Service) CreateSpace(ctx context.Context, by app.Caller, space *resource.Space) (out resource.Doc, err error) {
	err = s.write(ctx, by, func(tx *store.Tx) error {
		if err := app.Allow(by, authz.SpaceCreate, authz.Scope{}); err != nil {
			return err
		}
		copied := *space
		copied.IsDefault, copied.TaskQueueStopped, copied.SpaceID = false, false, ""
		copied.SpaceManagersTeams = slices.Clone(space.SpaceManagersTeams)
		copied.SetDefaults(nil)
		if err := copied.Validate(); err != nil { // before the space's own team would satisfy it
			return err
		}
		if err := store.SeedSpace(tx, &copied); err != nil {
			return err
		}
		if out, err = store.GetDoc(tx, resource.SpaceKind, copied.ID); err != nil {
			return err
		}
		return audit(tx, created, nil, out)
	})
	return out, err
}

// syncManagers makes the members of the space's own team those that the space
// names.
func syncManagers(tx *store.Tx, space *resource.Space) error {
	team, err := store.Get[resource.Team](tx, resource.SpaceManagersTeam(space.ID))
	if err != nil {
		return fmt.Errorf("managers of %s: %w", space.ID, err)
	}
	if slices.Equal(team.MemberUserIDs, space.SpaceManagersTeamMembers) {
		return nil
	}
	team.MemberUserIDs = slices.Clone(space.SpaceManagersTeamMembers)
	return store.Update(tx, team)
}

// emptySpace deletes all documents of a space: what points at others first.
func emptySpace(tx *store.Tx, space string) error {
	for _, k := range slices.Backward(resource.Kinds()) {
		if k.Reach == resource.SystemWide {
			continue
		}
		docs, _, err := store.ListDocs(tx, k, store.Query{Space: space})
		if err != nil {
			return fmt.Errorf("empty %s: %w", space, err)
		}
		for _, doc := range docs {
			err := store.DeleteDoc(tx, k, *doc.Head().ID)
			if err != nil && resource.CodeOf(err) != resource.NotFound {
				return fmt.Errorf("empty %s: %w", space, err)
			}
		}
	}
	return nil
}

// SpaceID resolves an id, a slug or a name, in this order and in any case. It
// asks for no permission: whoever calls it does.
func (s *Service) SpaceID(ctx context.Context, idOrName string) (id string, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		for _, key := range []string{idOrName, canonicalID(idOrName)} {
			space, err := store.Find[resource.Space](tx, "", key)
			if resource.CodeOf(err) == resource.NotFound {
				continue
			}
			if err == nil {
				id = space.ID
			}
			return err
		}
		return resource.Missing(idOrName)
	})
	return id, err
}
