package agentrpc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// agent answers Describe and refuses all else.
type agent struct {
	agentrpc.UnimplementedAgentHandler

	caller atomic.Value
}

func (a *agent) Describe(ctx context.Context, _ *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	a.caller.Store(agentrpc.Caller(ctx))
	return connect.NewResponse(&agentrpc.DescribeResponse{Hostname: "web-1"}), nil
}

func (a *agent) Have(context.Context, *connect.Request[agentrpc.HaveRequest]) (*connect.Response[agentrpc.HaveResponse], error) {
	panic("a defect")
}

func identity(t *testing.T) *agentrpc.Identity {
	t.Helper()
	id, err := agentrpc.CreateIdentity(t.TempDir(), "test", time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// handshake runs both sides over loopback and gives each one's error. Both
// sockets stay open until both sides have read why.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.HandshakeContext(t.Context())
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		done <- err
	}()
	conn := tls.Client(b, client)
	clientErr = conn.HandshakeContext(t.Context())
	if clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1)) // the alert of a refusal comes with the first read
	}
	return <-done, clientErr
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	server, known, stranger := identity(t), identity(t), identity(t)
	serverTLS := func() *tls.Config { return agentrpc.ServerTLS(server, agentrpc.Pinned(known.Thumbprint())) }
	clientTLS := func() *tls.Config { return agentrpc.ClientTLS(known, agentrpc.Pinned(server.Thumbprint())) }
	change := func(config *tls.Config, f func(*tls.Config)) *tls.Config { f(config); return config }

	for name, c := range map[string]struct {
		server, client *tls.Config
		want           string // in the server's error; "" for success
		clientWant     string
	}{
		"both pinned": {server: serverTLS(), client: clientTLS()},
		"unknown client (abuse 1)": {
			server: serverTLS(), client: agentrpc.ClientTLS(stranger, agentrpc.Pinned(server.Thumbprint())),
			want: agentrpc.ErrNotPinned.Error(), clientWant: "bad certificate",
		},
		"unknown server (abuse 11)": {
			server: agentrpc.ServerTLS(stranger, agentrpc.Pinned(known.Thumbprint())), client: clientTLS(),
			want: "bad certificate", clientWant: agentrpc.ErrNotPinned.Error(),
		},
		"the server's own identity as client (abuse 2)": {
			server: serverTLS(), client: agentrpc.ClientTLS(server, agentrpc.Pinned(server.Thumbprint())),
			want: agentrpc.ErrNotPinned.Error(), clientWant: "bad certificate",
		},
		"no pins at all": {
			server: agentrpc.ServerTLS(server, agentrpc.Pinned()), client: clientTLS(),
			want: agentrpc.ErrNotPinned.Error(), clientWant: "bad certificate",
		},
		"no client certificate": {
			server: serverTLS(), client: change(clientTLS(), func(c *tls.Config) { c.Certificates = nil }),
			want: "certificate", clientWant: "certificate",
		},
		"TLS 1.2 client (abuse 16)": {
			server: serverTLS(), client: change(clientTLS(), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }),
			want: "version", clientWant: "version",
		},
		"TLS 1.2 server (abuse 16)": {
			server: change(serverTLS(), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), client: clientTLS(),
			want: "version", clientWant: "version",
		},
		"client without ALPN (abuse 16)": {
			server: serverTLS(), client: change(clientTLS(), func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }),
			want: agentrpc.Protocol, clientWant: "certificate",
		},
		"client with other ALPN (abuse 16)": {
			server: serverTLS(), client: change(clientTLS(), func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
			want: "protocol", clientWant: "protocol",
		},
		"server without ALPN (abuse 16)": {
			server: change(serverTLS(), func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }), client: clientTLS(),
			want: "certificate", clientWant: agentrpc.Protocol,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serverErr, clientErr := handshake(t, c.server, c.client)
			if c.want == "" {
				if serverErr != nil || clientErr != nil {
					t.Fatalf("server: %v, client: %v", serverErr, clientErr)
				}
				return
			}
			if serverErr == nil || !strings.Contains(serverErr.Error(), c.want) {
				t.Errorf("abuse 1: server: %v, want %q", serverErr, c.want)
			}
			if clientErr == nil || !strings.Contains(clientErr.Error(), c.clientWant) {
				t.Errorf("client: %v, want %q", clientErr, c.clientWant)
			}
		})
	}
}

