package agentrpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Limits of a connection (abuse 14).
const (
	// MaxMessage bounds a message of any RPC that LargeMessage is not for.
	MaxMessage = 1 << 20
	// LargeMessage bounds a job on its way in and a result on its way out: a
	// result carries the receipt's file list, a job every variable.
	LargeMessage = 32 << 20
	// maxFrame is also what the peer buffers for each open stream.
	maxFrame   = 64 << 10
	maxHeader  = 64 << 10
	maxStreams = 256
	// headerTable turns off what the server's end of a link remembers of headers:
	// deadlines and dates differ with each call and fill any table with what never
	// comes again, 2 kB and more a link.
	headerTable = 1
)

// A silent connection is pinged and then closed, so that a half-open one is
// found within 25 s by whichever side does not hear the other (fault 16).
const (
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// ErrClosed is the reason of a link that this side closed.
var ErrClosed = errors.New("the link was closed here")

// Link is the server's end of a connection to one agent. All of the agent's
// RPCs run over this very connection; when it ends, so does the link, and
// nothing is dialled again behind its back.
type Link struct {
	// Client calls the agent. Its errors are *connect.Error; a lost connection
	// is connect.CodeUnavailable.
	Client AgentClient

	conn *watched
	peer string
}

// NewLink takes over a connection whose handshake is done and closes it when
// it fails.
func NewLink(conn *tls.Conn) (*Link, error) {
	peer := Peer(conn)
	if peer == "" {
		_ = conn.Close()
		return nil, errors.New("open link: the handshake is not done")
	}
	w := watch(conn)
	cc, err := sharedTransport().NewClientConn(w)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open link to %s: %w", peer, err)
	}
	return &Link{Client: newClient(cc), conn: w, peer: peer}, nil
}

// sharedTransport makes connections; it keeps nothing of them.
var sharedTransport = sync.OnceValue(func() *http2.Transport {
	return &http2.Transport{
		DisableCompression:        true,
		MaxHeaderListSize:         maxHeader,
		MaxReadFrameSize:          maxFrame,
		MaxEncoderHeaderTableSize: headerTable,
		MaxDecoderHeaderTableSize: headerTable,
		ReadIdleTimeout:           pingAfter,
		PingTimeout:               pingTimeout,
	}
})

// Thumbprint is the agent's pin.
func (l *Link) Thumbprint() string { return l.peer }

// RemoteAddr is the agent's address as this side sees it, for display.
func (l *Link) RemoteAddr() string { return l.conn.RemoteAddr().String() }

// Done is closed when the connection has ended.
func (l *Link) Done() <-chan struct{} { return l.conn.done }

// Err is why the connection ended, nil while it lives.
func (l *Link) Err() error { return l.conn.reason() }

// Close ends the connection and every RPC on it. It may be called twice.
func (l *Link) Close() error {
	l.conn.end(ErrClosed)
	return l.conn.Conn.Close()
}

// watched is a connection that tells when, and why, it ended.
type watched struct {
	*tls.Conn

	done chan struct{}
	once sync.Once
	err  error
}

func watch(conn *tls.Conn) *watched { return &watched{Conn: conn, done: make(chan struct{})} }

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.end(err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.end(errors.New("the peer did not answer or broke the protocol"))
	return w.Conn.Close()
}

func (w *watched) end(err error) {
	w.once.Do(func() {
		if errors.Is(err, io.EOF) {
			err = errors.New("the peer closed the connection")
		}
		w.err = err
		close(w.done)
	})
}

// reason is set before done is closed.
func (w *watched) reason() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}
