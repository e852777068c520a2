package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/resource"
)

// worker is the agent process that runs steps on the server (design 5.9).
type worker struct{ c *console.Console }

// Prepare implements server.Worker: an agent that polls the server beside it.
// An agent that is there keeps its key and subscription, and follows the
// server to another port.
func (w worker) Prepare(home, address, thumbprint string) (own, subscription string, err error) {
	if home, err = filepath.Abs(home); err != nil {
		return "", "", fmt.Errorf("find the worker's home: %w", err)
	}
	config, err := agent.LoadConfig(home)
	if resource.CodeOf(err) == resource.NotFound {
		config, err = &agent.Config{
			Name: "Built-in worker", Mode: agent.Polling, SubscriptionID: agent.NewSubscriptionID(rand.Text),
			ApplicationsDir: filepath.Join(home, "applications"),
		}, nil
	}
	if err != nil {
		return "", "", err
	}
	config.Servers, config.ServerThumbprints = []string{address}, []string{thumbprint}
	identity, err := agent.Identity(home, config.Name, w.c.Now(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	return identity.Thumbprint(), config.SubscriptionID, config.Save(home)
}

// Command implements server.Worker.
func (w worker) Command(ctx context.Context, home string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	cmd := exec.CommandContext(ctx, program, "agent", "run", "--home", home)
	cmd.Env, cmd.Stderr = console.WithoutSecrets(os.Environ()), w.c.Err
	return cmd
}
