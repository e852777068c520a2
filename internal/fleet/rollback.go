package fleet

import (
	"context"
	"errors"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// rollBack carries the policy Slipway.Deployment.RollBack out: each failed task
// that asked for it once, whatever is killed in between. What cannot be planned
// is dropped with the reason in the log.
func (f *Fleet) rollBack(ctx context.Context) error {
	var tasks []string
	err := f.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		held, err := store.Held(tx) // which release was before is of an old backup
		if !held && err == nil {
			tasks, err = store.RollBacks(tx)
		}
		return err
	})
	for _, task := range tasks {
		err = errors.Join(err, f.rollBackOne(ctx, task))
	}
	return err
}

func (f *Fleet) rollBackOne(ctx context.Context, task string) error {
	var by, why string
	err := f.cfg.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if by, why, err = f.cfg.Deploy.RollBack(tx, task); err != nil {
			return err
		}
		return store.RolledBack(tx, task)
	})
	if known, ok := errors.AsType[*resource.Error](err); ok && known.Code != resource.Unavailable && known.Code != resource.Internal {
		why = known.Message
		err = f.cfg.DB.Write(ctx, func(tx *store.Tx) error { return store.RolledBack(tx, task) })
	}
	if err == nil {
		f.log.InfoContext(ctx, "roll back", "task", task, "by", by, "not_because", why)
	}
	return err
}
