package store_test

import (
	"bytes"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// cutMode says where the proxy breaks the next connection that commits.
type cutMode int32

const (
	cutNot cutMode = iota
	cutBefore
	cutAnswer
)

// proxy stands between a store and PostgreSQL, on a socket of its own.
type proxy struct {
	address string
	target  string
	mode    atomic.Int32
	cuts    atomic.Int32

	mu    sync.Mutex
	conns map[net.Conn]bool
}

const socket = ".s.PGSQL.5432"

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	folder, err := os.MkdirTemp("", "pg") //nolint:usetesting // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: filepath.Join(query.Get("host"), socket), conns: map[net.Conn]bool{}}
	query.Set("host", folder)
	u.RawQuery = query.Encode()
	p.address = u.String()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(folder, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		os.RemoveAll(folder)
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// cut breaks the next connection that commits; the transaction that it is of
// may have been begun before.
func (p *proxy) cut(mode cutMode) { p.mode.Store(int32(mode)) }

// cutAll breaks every connection now.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := new(net.Dialer).Dial("unix", p.target)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client] = true
	p.mu.Unlock()
	defer func() {
		client.Close()
		server.Close()
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	var deaf atomic.Bool
	go p.answers(client, server, &deaf)
	p.asks(client, server, &deaf)
}

// asks passes on what the store says, up to a commit that is to be cut.
func (p *proxy) asks(client, server net.Conn, deaf *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte("COMMIT")) {
			switch cutMode(p.mode.Swap(int32(cutNot))) {
			case cutBefore:
				p.cuts.Add(1)
				return
			case cutAnswer:
				p.cuts.Add(1)
				deaf.Store(true)
			case cutNot:
			}
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// answers passes on what PostgreSQL says; one that nobody is to hear ends the
// connection.
func (p *proxy) answers(client, server net.Conn, deaf *atomic.Bool) {
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || deaf.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func containsSecret(err error) bool { return strings.Contains(err.Error(), "CANARY") }