// abuse 3: identities are pinned keys and no certificate authority's; so a pin
// is revoked by taking it away, and then both sides are told that it is the
// certificate. The dates in a certificate say nothing: a machine whose clock is
// wrong, or a key made by one, is let in.
func TestPinsAreRevokedNotOutlived(t *testing.T) {
	t.Parallel()
	at := func(now time.Time) *agentrpc.Identity {
		t.Helper()
		id, err := agentrpc.CreateIdentity(t.TempDir(), "test", now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	expired, early := at(time.Now().AddDate(-150, 0, 0)), at(time.Now().AddDate(50, 0, 0))
	for name, c := range map[string]struct{ server, client *agentrpc.Identity }{
		"the agent's has expired": {identity(t), expired}, "the agent's is not valid yet": {identity(t), early},
		"the server's has expired": {expired, identity(t)}, "the server's is not valid yet": {early, identity(t)},
	} {
		server := agentrpc.ServerTLS(c.server, agentrpc.Pinned(c.client.Thumbprint()))
		client := agentrpc.ClientTLS(c.client, agentrpc.Pinned(c.server.Thumbprint()))
		if serverErr, clientErr := handshake(t, server, client); serverErr != nil || clientErr != nil {
			t.Errorf("%s: server %v, client %v", name, serverErr, clientErr)
		}
		revoked := agentrpc.ServerTLS(c.server, agentrpc.Pinned(identity(t).Thumbprint()))
		serverErr, clientErr := handshake(t, revoked, client)
		if !errors.Is(serverErr, agentrpc.ErrNotPinned) || clientErr == nil || !strings.Contains(clientErr.Error(), "bad certificate") {
			t.Errorf("%s, revoked: server %v, client %v", name, serverErr, clientErr)
		}
	}
}

// connected gives both ends of a TCP connection after the handshake.
func connected(t *testing.T, wrap func(net.Conn) net.Conn) (agentEnd, serverEnd *tls.Conn, serverID *agentrpc.Identity) {
	t.Helper()
	agentID, serverID := identity(t), identity(t)
	a, b := net.Pipe()
	agentEnd = tls.Client(wrap(a), agentrpc.ClientTLS(agentID, agentrpc.Pinned(serverID.Thumbprint())))
	serverEnd = tls.Server(b, agentrpc.ServerTLS(serverID, agentrpc.Pinned(agentID.Thumbprint())))
	done := make(chan error, 1)
	go func() { done <- agentEnd.HandshakeContext(t.Context()) }()
	if err := errors.Join(serverEnd.HandshakeContext(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	return agentEnd, serverEnd, serverID
}

func unchanged(conn net.Conn) net.Conn { return conn }

func TestLinkCarriesCalls(t *testing.T) {
	t.Parallel()
	agentEnd, serverEnd, serverID := connected(t, unchanged)
	a := &agent{}
	served := make(chan error, 1)
	go func() { served <- agentrpc.ServeConn(t.Context(), agentEnd, agentrpc.NewHandler(a)) }()
	link, err := agentrpc.NewLink(serverEnd)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{}))
	if err != nil || reply.Msg.Hostname != "web-1" {
		t.Fatalf("describe: %v, %v", reply, err)
	}
	if got := a.caller.Load(); got != serverID.Thumbprint() {
		t.Errorf("caller %v, want %v", got, serverID.Thumbprint())
	}
	// abuse 68: a panic is that call's error, and the link lives on.
	if _, err := link.Client.Have(t.Context(), connect.NewRequest(&agentrpc.HaveRequest{})); connect.CodeOf(err) != connect.CodeInternal {
		t.Errorf("a panic came back as %v", err)
	}
	// abuse 14
	huge := make([]string, 20_000)
	for i := range huge {
		huge[i] = strings.Repeat("a", 64)
	}
	if _, err := link.Client.Have(t.Context(), connect.NewRequest(&agentrpc.HaveRequest{Sha256: huge})); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a message over 1 MiB came back as %v", err)
	}
	large := &agentrpc.StartRequest{Payload: bytes.Repeat([]byte("x"), 4<<20)}
	if _, err := link.Client.Start(t.Context(), connect.NewRequest(large)); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("a large job did not arrive: %v", err)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	<-link.Done()
	if !errors.Is(link.Err(), agentrpc.ErrClosed) {
		t.Errorf("reason %v, want %v", link.Err(), agentrpc.ErrClosed)
	}
	if err := <-served; err == nil {
		t.Error("the agent does not know why its connection ended")
	}
	if _, err := link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{})); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a call over a closed link came back as %v", err)
	}
}

