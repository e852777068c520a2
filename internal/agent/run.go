package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
)

// RunDeps are what an agent needs from outside.
type RunDeps struct {
	Packages Packages
	// Shim is the command that keeps the attempt in a folder, nil for this
	// program as "agent shim --dir folder".
	Shim    func(dir string) *exec.Cmd
	Clock   func() time.Time
	Random  func() float64 // 0 up to but not including 1
	Log     *slog.Logger
	Version string
	// Locked is called once this process alone has the home, before it serves,
	// with the attempts that may still run: the place to clean up in. May be nil.
	Locked func(live []string) error
	// Listening hears the address that a listening agent accepts on; may be
	// nil.
	Listening func(address string)
}

// Identity gives the agent's identity in home, and makes it first where there is
// none.
func Identity(home, name string, now time.Time, random io.Reader) (*agentrpc.Identity, error) {
	if err := MakeHome(home); err != nil {
		return nil, err
	}
	return agentrpc.LoadOrCreateIdentity(identityDir(home), name, now, random)
}

// Run is the whole life of the agent process: it checks that it is where it
// belongs, re-attaches to the attempts that its predecessor left, and serves
// its server until ctx ends. An error other than ctx's cause means that the
// process has to exit at once; what runs under shims goes on.
func Run(ctx context.Context, home string, config *Config, deps RunDeps) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	if deps.Shim == nil {
		deps.Shim = func(dir string) *exec.Cmd {
			return exec.Command(program, "agent", "shim", "--dir", dir) //nolint:noctx // it outlives every context of ours
		}
	}
	if home, err = filepath.Abs(home); err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	if err := config.Validate(); err != nil {
		return err
	}
	if err := errors.Join(checkPlace(home, program), checkInstance(home, config)); err != nil {
		return err
	}
	id, err := agentrpc.LoadIdentity(identityDir(home))
	if err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	disk, err := openDisk(ctx, home)
	if err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	defer func() { _ = disk.Close() }()
	journal, err := OpenJournal(disk)
	if err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	if deps.Locked != nil {
		if err := deps.Locked(liveAttempts(journal)); err != nil {
			return err
		}
	}
	facts := GatherFacts(ctx, deps.Version)
	facts.SubscriptionID = config.SubscriptionID
	if facts.Incarnation, facts.Starts, err = countStart(home, deps.Random); err != nil {
		return err
	}
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	service := NewService(ctx, home, journal, Deps{
		Packages: deps.Packages, Shim: deps.Shim, Clock: deps.Clock, Log: deps.Log, Facts: facts, Fatal: fatal,
	})
	defer service.Wait()
	deps.Log.InfoContext(ctx, "agent runs", "name", config.Name, "mode", config.Mode, "thumbprint", id.Thumbprint(),
		"incarnation", facts.Incarnation, "attempts", len(journal.List()))
	err = serve(ctx, config, id, agentrpc.NewHandler(service), deps)
	fatal(err) // the watchers end, whatever the reason
	return err
}

// lockPatience is how long an agent waits for its predecessor to be gone.
const lockPatience = 10 * time.Second

// openDisk opens the journal's disk. A predecessor that was just killed may
// leave its lock for a moment to a process that it was starting.
func openDisk(ctx context.Context, home string) (*FileDisk, error) {
	over := time.NewTimer(lockPatience)
	defer over.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		disk, err := OpenFileDisk(home)
		if !errors.Is(err, ErrLocked) {
			return disk, err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func liveAttempts(journal *Journal) []string {
	var live []string
	for _, at := range journal.List() {
		if at.Phase != Ended {
			live = append(live, at.ID)
		}
	}
	return live
}

// checkInstance refuses an identity that was copied here (abuse 4).
func checkInstance(home string, config *Config) error {
	here, err := Instance(home)
	if err != nil {
		return err
	}
	if config.Instance != here {
		return resource.Errorf(resource.PreconditionFailed,
			"This agent's home was copied from another machine or another folder (%s now). Two machines must not share one identity: "+
				"remove %s here and register this machine anew.", home, home)
	}
	return nil
}
