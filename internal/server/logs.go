package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// sealEvery is how often finished logs become blobs.
	sealEvery = 15 * time.Second
	// divideEvery is how many of these rounds lie between two looks at the days.
	divideEvery = 240
)

// logBlobs are finished logs in the blob store.
type logBlobs struct{ blobs blob.Store }

// Keep stores a finished log.
func (l logBlobs) Keep(ctx context.Context, r io.Reader) (string, error) {
	ref, err := l.blobs.Put(ctx, r, math.MaxInt64-1)
	return ref.SHA256, err
}

// Open opens a finished log.
func (l logBlobs) Open(ctx context.Context, key string) (store.ArchivedLog, error) {
	r, err := l.blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("log %s: %w: %w", key, fs.ErrNotExist, err)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// sealLogs makes blobs of the logs of attempts soon after their end (design 4).
func (s *Server) sealLogs(ctx context.Context) error {
	for round := 0; ; round++ {
		if round%divideEvery == 0 {
			if err := s.db.Logs().Divide(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.ErrorContext(ctx, "give the days to come tables for their logs", "error", err)
			}
		}
		sealed, err := s.db.Logs().Seal(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Logger.ErrorContext(ctx, "make blobs of finished logs", "error", err)
		case sealed > 0:
			s.cfg.Logger.DebugContext(ctx, "made blobs of finished logs", "logs", sealed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sealEvery):
		}
	}
}
