package gateway

import (
	"context"
	"time"

	"github.com/slipwayhq/slipway/internal/store"
)

// NewGroup is the group commit alone.
func NewGroup(ctx context.Context, db *store.DB) Records {
	return &group{db: db, run: ctx, now: time.Now}
}
