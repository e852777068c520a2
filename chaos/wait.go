package main

import (
	"context"
	"fmt"
	"time"
)

// poll calls done every interval until it is true, fails, or limit is over.
func poll(ctx context.Context, what string, interval, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took longer than %s", what, limit))
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if !pause(ctx, interval) {
			return context.Cause(ctx)
		}
	}
}

// pause waits, and says whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
