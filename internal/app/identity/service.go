package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Keys makes and checks API keys.
type Keys struct {
	New   func() string
	Valid func(key string) bool // offline: alphabet, length, checksum (abuse 23)
	Hash  func(key string) string
	Hint  func(key string) string
}

// Config is what New needs.
type Config struct {
	DB     *store.DB
	Keys   Keys
	Hasher *Hasher
}

// Service is the use cases of identity.
type Service struct {
	db     *store.DB
	keys   Keys
	hasher *Hasher
}

// New makes the use cases.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Keys.New == nil || cfg.Keys.Valid == nil || cfg.Keys.Hash == nil || cfg.Keys.Hint == nil || cfg.Hasher == nil {
		return nil, errors.New("identity: DB, Keys and Hasher have to be set")
	}
	return &Service{db: cfg.DB, keys: cfg.Keys, hasher: cfg.Hasher}, nil
}

var (
	errKey     = resource.Errorf(resource.Unauthenticated, "The API key you provided was not valid. Please double-check your API key and try again.")
	errSession = resource.Errorf(resource.Unauthenticated, "Your session has ended. Please log in again.")
	errLogin   = resource.Errorf(resource.Unauthenticated, "Invalid username or password.")
)

// ByKey finds the caller of an API key. A wrong checksum costs no look-up; a
// key that is unknown, revoked or over, and one of a user who is not active,
// are all the same to who asks (abuse 23).
func (s *Service) ByKey(ctx context.Context, key string) (who app.Caller, err error) {
	if !s.keys.Valid(key) {
		return who, errKey
	}
	hash := s.keys.Hash(key)
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		k, err := store.First[resource.APIKey](tx, store.Query{Where: map[string][]string{"KeyHash": {hash}}})
		if resource.CodeOf(err) == resource.NotFound {
			return errKey
		}
		if err != nil {
			return fmt.Errorf("find API key: %w", err)
		}
		if !k.Expires.IsZero() && !resource.TimeOf(tx.Now()).Before(k.Expires) {
			return errKey
		}
		who, err = caller(tx, k.UserID, errKey)
		who.Via = "API key " + k.ID
		return err
	})
	return who, err
}

// BySession finds the caller of a session. One that began before the user's
// password was changed, or before he logged out, is over (abuse 27).
func (s *Service) BySession(ctx context.Context, user string, began time.Time) (who app.Caller, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		u, err := store.Get[resource.User](tx, user)
		if resource.CodeOf(err) == resource.NotFound {
			return errSession
		}
		if err != nil {
			return fmt.Errorf("find user %s: %w", user, err)
		}
		if !u.SessionsAfter.Before(resource.TimeOf(began)) {
			return errSession
		}
		who, err = caller(tx, user, errSession)
		who.Via = "Session cookie"
		return err
	})
	return who, err
}

// caller is an active user with all that his teams grant him.
func caller(tx *store.Tx, id string, refused error) (app.Caller, error) {
	user, err := store.Get[resource.User](tx, id)
	if resource.CodeOf(err) == resource.NotFound || err == nil && !user.IsActive {
		return app.Caller{}, refused
	}
	if err != nil {
		return app.Caller{}, fmt.Errorf("find user %s: %w", id, err)
	}
	subject, err := subjectOf(tx, user)
	return app.Caller{Subject: subject}, err
}

// subjectOf gathers a user's grants: each role that one of his teams has, where
// the team has it.
func subjectOf(tx *store.Tx, user *resource.User) (authz.Subject, error) {
	who := authz.Subject{UserID: user.ID, Username: user.Username, IsService: user.IsService}
	teams, err := teamsOf(tx, user.ID)
	if err != nil {
		return authz.Subject{}, err
	}
	spaces := map[string]string{}
	for i := range teams {
		who.Teams = append(who.Teams, teams[i].ID)
		spaces[teams[i].ID] = teams[i].SpaceID
	}
	scoped, _, err := store.List[resource.ScopedUserRole](tx, store.Query{AllSpaces: true, Where: map[string][]string{"TeamId": who.Teams}})
	if err != nil {
		return authz.Subject{}, fmt.Errorf("roles of %s: %w", user.ID, err)
	}
	for i := range scoped {
		// A team of one space never grants anything in another.
		if home := spaces[scoped[i].TeamID]; home != "" && home != scoped[i].SpaceID {
			continue
		}
		grants, err := grantsOf(tx, &scoped[i])
		if err != nil {
			return authz.Subject{}, err
		}
		who.Grants = append(who.Grants, grants)
	}
	return who, nil
}

// teamsOf are the teams that a user is a member of, Everyone included.
func teamsOf(tx *store.Tx, user string) ([]resource.Team, error) {
	teams, _, err := store.List[resource.Team](tx, store.Query{AllSpaces: true, Where: map[string][]string{"MemberUserIds": {user}}})
	if err != nil {
		return nil, fmt.Errorf("teams of %s: %w", user, err)
	}
	if slices.ContainsFunc(teams, func(t resource.Team) bool { return t.ID == resource.TeamEveryone }) {
		return teams, nil
	}
	everyone, err := store.Get[resource.Team](tx, resource.TeamEveryone)
	if resource.CodeOf(err) == resource.NotFound {
		return teams, nil
	}
	if err != nil {
		return nil, fmt.Errorf("teams of %s: %w", user, err)
	}
	return append(teams, *everyone), nil
}

func grantsOf(tx *store.Tx, scoped *resource.ScopedUserRole) (authz.Grant, error) {
	role, ok := authz.BuiltInRole(scoped.UserRoleID)
	if !ok {
		stored, err := store.Get[resource.UserRole](tx, scoped.UserRoleID)
		if err != nil {
			return authz.Grant{}, fmt.Errorf("role %s: %w", scoped.UserRoleID, err)
		}
		role = stored
	}
	return authz.Grant{
		Permissions: authz.Granted(role, scoped.SpaceID == ""), Space: scoped.SpaceID,
		Projects: limit(scoped.ProjectIDs), ProjectGroups: limit(scoped.ProjectGroupIDs),
		Environments: limit(scoped.EnvironmentIDs), Tenants: limit(scoped.TenantIDs),
	}, nil
}

// limit reads the wire contract's list, in which none means no limit. Ids of
// what is deleted stay in it, so it never becomes empty by itself.
func limit(ids []string) authz.Limit {
	if len(ids) == 0 {
		return authz.Any()
	}
	return authz.Only(ids...)
}