// mute drops all writes once switched: the peer hears nothing any more.
type mute struct {
	net.Conn
	on *atomic.Bool
}

func (m mute) Write(p []byte) (int, error) {
	if m.on.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// dead is a network that is gone: nothing passes, not even the end.
type dead struct {
	deafConn

	silent chan struct{}
}

func (d dead) Write(p []byte) (int, error) { return mute{d.Conn, d.on}.Write(p) }

func (d dead) Close() error {
	if !d.on.Load() {
		return d.Conn.Close()
	}
	close(d.silent)
	return nil
}

func (d dead) Read(p []byte) (int, error) {
	n, err := d.deafConn.Read(p)
	if d.on.Load() {
		<-d.silent
		return 0, net.ErrClosed
	}
	return n, err
}

// fault 16: whichever direction is cut, or both, both sides know within 30 s.
func TestHalfOpenIsFound(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(net.Conn, *atomic.Bool) net.Conn{
		"mute": func(c net.Conn, cut *atomic.Bool) net.Conn { return mute{c, cut} },
		"deaf": func(c net.Conn, cut *atomic.Bool) net.Conn { return deafConn{c, cut} },
		"dead": func(c net.Conn, cut *atomic.Bool) net.Conn { return dead{deafConn{c, cut}, make(chan struct{})} },
	} {
		synctest.Test(t, func(t *testing.T) {
			var cut atomic.Bool
			agentEnd, serverEnd, _ := connected(t, func(conn net.Conn) net.Conn { return wrap(conn, &cut) })
			served := make(chan error, 1)
			go func() { served <- agentrpc.ServeConn(t.Context(), agentEnd, agentrpc.NewHandler(&agent{})) }()
			link, err := agentrpc.NewLink(serverEnd)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{})); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for time.Since(start) < time.Hour { // a healthy idle link stays
				select {
				case <-link.Done():
					t.Fatalf("idle link ended after %v: %v", time.Since(start), link.Err())
				case <-time.After(time.Minute):
				}
			}
			cut.Store(true)
			start = time.Now()
			<-link.Done()
			if err := <-served; err == nil {
				t.Error("the agent does not know why its connection ended")
			}
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("%s: found after %v", name, d)
			}
		})
	}
}

// deafConn swallows what it reads once switched.
type deafConn struct {
	net.Conn
	on *atomic.Bool
}

func (d deafConn) Read(p []byte) (int, error) {
	for {
		n, err := d.Conn.Read(p)
		if err != nil || !d.on.Load() {
			return n, err
		}
	}
}

