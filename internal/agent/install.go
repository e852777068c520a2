package agent

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
)

// ServiceName is the agent's name among the system's services.
const ServiceName = "slipway-agent"

// commandTimeout bounds each of the system's own tools.
const commandTimeout = time.Minute

// Installer makes the agent a service of the system: started with it, started
// again when it ends, and stopped without the scripts that run.
type Installer struct {
	// Program is the absolute path of the slipway binary, Home the agent's.
	Program, Home string
	// Name is the service's name, ServiceName by default.
	Name string
	// Root is where the system's files are, "/" by default.
	Root string
	// Command runs one of the system's tools, Exec by default. Its error holds
	// what the tool said.
	Command func(ctx context.Context, name string, args ...string) (output string, err error)
	// LookPath finds programs, exec.LookPath by default.
	LookPath func(string) (string, error)
}

// Exec runs a tool of the system within a minute.
func Exec(ctx context.Context, name string, args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, fmt.Errorf("%s took over %v", name, commandTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// defaults fills in what was left empty.
func (i *Installer) defaults() error {
	if i.Name == "" {
		i.Name = ServiceName
	}
	if i.Root == "" {
		i.Root = string(filepath.Separator)
	}
	if i.Command == nil {
		i.Command = Exec
	}
	if i.LookPath == nil {
		i.LookPath = exec.LookPath
	}
	if !ValidID(i.Name) {
		return resource.Errorf(resource.Invalid, "%q cannot be a service's name: use letters, digits, dots and dashes.", i.Name)
	}
	for _, path := range []string{i.Program, i.Home} {
		if !filepath.IsAbs(path) {
			return resource.Errorf(resource.Invalid, "The service needs absolute paths, not %q.", path)
		}
	}
	return nil
}

// check refuses to make a service of what other users can change (abuse 85).
func (i *Installer) check() error {
	if err := i.defaults(); err != nil {
		return err
	}
	return checkPlace(i.Home, i.Program)
}

// OpenFirewall lets the server reach a listening agent's port. note says what is
// left for a person to do, "" if nothing.
func (i *Installer) OpenFirewall(ctx context.Context, port int) (note string, err error) {
	if err := i.defaults(); err != nil {
		return "", err
	}
	return i.openFirewall(ctx, port)
}

// all runs the tools one after the other, up to the first that fails.
func (i *Installer) all(ctx context.Context, commands ...[]string) error {
	for _, c := range commands {
		if _, err := i.Command(ctx, c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}
