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
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/proc"
)

// Packages is the agent's package store as the service needs it.
type Packages interface {
	// Missing gives those of the digests that the store does not hold whole.
	Missing(digests []string) ([]string, error)
	// Put stores what content holds under the header's digest. Nothing is
	// visible before its last byte was hashed and is durable; on any error
	// nothing is left.
	Put(ctx context.Context, header *agentrpc.PutRequest_Header, content io.Reader) error
}

// Deps are what a service needs from outside.
type Deps struct {
	Packages Packages
	// Shim is the command that keeps the attempt in the folder: this program
	// as "agent shim --dir folder".
	Shim  func(dir string) *exec.Cmd
	Clock func() time.Time
	Log   *slog.Logger
	// Facts are what Describe says of the machine.
	Facts Facts
	// Fatal is called once when the journal can no longer be trusted: the
	// process has to exit at once (fault 22).
	Fatal func(error)
}

// Service answers the server's calls. It implements agentrpc.AgentHandler.
type Service struct {
	home string
	deps Deps
	core *Core

	spawned  atomic.Int64 // shims that were started
	watching atomic.Int64 // attempts that are open

	wg         sync.WaitGroup
	background context.Context //nolint:containedctx // the service's own run
	probes     chan struct{}
}

// run is one open attempt that is watched.
type run struct {
	Watched

	// exited is closed when the shim, a child of this process, has ended; nil
	// for one of an earlier agent, which then is known to have no child on its
	// way to the marker.
	exited <-chan struct{}
	// settled is closed once the marker is there or the attempt has ended.
	settled chan struct{}
	once    sync.Once
}

var _ agentrpc.AgentHandler = (*Service)(nil)

// NewService takes over a journal and the attempts that it has as open: those
// that go on are watched again (fault 10, 46), the others are judged. Folders
// of attempts that were forgotten are removed. The work goes on until ctx ends;
// Wait waits for it. No attempt ends with the service.
func NewService(ctx context.Context, home string, journal *Journal, deps Deps) *Service {
	s := &Service{
		home: home, deps: deps, core: NewCore(journal, folders{filepath.Join(home, "attempts")}),
		background: ctx, probes: make(chan struct{}, maxProbes),
	}
	s.sweep()
	s.wg.Go(s.trim)
	for _, at := range s.core.List() {
		if at.Phase != Ended {
			s.watch(newRun(at.ID, at.Phase))
		}
	}
	return s
}

// Wait returns when all watching has ended, after ctx has.
func (s *Service) Wait() { s.wg.Wait() }

func (s *Service) attemptsDir() string { return filepath.Join(s.home, "attempts") }

func (s *Service) folder(attempt string) Folder { return folders{s.attemptsDir()}.of(attempt) }

func newRun(attempt string, phase Phase) *run {
	return &run{Watched: Watched{Attempt: attempt, Phase: phase}, settled: make(chan struct{})}
}

// sweep removes the folders that the journal has no attempt for, but for those
// whose shim lives: a journal that went back in time must not cost a running
// job its files (fault 32).
func (s *Service) sweep() {
	proc.SweepGroups()
	known := map[string]bool{}
	for _, at := range s.core.List() {
		known[folderName(at.ID)] = true
	}
	entries, err := os.ReadDir(s.attemptsDir())
	if err != nil {
		return
	}
	for _, entry := range entries {
		if known[entry.Name()] {
			continue
		}
		folder := Folder{Path: filepath.Join(s.attemptsDir(), entry.Name())}
		if e, err := folder.gather(Starting); err != nil || e.Alive {
			s.deps.Log.Warn("left a folder alone whose attempt is not in the journal", "folder", folder.Path, "alive", e.Alive)
			continue
		}
		if err := folder.remove(); err != nil {
			s.deps.Log.Warn("remove folder of a forgotten attempt", "folder", folder.Path, "error", err)
		}
	}
}

// failed turns an error into the caller's. A broken journal ends the agent.
func (s *Service) failed(err error) error {
	if s.checkJournal() {
		return connect.NewError(connect.CodeUnavailable, errors.New("the agent's disk failed; the agent restarts"))
	}
	return connect.NewError(CodeOf(err), err)
}

// checkJournal ends the process when its journal has ended.
func (s *Service) checkJournal() (broken bool) {
	err := s.core.Broken()
	if err != nil {
		s.deps.Fatal(err)
	}
	return err != nil
}

// CodeOf is the code on the wire of an error of Core.
func CodeOf(err error) connect.Code {
	if known, ok := errors.AsType[*connect.Error](err); ok {
		return known.Code()
	}
	if _, ok := errors.AsType[*StaleError](err); ok {
		return connect.CodeFailedPrecondition
	}
	if _, ok := errors.AsType[*OpenError](err); ok {
		return connect.CodeFailedPrecondition
	}
	if _, ok := errors.AsType[*MismatchError](err); ok {
		return connect.CodeAlreadyExists
	}
	if errors.Is(err, ErrDiskFull) {
		return connect.CodeResourceExhausted
	}
	return connect.CodeInternal
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// orderOf checks the ids before anything is done with them (abuse 9).
func orderOf(attempt, rollout string, epoch int64) (Order, error) {
	if !ValidID(attempt) || !ValidID(rollout) {
		return Order{}, invalid("attempt and rollout need ids of letters, digits, dots, dashes and underscores, at most 200")
	}
	if epoch < 1 {
		return Order{}, invalid("the epoch has to be at least 1")
	}
	return Order{Attempt: attempt, Rollout: rollout, Epoch: epoch}, nil
}

// spawn starts the shim of an attempt whose start is durable. It is not in the
// caller's hands any more whether the job starts; what came of it is judged.
func (s *Service) spawn(folder Folder, payload []byte) *run {
	s.spawned.Add(1)
	r := newRun(folder.Attempt, Starting)
	exited := make(chan struct{})
	r.exited = exited
	cmd, stdin, err := s.startShim(folder)
	if err != nil {
		r.SpawnErr = err
		close(exited)
		return r
	}
	fail.Point(fail.Spawned)
	go func() { // a shim that does not read holds nothing up
		// One that ended early is seen by its end, not by this error.
		_ = writeJob(stdin, folder.Attempt, payload)
		_ = stdin.Close()
		fail.Point(fail.Handed)
	}()
	go func() { // lives as long as the shim, which may outlive the service
		_ = cmd.Wait()
		close(exited)
	}()
	return r
}

func (s *Service) startShim(folder Folder) (*exec.Cmd, io.WriteCloser, error) {
	cmd := s.deps.Shim(folder.Path)
	cmd.Dir = s.home
	proc.Detach(cmd)
	errorsTo, err := os.OpenFile(filepath.Join(folder.Path, fileErrors), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = errorsTo.Close() }()
	cmd.Stderr = errorsTo
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, stdin, cmd.Start()
}