func TestListenAndDialBothWays(t *testing.T) {
	t.Parallel()
	agentID, serverID, stranger := identity(t), identity(t), identity(t)
	refused := make(chan error, 8)
	refuse := func(_ string, err error) { refused <- err }

	t.Run("listening agent", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		l, err := agentrpc.Listen(ctx, "127.0.0.1:0", agentrpc.ServerTLS(agentID, agentrpc.Pinned(serverID.Thumbprint())), refuse)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- l.Serve(ctx, func(ctx context.Context, conn *tls.Conn) {
				_ = agentrpc.ServeConn(ctx, conn, agentrpc.NewHandler(&agent{}))
			})
		}()
		describe(t, dialLink(t, l.Addr().String(), agentrpc.ClientTLS(serverID, agentrpc.Pinned(agentID.Thumbprint()))), "")

		unknown := dialLink(t, l.Addr().String(), agentrpc.ClientTLS(stranger, agentrpc.Pinned(agentID.Thumbprint())))
		describe(t, unknown, "bad certificate") // abuse 11
		if err := <-refused; !errors.Is(err, agentrpc.ErrNotPinned) {
			t.Errorf("refused because of %v", err)
		}
		stop := errors.New("shut down")
		cancel(stop)
		if err := <-done; !errors.Is(err, stop) {
			t.Errorf("serve ended with %v", err)
		}
	})
	t.Run("polling agent", func(t *testing.T) {
		t.Parallel()
		links := make(chan *agentrpc.Link)
		l, err := agentrpc.Listen(t.Context(), "127.0.0.1:0", agentrpc.ServerTLS(serverID, agentrpc.Pinned(agentID.Thumbprint())), refuse)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = l.Serve(t.Context(), func(ctx context.Context, conn *tls.Conn) {
				link, err := agentrpc.NewLink(conn)
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case links <- link:
				case <-ctx.Done():
				}
			})
		}()
		poller := &agentrpc.Poller{
			Addresses: []string{l.Addr().String()},
			TLS:       agentrpc.ClientTLS(agentID, agentrpc.Pinned(serverID.Thumbprint())),
			Handler:   agentrpc.NewHandler(&agent{}),
			Random:    func() float64 { return 0 },
			Log:       slog.New(slog.DiscardHandler),
		}
		go func() { _ = poller.Run(t.Context()) }()
		first := <-links
		describe(t, first, "")
		_ = first.Close()
		again := <-links
		describe(t, again, "")
		if again.Thumbprint() != agentID.Thumbprint() {
			t.Errorf("peer %s, want %s", again.Thumbprint(), agentID.Thumbprint())
		}
	})
}

func dialLink(t *testing.T, address string, config *tls.Config) *agentrpc.Link {
	t.Helper()
	conn, err := agentrpc.Dial(t.Context(), address, config)
	if err != nil {
		t.Fatal(err)
	}
	link, err := agentrpc.NewLink(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	return link
}

// describe calls the agent; want is the reason of the link's end, "" for a
// call that works.
func describe(t *testing.T, link *agentrpc.Link, want string) {
	t.Helper()
	_, err := link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{}))
	if want == "" {
		if err != nil {
			t.Errorf("describe: %v", err)
		}
		return
	}
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("describe: %v", err)
	}
	<-link.Done()
	if !strings.Contains(link.Err().Error(), want) {
		t.Errorf("link ended with %v, want %q", link.Err(), want)
	}
}

// A stranger who connects and says nothing is dropped at the deadline.
func TestHandshakeHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		refused := make(chan error, 1)
		l := agentrpc.NewListener(&oneConn{conn: a}, agentrpc.ServerTLS(identity(t), agentrpc.Pinned()),
			func(_ string, err error) { refused <- err })
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- l.Serve(t.Context(), func(context.Context, *tls.Conn) { t.Error("handed over") }) }()
		if err := errors.Join(<-refused, <-done); err == nil {
			t.Error("dropped without a reason")
		}
		if d := time.Since(start); d != agentrpc.HandshakeTimeout {
			t.Errorf("dropped after %v", d)
		}
	})
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	net.Listener
	conn net.Conn
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func (l *oneConn) Close() error { return nil }

// abuse 15
func TestBackoffSpreadsAndIsCapped(t *testing.T) {
	t.Parallel()
	for _, chance := range []float64{0, 0.5, 0.999} {
		b := agentrpc.Backoff{Random: func() float64 { return chance }}
		previous := time.Duration(0)
		for range 10 {
			wait := b.Next()
			if wait < previous || wait < time.Second || wait > 30*time.Second {
				t.Fatalf("wait %v after %v", wait, previous)
			}
			previous = wait
		}
		if previous < 15*time.Second {
			t.Errorf("never backs off: %v", previous)
		}
		b.Reset()
		if wait := b.Next(); wait > 2*time.Second {
			t.Errorf("%v after a reset", wait)
		}
	}
}
