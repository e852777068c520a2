package agentrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// maxHandshakes bounds the connections that have not finished their handshake,
// so that strangers who connect and say nothing cost a known amount (abuse 1).
const maxHandshakes = 2048

// Listener accepts connections and completes their handshakes.
type Listener struct {
	tcp    net.Listener
	config *tls.Config
	refuse func(remote string, err error)
}

// Listen opens the address. refuse hears of each connection that did not pass
// the handshake; it must be quick and limit its own rate (abuse 1).
func Listen(ctx context.Context, address string, config *tls.Config, refuse func(remote string, err error)) (*Listener, error) {
	tcp, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return NewListener(tcp, config, refuse), nil
}

// NewListener is Listen over a socket that is open already.
func NewListener(socket net.Listener, config *tls.Config, refuse func(remote string, err error)) *Listener {
	return &Listener{tcp: socket, config: config, refuse: refuse}
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Close stops accepting. Connections that were handed over live on.
func (l *Listener) Close() error { return l.tcp.Close() }

// Serve calls handle in a goroutine of its own for each connection that passed
// the handshake, until ctx ends or the listener is closed, and returns when the
// last of them has. handle owns the connection.
func (l *Listener) Serve(ctx context.Context, handle func(context.Context, *tls.Conn)) error {
	stop := context.AfterFunc(ctx, func() { _ = l.tcp.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxHandshakes)
	for failures := 0; ; {
		raw, err := l.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return context.Cause(ctx)
		}
		if err != nil { // out of descriptors, most likely: others will be given back
			failures++
			if !pause(ctx, min(time.Duration(failures)*10*time.Millisecond, time.Second)) {
				return context.Cause(ctx)
			}
			continue
		}
		failures = 0
		slots <- struct{}{}
		wg.Go(func() {
			if conn := l.accept(ctx, raw, slots); conn != nil {
				// In a goroutine of its own: this one's stack has grown with the
				// handshake, and a connection may live for months.
				wg.Go(func() { handle(ctx, conn) })
			}
		})
	}
}

// accept completes the handshake; nil when the peer was refused.
func (l *Listener) accept(ctx context.Context, raw net.Conn, slots <-chan struct{}) *tls.Conn {
	defer func() { <-slots }()
	conn, err := l.handshake(ctx, raw)
	if err != nil {
		l.refuse(raw.RemoteAddr().String(), err)
		part(raw)
		return nil
	}
	return conn
}

// partTime and partBytes bound what a refused peer may still send.
const (
	partTime  = time.Second
	partBytes = 64 << 10
)

// part closes a refused connection when the peer has, or soon: closing with
// bytes unread would reset it, and a reset overtakes the alert that says why,
// on Windows always.
func part(raw net.Conn) {
	if half, ok := raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		over := time.AfterFunc(partTime, func() { _ = raw.Close() })
		defer over.Stop()
		_, _ = io.CopyN(io.Discard, raw, partBytes)
	}
	_ = raw.Close()
}

func (l *Listener) handshake(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, HandshakeTimeout, errHandshake)
	defer cancel()
	conn := tls.Server(raw, l.config)
	return conn, conn.HandshakeContext(ctx)
}

// pause waits and says whether ctx let it.
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
