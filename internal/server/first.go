package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// firstStart gives a new server its administrator and default space. A key
// that was made here is shown once and stored as a hash only.
func (s *Server) firstStart(ctx context.Context) (err error) {
	hasher := identity.NewHasher(identity.DefaultCost())
	if s.users, err = identity.New(identity.Config{
		DB: s.db, Hasher: hasher,
		Keys: identity.Keys{
			New: secret.NewAPIKey, Hash: secret.Hash, Hint: secret.Hint,
			Valid: func(key string) bool { return secret.CheckAPIKey(key, true) },
		},
	}); err != nil {
		return err
	}
	seeded := false
	if err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		seeded, err = store.Seeded(tx)
		return err
	}); err != nil || seeded {
		return err
	}
	admin := store.Admin{Username: "admin", DisplayName: "Administrator"}
	key := s.cfg.AdminKey
	if key != "" && !secret.CheckAPIKey(key, true) {
		return resource.Errorf(resource.Invalid, "SLIPWAY_ADMIN_API_KEY is not an API key: it has to be API- and at least 26 characters of A–Z and 0–9.")
	}
	if s.cfg.AdminPassword != "" {
		hash, err := hasher.Hash(ctx, s.cfg.AdminPassword)
		if err != nil {
			return fmt.Errorf("SLIPWAY_ADMIN_PASSWORD: %w", err)
		}
		admin.PasswordHash = resource.Plain(hash)
	}
	made := key == "" && s.cfg.AdminPassword == ""
	if made {
		key = secret.NewAPIKey()
	}
	if key != "" {
		admin.KeyHash, admin.KeyHint = secret.Hash(key), secret.Hint(key)
	}
	if made {
		if err := s.show(key); err != nil {
			return err
		}
	}
	if err := s.db.Write(ctx, func(tx *store.Tx) error {
		if seeded, err := store.Seeded(tx); err != nil || seeded { // by another node, meanwhile
			return err
		}
		return errors.Join(store.Seed(tx, admin), recordSetup(tx))
	}); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	return nil
}

// show writes a key that was made, before it is stored: one that nobody has
// seen would lock everybody out, one that was not stored is only made anew.
func (s *Server) show(key string) error {
	err := errors.New("no output was given")
	if s.cfg.Out != nil {
		_, err = fmt.Fprintf(s.cfg.Out, "The administrator's API key, shown only now:\n\n  %s\n\n", key)
	}
	if err == nil {
		return nil
	}
	return &resource.Error{
		Code: resource.PreconditionFailed, Err: err,
		Message: "The administrator's API key could not be shown, so none was made. Set SLIPWAY_ADMIN_API_KEY or SLIPWAY_ADMIN_PASSWORD and start again.",
	}
}

// recordSetup keeps the first start as the first task: clients expect that a
// server has at least one (octopus-api.md 2.0).
func recordSetup(tx *store.Tx) error {
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return err
	}
	now := tx.Now().UnixMilli()
	return store.InsertTask(tx, &store.Task{
		ID: id, SpaceID: resource.DefaultSpace, Name: "Setup", Description: "Set up the server and its default space",
		State: store.TaskSuccess, StartTime: now, CompletedTime: now, CreatedBy: "system",
	})
}
