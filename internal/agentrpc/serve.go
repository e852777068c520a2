package agentrpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
)

// NewHandler serves the agent's closed list of RPCs (abuse 13) with the limits
// of this package. A panic in one is that call's error and nothing else's
// (abuse 68).
func NewHandler(agent AgentHandler) http.Handler {
	_, handler := NewAgentHandler(agent,
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			if spec.Procedure == AgentStartProcedure {
				return []connect.HandlerOption{connect.WithReadMaxBytes(LargeMessage)}
			}
			return []connect.HandlerOption{connect.WithReadMaxBytes(MaxMessage)}
		}),
		connect.WithSendMaxBytes(LargeMessage),
		connect.WithCompression("gzip", nil, nil),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, r any) error {
			return connect.NewError(connect.CodeInternal, fmt.Errorf("%s panicked: %v", spec.Procedure, r))
		}),
	)
	return handler
}

// ServeConn serves the handler on one connection whose handshake is done, until
// the connection or ctx ends, and returns why it ended. The context of each
// request carries the caller's thumbprint, see Caller.
func ServeConn(ctx context.Context, conn *tls.Conn, handler http.Handler) error {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, callerKey{}, Peer(conn)))
	defer cancel(nil)
	w := watch(conn)
	stop := context.AfterFunc(ctx, func() {
		w.end(context.Cause(ctx))
		_ = conn.Close()
	})
	defer stop()
	server := &http2.Server{
		MaxConcurrentStreams: maxStreams,
		MaxReadFrameSize:     maxFrame,
		ReadIdleTimeout:      pingAfter,
		PingTimeout:          pingTimeout,
	}
	base := &http.Server{
		MaxHeaderBytes: maxHeader,
		// The reason of a broken connection is returned, not logged.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	// Configured, the server shares no pool with other connections.
	if err := http2.ConfigureServer(base, server); err != nil {
		return fmt.Errorf("serve connection: %w", err)
	}
	server.ServeConn(w, &http2.ServeConnOpts{Context: ctx, BaseConfig: base, Handler: handler})
	_ = w.Close()
	return w.reason()
}

type callerKey struct{}

// Caller is the thumbprint of the peer that a request came from. Nothing in a
// request's body says who sent it (abuse 7).
func Caller(ctx context.Context) string {
	pin, _ := ctx.Value(callerKey{}).(string)
	return pin
}
