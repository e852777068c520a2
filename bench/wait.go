package main

import (
	"context"
	"fmt"
	"net"
	"time"
)

// poll calls done every interval until it is true, fails, or limit is over.
func poll(ctx context.Context, what string, interval, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took longer than %s", what, limit))
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func waitDial(ctx context.Context, addr string) error {
	return poll(ctx, "listening on "+addr, 5*time.Millisecond, 10*time.Second, func() (bool, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return false, nil //nolint:nilerr // not yet; the limit decides
		}
		return true, conn.Close()
	})
}
