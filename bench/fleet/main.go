// Command fleet is a fleet of simulated agents in one process for the figures
// of scale: the product's own protocol, keys and TLS, one connection for each,
// and nothing behind it. It reads commands:
//
//	make N      be N agents; prints "agent SUBSCRIPTION THUMBPRINT" for each new one, then "ok"
//	connect N   let the first N connect and stay connected; prints "ok" at once
//	starts      prints "ok STARTED AGAIN": scripts that began, and orders that came twice
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"log/slog"
	randv2 "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

func main() {
	log.SetFlags(0)
	var f fleet
	flag.StringVar(&f.server, "server", "", "where agents connect, host:port")
	flag.StringVar(&f.pin, "pin", "", "the server's thumbprint")
	flag.StringVar(&f.dir, "dir", "", "folder for the agents' keys")
	flag.Parse()
	ctx := context.Background()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := f.do(ctx, strings.Fields(in.Text())); err != nil {
			log.Fatal("fleet: ", err)
		}
	}
}

type fleet struct {
	server, pin, dir string
	agents           []*agent
	connected        int
	starts, again    atomic.Int64
}

func (f *fleet) do(ctx context.Context, words []string) error {
	if len(words) == 1 && words[0] == "starts" {
		fmt.Println("ok", f.starts.Load(), f.again.Load())
		return nil
	}
	if len(words) != 2 {
		return fmt.Errorf("what is %q?", words)
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	switch words[0] {
	case "make":
		err = f.make(n)
	case "connect":
		f.connect(ctx, n)
	default:
		err = fmt.Errorf("what is %q?", words)
	}
	fmt.Println("ok")
	return err
}

// make creates the agents that are missing. Making a key waits for the disk,
// so several are made at a time.
func (f *fleet) make(n int) error {
	from := len(f.agents)
	f.agents = append(f.agents, make([]*agent, max(0, n-from))...)
	var group errgroup.Group
	group.SetLimit(32)
	for i := from; i < n; i++ {
		group.Go(func() error {
			id, err := agentrpc.CreateIdentity(filepath.Join(f.dir, strconv.Itoa(i)), "agent", time.Now(), rand.Reader)
			if err != nil {
				return err
			}
			f.agents[i] = &agent{
				identity: id, subscription: fmt.Sprintf("bench-%d", i), starts: &f.starts, again: &f.again,
				attempts: map[string]*attempt{}, epochs: map[string]int64{},
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for _, a := range f.agents[from:] {
		fmt.Fprintln(out, "agent", a.subscription, a.identity.Thumbprint())
	}
	return out.Flush()
}

// connect lets agents that are not connected yet dial, and again whenever the
// link breaks, as the real one does.
func (f *fleet) connect(ctx context.Context, n int) {
	for ; f.connected < min(n, len(f.agents)); f.connected++ {
		a := f.agents[f.connected]
		config := agentrpc.ClientTLS(a.identity, agentrpc.Pinned(f.pin))
		poller := &agentrpc.Poller{
			Addresses: []string{f.server}, TLS: config, Handler: agentrpc.NewHandler(a),
			Random: randv2.Float64, Log: slog.New(slog.DiscardHandler),
		}
		go func() { _ = poller.Run(ctx) }()
	}
}
