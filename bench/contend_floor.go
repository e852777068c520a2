package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// floor drives the program in bench/floor: one server, n agents.
type floor struct {
	dir    string
	script string
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	procs  processes
}

func startFloor(ctx context.Context, dir string, n int) (*floor, error) {
	f := &floor{dir: filepath.Join(dir, "agents"), script: filepath.Join(dir, "script.sh")}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.script, []byte(scriptText), 0o600); err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "floor")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/slipwayhq/slipway/bench/floor").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build floor: %w: %s", err, out)
	}
	server := exec.CommandContext(ctx, binary, "server", "-agents", fmt.Sprint(n))
	var err error
	if f.stdin, err = server.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.stdout = bufio.NewScanner(out)
	if err := f.procs.start(server, filepath.Join(dir, "server.log")); err != nil {
		return nil, err
	}
	words, err := f.line("listening")
	if err != nil || len(words) != 3 {
		return nil, fmt.Errorf("floor server said %q: %w", words, err)
	}
	for i := range n {
		home := filepath.Join(f.dir, fmt.Sprint(i))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return nil, err
		}
		agent := exec.CommandContext(ctx, binary, "agent", "-server", words[1], "-pin", words[2], "-dir", home)
		if err := f.procs.start(agent, filepath.Join(dir, "agent.log")); err != nil {
			return nil, err
		}
	}
	_, err = f.line("connected")
	return f, err
}

func (f *floor) Name() string { return "floor" }

func (f *floor) Script(context.Context) error { return f.do("script " + f.script) }

func (f *floor) Package(_ context.Context, r release) error {
	return f.do("package " + r.Zip + " " + r.JSON)
}

func (f *floor) Prepare(context.Context, release) error { return nil }

func (f *floor) Installed() string { return f.dir }

func (f *floor) Close() error { return f.procs.stop() }

func (f *floor) do(command string) error {
	if _, err := fmt.Fprintln(f.stdin, command); err != nil {
		return err
	}
	_, err := f.line("ok")
	return err
}

func (f *floor) line(want string) ([]string, error) {
	if !f.stdout.Scan() {
		return nil, fmt.Errorf("floor server ended: %w", f.stdout.Err())
	}
	words := strings.Fields(f.stdout.Text())
	if len(words) == 0 || words[0] != want {
		return nil, fmt.Errorf("floor server said %q", f.stdout.Text())
	}
	return words, nil
}
