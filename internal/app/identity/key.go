package identity

import (
	"context"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// NewKey is a key that was just made: the only time that it is shown.
type NewKey struct {
	*resource.APIKey
	Key string
}

// CreateKey makes an API key for a user. Everybody makes his own; a manager of
// users makes those of services, never one that lets him be another person
// (abuse 24, 38).
func (s *Service) CreateKey(ctx context.Context, by app.Caller, user, purpose string, expires resource.Time) (out NewKey, err error) {
	key := s.keys.New()
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(by.Actor())
		owner, err := keyOwner(tx, by, user)
		if err != nil {
			return err
		}
		now := resource.TimeOf(tx.Now())
		if !expires.IsZero() && !now.Before(expires) {
			return resource.Errorf(resource.Invalid, "The key would be over already. Please choose a later date.")
		}
		doc := &resource.APIKey{UserID: owner.ID, Purpose: purpose, KeyHash: s.keys.Hash(key), Hint: s.keys.Hint(key), Created: now, Expires: expires}
		if err := store.Insert(tx, doc); err != nil {
			return err
		}
		out = NewKey{APIKey: doc, Key: key}
		return recordKey(tx, resource.EventAPIKeyCreated, "created", owner, doc)
	})
	return out, err
}

// keyOwner finds the user whose keys the caller may manage.
func keyOwner(tx *store.Tx, by app.Caller, key string) (*resource.User, error) {
	owner, err := visibleUser(tx, by, key)
	if err != nil {
		return nil, err
	}
	if owner.ID == by.UserID || authz.IsAdministrator(by.Subject) {
		return owner, nil
	}
	if owner.IsService && authz.Can(by.Subject, authz.UserEdit, authz.Scope{}) {
		return owner, nil
	}
	return nil, app.Denied(authz.UserEdit)
}

// KeysOf lists a user's keys, newest first.
func (s *Service) KeysOf(ctx context.Context, by app.Caller, user string, skip, take int) (list []resource.APIKey, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		owner, err := keyOwner(tx, by, user)
		if err != nil {
			return err
		}
		list, total, err = store.List[resource.APIKey](tx, store.Query{Where: map[string][]string{"UserId": {owner.ID}}, Skip: skip, Take: take})
		return err
	})
	return list, total, err
}

// KeyOf reads one key of a user.
func (s *Service) KeyOf(ctx context.Context, by app.Caller, user, id string) (key *resource.APIKey, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		owner, err := keyOwner(tx, by, user)
		if err != nil {
			return err
		}
		key, err = keyOf(tx, owner, id)
		return err
	})
	return key, err
}

func keyOf(tx *store.Tx, owner *resource.User, id string) (*resource.APIKey, error) {
	key, err := store.Get[resource.APIKey](tx, id)
	if err == nil && key.UserID != owner.ID {
		return nil, resource.Missing(id)
	}
	return key, err
}

// RevokeKey removes a key: the next request with it is refused.
func (s *Service) RevokeKey(ctx context.Context, by app.Caller, user, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(by.Actor())
		owner, err := keyOwner(tx, by, user)
		if err != nil {
			return err
		}
		key, err := keyOf(tx, owner, id)
		if err != nil {
			return err
		}
		if err := store.Delete[resource.APIKey](tx, key.ID); err != nil {
			return err
		}
		return recordKey(tx, resource.EventAPIKeyRevoked, "revoked", owner, key)
	})
}

func recordKey(tx *store.Tx, category, what string, owner *resource.User, key *resource.APIKey) error {
	return store.Audit(tx, store.AuditRecord{
		Category: category, Message: "API key " + key.ID + " of " + owner.Username + " was " + what + ".",
		Subjects: []store.Subject{{ID: key.ID, Name: key.ID}, {ID: owner.ID, Name: owner.Username}},
	})
}
