package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// cutMode is what happens at the record that a cut waits for.
type cutMode string

const (
	cutBefore cutMode = "before" // reset, the record is lost
	cutWithin cutMode = "within" // half of the record goes out, then reset
	cutStall  cutMode = "stall"  // nothing goes either way for a while
	cutOneWay cutMode = "oneway" // nothing goes that one way for a while
)

// cut waits for a TLS record: the after-th from when it was set, towards the
// side that dialled or away from it. A record is what one side wrote at once:
// headers, a message, an acknowledgement, so counting them goes through the
// boundaries of every call.
type cut struct {
	back  bool // towards the side that dialled
	after int
	place int // what after was at first
	mode  cutMode
	hold  time.Duration
}

// proxy stands between one agent and the servers. It knows nothing of what it
// carries but where TLS records begin.
type proxy struct {
	listener net.Listener
	target   func() string // asked for each connection
	fired    func(cut)

	mu    sync.Mutex
	cut   *cut
	still time.Time // nothing is passed on before
	pairs map[*pair]bool
}

// pair is one connection through the proxy.
type pair struct{ from, to net.Conn }

// reset ends both sides at once, without a polite end.
func (p *pair) reset() {
	for _, c := range []net.Conn{p.from, p.to} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func newProxy(address string, target func() string, fired func(cut)) (*proxy, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &proxy{listener: l, target: target, fired: fired, pairs: map[*pair]bool{}}, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// serve passes connections on until ctx ends.
func (p *proxy) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		_ = p.listener.Close()
		p.resetAll()
	})
	defer stop()
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.pass(ctx, from)
	}
}

func (p *proxy) resetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.reset()
	}
}

func (p *proxy) pass(ctx context.Context, from net.Conn) {
	var d net.Dialer
	to, err := d.DialContext(ctx, "tcp", p.target())
	if err != nil {
		_ = from.Close()
		return
	}
	both := &pair{from, to}
	p.mu.Lock()
	p.pairs[both] = true
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { p.pump(ctx, both, both.to, both.from, false) })
	wg.Go(func() { p.pump(ctx, both, both.from, both.to, true) })
	wg.Wait()
	p.mu.Lock()
	delete(p.pairs, both)
	p.mu.Unlock()
}

// pump passes records on one way, until one side ends.
func (p *proxy) pump(ctx context.Context, both *pair, to io.Writer, from io.Reader, back bool) {
	defer func() {
		_ = both.from.Close()
		_ = both.to.Close()
	}()
	buffer := make([]byte, 5+1<<16)
	for {
		record, err := readRecord(from, buffer)
		if err != nil {
			return
		}
		if !p.wait(ctx) {
			return
		}
		if c := p.due(back); c != nil {
			p.fired(*c)
			switch c.mode {
			case cutWithin:
				_, _ = to.Write(record[:len(record)/2])
				both.reset()
				return
			case cutBefore:
				both.reset()
				return
			case cutOneWay:
				if !pause(ctx, c.hold) {
					return
				}
			case cutStall:
				p.stall(c.hold)
				if !p.wait(ctx) {
					return
				}
			}
		}
		if _, err := to.Write(record); err != nil {
			return
		}
	}
}

var errNoTLS = errors.New("not a TLS record")

// readRecord reads one TLS record into the buffer.
func readRecord(from io.Reader, buffer []byte) ([]byte, error) {
	if _, err := io.ReadFull(from, buffer[:5]); err != nil {
		return nil, err
	}
	if buffer[0] < 20 || buffer[0] > 23 {
		return nil, errNoTLS
	}
	length := int(binary.BigEndian.Uint16(buffer[3:5]))
	if _, err := io.ReadFull(from, buffer[5:5+length]); err != nil {
		return nil, err
	}
	return buffer[:5+length], nil
}

// set makes the proxy wait for the cut; it replaces one that was not due yet.
func (p *proxy) set(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = &c
}

// clear forgets what was set.
func (p *proxy) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.still = nil, time.Time{}
}

// due counts a record and returns the cut that waited for it.
func (p *proxy) due(back bool) *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || p.cut.back != back {
		return nil
	}
	if p.cut.after--; p.cut.after > 0 {
		return nil
	}
	c := p.cut
	p.cut = nil
	return c
}

func (p *proxy) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = time.Now().Add(d)
}

// wait waits until nothing is held any more, and says whether ctx let it.
func (p *proxy) wait(ctx context.Context) bool {
	for {
		p.mu.Lock()
		left := time.Until(p.still)
		p.mu.Unlock()
		if left <= 0 {
			return true
		}
		if !pause(ctx, left) {
			return false
		}
	}
}
