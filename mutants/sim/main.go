// Command sim looks for the first seed whose simulation breaks one of the
// invariants it is given, and says which one as a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/sim"
)

// found is the line: Seed is 0 when no seed broke anything.
type found struct {
	Seed      uint64 `json:"seed"`
	Violation string `json:"violation"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	from := flag.Uint64("from", 1, "the first seed")
	seeds := flag.Uint64("seeds", 1000, "how many seeds at most")
	flag.Parse()
	f, err := look(ctx.Err, *from, *seeds, flag.Args())
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1) //nolint:forbidigo,gocritic // this is a main program
	}
}

// look runs seeds until one breaks an invariant of the list, or any at all when
// there is none.
func look(ended func() error, from, seeds uint64, invariants []string) (f found, err error) {
	scratch, err := sim.Scratch()
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	ground, err := sim.NewGround(scratch)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, ground.Close()) }()
	for seed := from; seed < from+seeds; seed++ {
		if err := ended(); err != nil {
			return f, err
		}
		r, err := ground.Run(seed)
		if err != nil {
			return f, fmt.Errorf("seed %d: %w", seed, err)
		}
		for _, v := range r.Violations {
			name, _, _ := strings.Cut(v, ":")
			if name, _, _ = strings.Cut(name, " "); len(invariants) == 0 || slices.Contains(invariants, name) {
				return found{Seed: seed, Violation: v}, nil
			}
		}
	}
	return f, nil
}
