// Command mutants removes each guard of the product in turn and demands that
// something names what it protects: an invariant of the simulation, or an
// assertion of the test that the guard's marker names. A guard that can go
// without anybody noticing is not needed, or not tested.
//
// The marker stands on the line before the guard (form, in guard.go). Files are
// replaced for the compiler alone; the work tree is never changed. What does not
// compile, panics, races or runs out of time has caught nothing.
//
// It prints one row per guard and closes with one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
)

func main() {
	only := flag.String("only", "", "guards to remove, comma-separated; all if empty")
	seeds := flag.Int("seeds", 1000, "how many seeds of the simulation a guard may survive")
	jobs := flag.Int("jobs", 2, "how many guards at once")
	list := flag.Bool("list", false, "list the guards and remove none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, split(*only), *seeds, *jobs, *list); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1) //nolint:forbidigo,gocritic // this is a main program
	}
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// total is the closing line.
type total struct {
	Removed int      `json:"removed"`
	Caught  int      `json:"caught"`
	Missed  []string `json:"missed"`
}

func run(ctx context.Context, out io.Writer, only []string, seeds, jobs int, list bool) error {
	guards, err := find(".")
	if err == nil {
		guards, err = choose(guards, only)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "| guard | protects | removed from | caught by | seeds |\n|---|---|---|---|---|")
	if list {
		for _, g := range guards {
			fmt.Fprintln(out, row(g, verdict{said: "not tried"}))
		}
		return nil
	}
	bench, err := newBench(ctx, guards, seeds)
	if err != nil {
		return err
	}
	defer bench.close()
	t := total{Missed: []string{}}
	t.all(ctx, out, guards, bench, jobs)
	closing, err := json.Marshal(t)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, string(closing))
	if t.Caught < t.Removed {
		return fmt.Errorf("%d of %d guards can go without anybody noticing", t.Removed-t.Caught, t.Removed)
	}
	return context.Cause(ctx)
}

// choose picks the guards of these names; one that does not exist is an error.
func choose(guards []*guard, only []string) ([]*guard, error) {
	if len(only) == 0 {
		return guards, nil
	}
	var chosen []*guard
	for _, name := range only {
		i := slices.IndexFunc(guards, func(g *guard) bool { return g.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no guard %q; -list has them", name)
		}
		chosen = append(chosen, guards[i])
	}
	return chosen, nil
}

// all removes the guards, some at once, and prints their rows in order.
func (t *total) all(ctx context.Context, out io.Writer, guards []*guard, b *bench, jobs int) {
	verdicts := make([]chan verdict, len(guards))
	for i := range verdicts {
		verdicts[i] = make(chan verdict, 1)
	}
	next := make(chan int)
	var wait sync.WaitGroup
	for range jobs {
		wait.Go(func() {
			for i := range next {
				verdicts[i] <- b.try(ctx, guards[i])
			}
		})
	}
	go func() {
		defer close(next)
		for i := range guards {
			next <- i
		}
	}()
	for i, g := range guards {
		v := <-verdicts[i]
		fmt.Fprintln(out, row(g, v))
		if t.Removed++; v.caught {
			t.Caught++
		} else {
			t.Missed = append(t.Missed, g.name)
		}
	}
	wait.Wait()
}

// clip cuts what an assertion says to what fits into a table.
func clip(text string) string {
	const most = 140
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// row is one line of the table.
func row(g *guard, v verdict) string {
	said, seeds := "`"+clip(strings.NewReplacer("|", "/", "`", "'", "\n", " ").Replace(v.said))+"`", ""
	if !v.caught {
		said = "**nothing**: " + said
	}
	if v.seed > 0 {
		seeds = fmt.Sprint(v.seed)
	}
	return fmt.Sprintf("| %s: %s | %s | `%s` | %s | %s |", g.name, g.why, strings.Join(g.protects, ", "), g.file, said, seeds)
}
