package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
)

// refusesToDiscover asks at an address where there is no agent to be found, and
// wants a sentence with those parts.
func (r *rig) refusesToDiscover(ctx context.Context, address string, parts ...string) {
	r.t.Helper()
	host, port, err := net.SplitHostPort(address)
	r.must(err)
	n, err := strconv.Atoi(port)
	r.must(err)
	found, err := r.g.Discover(ctx, host, n)
	known, ok := errors.AsType[*resource.Error](err)
	if !ok || known.Code != resource.Invalid {
		r.t.Fatalf("%s: %+v, %v", address, found, err)
	}
	for _, part := range parts {
		contains(r.t, known.Message, part)
	}
}

// An agent that trusts this server says who it is before it is registered; it
// is asked nothing but that.
func TestDiscover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serving()
	a := newAgent(t, "")
	at, err := url.Parse(r.listen(a, r.id.Thumbprint()))
	r.must(err)
	port, err := strconv.Atoi(at.Port())
	r.must(err)
	found, err := r.g.Discover(t.Context(), at.Hostname(), port)
	r.must(err)
	if found.Thumbprint != a.id.Thumbprint() || found.Hostname != "web-1" || found.Address != at.Host {
		t.Errorf("found %+v", found)
	}
	a.see(func() {
		if len(a.calls) != 1 || a.calls["Describe"] != 1 {
			t.Errorf("calls %v", a.calls)
		}
	})
}

// abuse 79: what is no agent for this server is refused in words that say what
// to do and repeat nothing that it sent.
func TestDiscoverRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serving()
	other := newAgent(t, "")
	at, err := url.Parse(r.listen(other, newAgent(t, "").id.Thumbprint()))
	r.must(err)
	r.refusesToDiscover(t.Context(), at.Host, other.id.Thumbprint(), "--trust "+r.id.Thumbprint())
	r.refusesToDiscover(t.Context(), r.g.Addr().String(), "this server's own port")

	chatty := r.answers(func(conn net.Conn) {
		_, _ = io.WriteString(conn, "SSH-2.0-canary\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	r.refusesToDiscover(t.Context(), chatty, "is no Slipway agent")
	id, err := agentrpc.CreateIdentity(t.TempDir(), "web", time.Now(), strings.NewReader(strings.Repeat("r", 48)))
	r.must(err)
	config := agentrpc.ServerTLS(id, func(string) error { return nil })
	config.NextProtos = []string{"h2"} // some other service with TLS
	config.VerifyConnection = nil
	r.refusesToDiscover(t.Context(), r.answers(func(conn net.Conn) { _ = tls.Server(conn, config).Handshake() }), "is no Slipway agent")

	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	r.must(err)
	r.must(closed.Close())
	r.refusesToDiscover(t.Context(), closed.Addr().String(), "Nothing listens at "+closed.Addr().String())
}

// Who says nothing holds nobody up: a discovery ends with its caller, and by
// itself.
func TestDiscoverDoesNotHang(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serving()
	var accepted atomic.Int64
	silent := r.answers(func(conn net.Conn) { accepted.Add(1); _, _ = io.Copy(io.Discard, conn) })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("enough"))
	defer cancel()
	r.refusesToDiscover(ctx, silent, "is no Slipway agent")
	mute := newAgent(t, "")
	mute.before = func(string) error { <-t.Context().Done(); return nil }
	at, err := url.Parse(r.listen(mute, r.id.Thumbprint()))
	r.must(err)
	ctx, cancel = context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("enough"))
	defer cancel()
	r.refusesToDiscover(ctx, at.Host, "does not answer")
	if accepted.Load() != 1 {
		t.Errorf("%d connections for one discovery", accepted.Load())
	}
}

// serving starts the gateway and returns once it has its first link.
func (r *rig) serving() {
	r.t.Helper()
	a := newAgent(r.t, "first")
	m := r.machine("first", a)
	r.start()
	r.connect(a, unchanged)
	r.online(m)
}

// answers serves connections until the test ends and returns the address.
func (r *rig) answers(serve func(net.Conn)) string {
	r.t.Helper()
	listener, err := new(net.ListenConfig).Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	r.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); serve(conn) }()
		}
	}()
	r.t.Cleanup(func() { r.must(listener.Close()); <-done })
	return listener.Addr().String()
}
