package deploy

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Restored is the last time that the server's data were put back from a backup.
type Restored struct {
	store.Restored
	// Unmatched are the attempts that agents have and these data do not, or whose
	// end they do not know.
	Unmatched []store.UnmatchedAttempt
	Machines  map[string]string // names by id
}

// LastRestored reads it; NotFound when there was none.
func (s *Service) LastRestored(ctx context.Context, who app.Caller) (last *Restored, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if err := app.Allow(who, authz.AdministerSystem, authz.Scope{}); err != nil {
			return err
		}
		found, err := store.LastRestored(tx)
		if err != nil {
			return err
		}
		if found == nil {
			return resource.Errorf(resource.NotFound, "The data of this server were never restored from a backup.")
		}
		last = &Restored{Restored: *found, Machines: map[string]string{}}
		if last.Unmatched, err = store.Unmatched(tx, ""); err != nil {
			return err
		}
		for _, u := range last.Unmatched {
			if m, err := store.Get[resource.Machine](tx, u.Machine); err == nil {
				last.Machines[u.Machine] = m.Name
			}
		}
		return nil
	})
	return last, err
}

// ConfirmRestored lets machines catch up by themselves again, with what these
// data say that they are to run.
func (s *Service) ConfirmRestored(ctx context.Context, who app.Caller) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		if err := app.Allow(who, authz.AdministerSystem, authz.Scope{}); err != nil {
			return err
		}
		last, err := store.LastRestored(tx)
		if err != nil {
			return err
		}
		if err := store.ConfirmRestored(tx, who.Username); err != nil {
			return err
		}
		return audit(tx, resource.EventModified, fmt.Sprintf("The restore from the backup of %s was confirmed", at(last.BackupAt)), "")
	})
}
