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

// sealLogs makes blobs of the logs of attempts soon after their end (design 4),
// on one node at a time.
func (s *Server) sealLogs(ctx context.Context) error {
	duty := s.duty("logs")
	for round := 0; ; round++ {
		on, err := duty.On(ctx)
		if err == nil && on {
			err = s.sealRound(ctx, round)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.ErrorContext(ctx, "look after finished logs", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sealEvery):
		}
	}
}

// sealRound makes blobs of the logs that are finished by now.
func (s *Server) sealRound(ctx context.Context, round int) error {
	var errs error
	if round%divideEvery == 0 {
		errs = s.db.Logs().Divide(ctx)
	}
	sealed, err := s.db.Logs().Seal(ctx)
	if sealed > 0 {
		s.cfg.Logger.DebugContext(ctx, "made blobs of finished logs", "logs", sealed)
	}
	return errors.Join(errs, err)
}
