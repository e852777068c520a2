package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"github.com/slipwayhq/slipway/internal/cli/console"
)

// Main runs the program as this process and returns its exit code.
func Main(ctx context.Context, version string, args []string) int {
	return Run(ctx, Process(version), args)
}

// Process is the console of this process: its streams, environment, clock and
// terminal.
func Process(version string) *console.Console {
	c := &console.Console{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: terminal{}, Env: os.Getenv, Now: time.Now, Pause: pause, Version: version,
	}
	if dir, err := os.UserConfigDir(); err == nil {
		c.ConfigDir = filepath.Join(dir, "slipway")
	}
	return c
}

type terminal struct{}

func (terminal) IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (terminal) Size() (width, height int, ok bool) {
	width, height, err := term.GetSize(int(os.Stderr.Fd()))
	return width, height, err == nil && width > 0 && height > 0
}

func (terminal) ReadSecret() (string, error) {
	secret, err := term.ReadPassword(int(os.Stdin.Fd()))
	if err != nil {
		return "", errors.New("the terminal cannot hide what is typed; pipe the value in instead")
	}
	return string(secret), nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
