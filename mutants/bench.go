package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// verdict is what became of one removal.
type verdict struct {
	caught bool
	said   string // by whom, or why not
	seed   uint64
}

// missed is a removal that nothing named.
func missed(format string, args ...any) verdict { return verdict{said: fmt.Sprintf(format, args...)} }

// bench builds and runs the product with a guard removed.
type bench struct {
	dir   string // of the changed files and what was built
	seeds int
	green map[string]bool // tests that pass on the product as it is: "./pkg TestName"
	whole func() (string, error)
}

// newBench runs the tests that the markers name on the product as it is: what
// is red before the removal proves nothing.
func newBench(ctx context.Context, guards []*guard, seeds int) (*bench, error) {
	dir, err := os.MkdirTemp("", "slipway-mutants-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, seeds: seeds, green: map[string]bool{}}
	b.whole = sync.OnceValues(func() (string, error) { return b.simulation(ctx, "whole", "") })
	tests := map[string][]string{}
	for _, g := range guards {
		if g.test != "" && !slices.Contains(tests[g.pkg], g.test) {
			tests[g.pkg] = append(tests[g.pkg], g.test)
		}
	}
	for pkg, names := range tests {
		out, err := goTest(ctx, "", pkg, names)
		if err != nil {
			b.close()
			return nil, err
		}
		for _, name := range names {
			switch r := judge(out, pkg, name, nil); {
			case !r.passed:
				b.close()
				return nil, fmt.Errorf("%s %s does not pass on the product as it is: %s", pkg, name, r.said)
			default:
				b.green[pkg+" "+name] = true
			}
		}
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// try removes a guard and says what names it.
func (b *bench) try(ctx context.Context, g *guard) verdict {
	overlay, err := b.overlay(g)
	if err != nil {
		return missed("cannot be removed: %v", err)
	}
	if g.test == "" {
		return b.simulate(ctx, g, overlay)
	}
	if !b.green[g.pkg+" "+g.test] {
		return missed("%s was not seen to pass before", g.test)
	}
	out, err := goTest(ctx, overlay, g.pkg, []string{g.test})
	if err != nil {
		return missed("%v", err)
	}
	r := judge(out, g.pkg, g.test, g.protects)
	return verdict{caught: r.named, said: r.said}
}

// overlay writes the changed file and the list by which the compiler finds it.
func (b *bench) overlay(g *guard) (path string, err error) {
	content, err := os.ReadFile(g.file)
	if err != nil {
		return "", err
	}
	changed, err := g.remove(string(content))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.dir, g.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(g.file))
	was, err := filepath.Abs(g.file)
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{was: file}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, errors.Join(os.WriteFile(file, []byte(changed), 0o600), os.WriteFile(path, list, 0o600))
}

// simulation builds the search over seeds.
func (b *bench) simulation(ctx context.Context, name, overlay string) (path string, err error) {
	path = filepath.Join(b.dir, name+".sim")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", path, "./mutants/sim")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %w: %s", err, firstLines(string(text)))
	}
	return path, nil
}

// simulate looks for a seed whose run names an invariant of the guard, and runs
// the same seed on the product as it is.
func (b *bench) simulate(ctx context.Context, g *guard, overlay string) verdict {
	path, err := b.simulation(ctx, g.name, overlay)
	if err != nil {
		return missed("%v", err)
	}
	defer func() { _ = os.Remove(path) }()
	for from := uint64(1); ; {
		f, err := seek(ctx, path, from, b.seeds-int(from)+1, g.protects)
		if err != nil {
			return missed("%v", err)
		}
		if f.Seed == 0 {
			return missed("survived %d seeds", b.seeds)
		}
		before, err := b.asItIs(ctx, f.Seed)
		if err != nil {
			return missed("%v", err)
		}
		if before.Seed == 0 {
			said, _, _ := strings.Cut(f.Violation, "\n")
			return verdict{caught: true, said: "simulation, " + said, seed: f.Seed}
		}
		from = f.Seed + 1 // red without the removal: it proves nothing
	}
}

// asItIs runs one seed on the product as it is.
func (b *bench) asItIs(ctx context.Context, seed uint64) (found, error) {
	whole, err := b.whole()
	if err != nil {
		return found{}, err
	}
	return seek(ctx, whole, seed, 1, nil)
}

// found is what mutants/sim says.
type found struct {
	Seed      uint64 `json:"seed"`
	Violation string `json:"violation"`
}

func seek(ctx context.Context, path string, from uint64, seeds int, invariants []string) (f found, err error) {
	args := append([]string{"-from", fmt.Sprint(from), "-seeds", fmt.Sprint(max(seeds, 0))}, invariants...)
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Stderr, cmd.Env = &stderr, append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 10*time.Second // it cleans up
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("the simulation broke: %w: %s", err, firstLines(stderr.String()))
	}
	return f, json.Unmarshal(out, &f)
}

// firstLines is enough of a long output to see what it is about.
func firstLines(text string) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", 5)
	return strings.Join(lines[:min(len(lines), 4)], " / ")
}
