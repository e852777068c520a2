package agentrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Protocol is the ALPN name that both sides must speak (abuse 16).
const Protocol = "slipway-agent/1"

// HandshakeTimeout is how long a connection may take from TCP to the end of
// the TLS handshake before it is dropped.
const HandshakeTimeout = 10 * time.Second

// Verify decides about a peer by the thumbprint of its certificate; nil lets it
// in. It runs within the handshake, after the peer has proved that it holds the
// key, and before any byte of the application is read (abuse 1, 2, 11).
type Verify func(thumbprint string) error

// ErrNotPinned is why Pinned refused a peer.
var ErrNotPinned = errors.New("the peer's thumbprint is not a pinned one")

// Pinned lets in exactly the peers with one of the thumbprints.
func Pinned(thumbprints ...string) Verify {
	pins := make(map[string]bool, len(thumbprints))
	for _, text := range thumbprints {
		if pin, ok := ParseThumbprint(text); ok {
			pins[pin] = true
		}
	}
	return func(thumbprint string) error {
		//guard:pinned abuse 1: who is not pinned gets no further than the handshake; seen by ./internal/agentrpc TestHandshake
		if !pins[thumbprint] {
			return ErrNotPinned
		}
		return nil
	}
}

// ServerTLS is the configuration of the side that accepts connections.
func ServerTLS(id *Identity, verify Verify) *tls.Config {
	config := baseTLS(id, verify)
	config.ClientAuth = tls.RequireAnyClientCert
	return config
}

// ClientTLS is the configuration of the side that dials.
func ClientTLS(id *Identity, verify Verify) *tls.Config {
	config := baseTLS(id, verify)
	// No name and no chain is checked: VerifyConnection compares the pin, and
	// the handshake itself proves the key.
	config.InsecureSkipVerify = true
	return config
}

// baseTLS is TLS 1.3 with both certificates, our ALPN name and no session
// tickets: every connection proves both keys anew.
func baseTLS(id *Identity, verify Verify) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{id.cert},
		MinVersion:             tls.VersionTLS13,
		MaxVersion:             tls.VersionTLS13,
		NextProtos:             []string{Protocol},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != Protocol {
				return fmt.Errorf("the peer does not speak %s", Protocol)
			}
			if len(state.PeerCertificates) == 0 {
				return errors.New("the peer has no certificate")
			}
			pin := Thumbprint(state.PeerCertificates[0])
			if err := verify(pin); err != nil {
				return fmt.Errorf("peer %s: %w", pin, err)
			}
			return nil
		},
	}
}

// Peer is the thumbprint of the other side of a connection whose handshake is
// done, "" before that.
func Peer(conn *tls.Conn) string {
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return ""
	}
	return Thumbprint(certs[0])
}

// Dial opens a connection and completes the handshake, within HandshakeTimeout
// for both. With TLS 1.3 the dialling side learns of its own rejection only
// from its first read.
func Dial(ctx context.Context, address string, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, HandshakeTimeout, errHandshake)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

var errHandshake = fmt.Errorf("no handshake within %v", HandshakeTimeout)
