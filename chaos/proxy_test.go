package main

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// record is a TLS record of n bytes.
func record(fill byte, n int) []byte {
	text := append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	for i := range n {
		text[5+i] = fill
	}
	return text
}

// A cut strikes at its record, in its direction, as its mode says: what came
// before has gone through whole, what comes after has not.
func TestCutsStrikeAtTheirRecord(t *testing.T) {
	t.Parallel()
	const size = 100
	for mode, arrives := range map[cutMode]int{cutBefore: 2 * (size + 5), cutWithin: 2*(size+5) + (size+5)/2, cutStall: 4 * (size + 5), cutOneWay: 4 * (size + 5)} {
		for _, back := range []bool{false, true} {
			t.Run(string(mode), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				server, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				fired := make(chan cut, 1)
				p, err := newProxy("127.0.0.1:0", func() string { return server.Addr().String() }, func(c cut) { fired <- c })
				if err != nil {
					t.Fatal(err)
				}
				go p.serve(ctx)
				dialled, err := net.Dial("tcp", p.address())
				if err != nil {
					t.Fatal(err)
				}
				defer dialled.Close()
				accepted, err := server.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer accepted.Close()
				p.set(cut{back: back, after: 3, place: 3, mode: mode, hold: time.Millisecond})
				from, to := dialled, accepted
				if back {
					from, to = accepted, dialled
				}
				go func() {
					for i := range 4 {
						_, _ = from.Write(record(byte(i), size)) // the reader decides
					}
					if mode == cutStall || mode == cutOneWay {
						_ = from.Close()
					}
				}()
				got, _ := io.ReadAll(to) // a reset is what is wanted
				if c := <-fired; c.mode != mode || c.place != 3 {
					t.Errorf("fired %v", c)
				}
				if len(got) > arrives || mode != cutBefore && mode != cutWithin && len(got) != arrives {
					t.Errorf("%d bytes arrived, want %d", len(got), arrives)
				}
			})
		}
	}
}
