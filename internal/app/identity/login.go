package identity

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Login checks a password. The user name counts in its one folded form; an
// unknown name takes as long as a wrong password and is answered alike (abuse
// 17).
func (s *Service) Login(ctx context.Context, username, password string, from app.Caller) (*resource.User, error) {
	user, hash, err := s.passwordOf(ctx, username)
	if err != nil {
		return nil, err
	}
	ok, err := s.hasher.Matches(ctx, password, hash)
	if err != nil {
		return nil, fmt.Errorf("check password: %w", err)
	}
	if !ok || user == nil || !user.IsActive || user.IsService {
		return nil, s.refused(ctx, user, from)
	}
	fresh := ""
	if s.hasher.Stale(hash) {
		if fresh, err = s.hasher.Hash(ctx, password); err != nil {
			fresh = "" // a password from before today's bounds still logs in
		}
	}
	return user, s.welcomed(ctx, user, fresh, from)
}

// passwordOf finds a user and his password's hash; nil and "" when there is
// none.
func (s *Service) passwordOf(ctx context.Context, username string) (user *resource.User, hash string, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		user, err = store.First[resource.User](tx, store.Query{Name: username})
		if username == "" || resource.CodeOf(err) == resource.NotFound {
			user = nil
			return nil
		}
		if err != nil {
			return err
		}
		opened := *user
		if err := store.Unseal(tx, &opened); err != nil {
			return err
		}
		hash, _ = opened.PasswordHash.Reveal()
		return nil
	})
	return user, hash, err
}

func (s *Service) refused(ctx context.Context, user *resource.User, from app.Caller) error {
	if user == nil {
		return errLogin // nothing of a guess is stored
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		return store.Audit(tx, store.AuditRecord{
			Category: resource.EventLoginFailed, Message: "Login of " + user.Username + " failed.",
			Subjects: []store.Subject{{ID: user.ID, Name: user.Username}},
			Actor:    resource.Actor{UserID: user.ID, Username: user.Username, UserAgent: from.UserAgent, IPAddress: from.IP},
		})
	})
	if err != nil {
		return fmt.Errorf("record failed login of %s: %w", user.ID, err)
	}
	return errLogin
}

func (s *Service) welcomed(ctx context.Context, user *resource.User, fresh string, from app.Caller) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		actor := resource.Actor{UserID: user.ID, Username: user.Username, EstablishedWith: "Password", UserAgent: from.UserAgent, IPAddress: from.IP}
		tx.SetActor(actor)
		if fresh != "" {
			changed := *user
			changed.PasswordHash = resource.Plain(fresh)
			if err := store.Update(tx, &changed); err != nil {
				return fmt.Errorf("rehash password of %s: %w", user.ID, err)
			}
		}
		return store.Audit(tx, store.AuditRecord{
			Category: resource.EventLoginSucceeded, Message: user.Username + " logged in.",
			Subjects: []store.Subject{{ID: user.ID, Name: user.Username}},
		})
	})
}

// Logout ends all sessions of the caller, wherever they were begun.
func (s *Service) Logout(ctx context.Context, who app.Caller) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		user, err := store.Get[resource.User](tx, who.UserID)
		if err != nil {
			return err
		}
		user.SessionsAfter = resource.TimeOf(tx.Now())
		return store.Update(tx, user)
	})
}
