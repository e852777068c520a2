package identity

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Query says which users or teams are wanted.
type Query struct {
	IDs         []string
	PartialName string
	Spaces      []string // of teams: in these; nil: in all that the caller may enter
	System      bool     // of teams: those of no space too
	Skip, Take  int
}

// Users lists users.
func (s *Service) Users(ctx context.Context, by app.Caller, q Query) (list []resource.User, total int, err error) {
	if err := app.Allow(by, authz.UserView, authz.Scope{}); err != nil {
		return nil, 0, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, total, err = store.List[resource.User](tx, store.Query{IDs: q.IDs, PartialName: q.PartialName, Skip: q.Skip, Take: q.Take})
		return err
	})
	return list, total, err
}

// User reads a user by id or name; "me" is the caller, whom everybody sees.
func (s *Service) User(ctx context.Context, by app.Caller, key string) (user *resource.User, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		user, err = visibleUser(tx, by, key)
		return err
	})
	return user, err
}

func visibleUser(tx *store.Tx, by app.Caller, key string) (*resource.User, error) {
	if key == "me" {
		key = by.UserID
	}
	user, err := store.Find[resource.User](tx, "", key)
	if err != nil {
		return nil, err
	}
	if user.ID != by.UserID && !authz.Can(by.Subject, authz.UserView, authz.Scope{}) {
		return nil, resource.Missing(key)
	}
	return user, nil
}

// UserChange is a user as a client writes him; "" keeps the password.
type UserChange struct {
	Username     string
	DisplayName  string
	EmailAddress string
	IsActive     *bool
	IsService    bool
	Password     string
	Identities   []resource.Identity
}

// CreateUser stores a new user.
func (s *Service) CreateUser(ctx context.Context, by app.Caller, in UserChange) (user *resource.User, err error) {
	if err := app.Allow(by, authz.UserEdit, authz.Scope{}); err != nil {
		return nil, err
	}
	if in.Password == "" && !in.IsService && len(in.Identities) == 0 {
		return nil, &resource.Error{Code: resource.Invalid, Field: "Password", Message: "Please provide a password for this user."}
	}
	hash, err := s.optionalHash(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(by.Actor())
		user = &resource.User{IsService: in.IsService, IsActive: in.IsActive == nil || *in.IsActive, PasswordHash: hash}
		in.apply(user)
		if err := store.Insert(tx, user); err != nil {
			return err
		}
		if user, err = store.Get[resource.User](tx, user.ID); err != nil {
			return err
		}
		return record(tx, resource.EventCreated, "created", user, nil)
	})
	return user, err
}

func (in UserChange) apply(u *resource.User) {
	u.Username, u.DisplayName, u.EmailAddress, u.Identities = in.Username, in.DisplayName, in.EmailAddress, in.Identities
}

func (s *Service) optionalHash(ctx context.Context, password string) (resource.Sensitive, error) {
	if password == "" {
		return resource.Sensitive{}, nil
	}
	hash, err := s.hasher.Hash(ctx, password)
	return resource.Plain(hash), err
}

// UpdateUser stores a user's changes. Who is no manager of users changes his
// own display name, address and password, nothing else. A new password, and
// the end of being active, end his sessions (abuse 27).
func (s *Service) UpdateUser(ctx context.Context, by app.Caller, key string, in UserChange) (user *resource.User, err error) {
	hash, err := s.optionalHash(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(by.Actor())
		old, err := visibleUser(tx, by, key)
		if err != nil {
			return err
		}
		if err := mayEdit(by, old, in); err != nil {
			return err
		}
		changed := *old
		in.apply(&changed)
		if in.IsActive != nil {
			changed.IsActive = *in.IsActive
		}
		if hash.HasValue() {
			changed.PasswordHash = hash
		}
		if hash.HasValue() || !changed.IsActive {
			changed.SessionsAfter = resource.TimeOf(tx.Now())
		}
		if err := store.Update(tx, &changed); err != nil {
			return err
		}
		if user, err = store.Get[resource.User](tx, old.ID); err != nil {
			return err
		}
		changes, err := store.Diff(old, user)
		if err != nil {
			return err
		}
		return record(tx, resource.EventModified, "changed", user, changes)
	})
	return user, err
}

func mayEdit(by app.Caller, old *resource.User, in UserChange) error {
	if authz.Can(by.Subject, authz.UserEdit, authz.Scope{}) {
		if old.ID == by.UserID && in.IsActive != nil && !*in.IsActive {
			return resource.Errorf(resource.Invalid, "You cannot switch yourself off. Please ask another administrator.")
		}
		return nil
	}
	active := in.IsActive == nil || *in.IsActive == old.IsActive
	if old.ID == by.UserID && active && resource.Fold(in.Username) == resource.Fold(old.Username) && in.IsService == old.IsService {
		return nil
	}
	return app.Denied(authz.UserEdit)
}

// DeleteUser removes a user and his keys; nobody removes himself.
func (s *Service) DeleteUser(ctx context.Context, by app.Caller, key string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(by.Actor())
		user, err := visibleUser(tx, by, key)
		if err != nil {
			return err
		}
		if err := app.Allow(by, authz.UserEdit, authz.Scope{}); err != nil {
			return err
		}
		if user.ID == by.UserID {
			return resource.Errorf(resource.Invalid, "You cannot delete yourself. Please ask another administrator.")
		}
		if err := store.Delete[resource.User](tx, user.ID); err != nil {
			return err
		}
		return record(tx, resource.EventDeleted, "deleted", user, nil)
	})
}

func record(tx *store.Tx, category, what string, u *resource.User, changes []resource.Difference) error {
	return store.Audit(tx, store.AuditRecord{
		Category: category, Message: fmt.Sprintf("User %s was %s.", u.Username, what),
		Subjects: []store.Subject{{ID: u.ID, Name: u.Username}}, Changes: changes,
	})
}
