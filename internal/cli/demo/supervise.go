package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
)

// process is one of the demo's own processes.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// ended says whether the process is gone, and the end of its log.
func (p *process) ended() (gone bool, last string) {
	select {
	case <-p.done:
	default:
		return false, ""
	}
	data, err := os.ReadFile(p.log)
	if err != nil {
		return true, err.Error()
	}
	return true, strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// supervisor starts the demo's processes and ends all it started.
type supervisor struct {
	self   string
	folder string

	mu   sync.Mutex
	list []*process
}

// environ is what the demo's processes see: nothing of the caller's own
// Slipway.
func environ(extra ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLIPWAY_") && !strings.HasPrefix(pair, "OCTOPUS_") {
			env = append(env, pair)
		}
	}
	return append(env, extra...)
}

// start starts this program with other arguments, its output in a log file.
func (s *supervisor) start(name string, env []string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(s.folder, "logs", name+".log"), done: make(chan struct{})}
	if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	// Not CommandContext: with --keep the processes outlive this one.
	p.cmd = exec.Command(s.self, args...) //nolint:noctx // see above
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environ(env...), log, log
	shop.Detach(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		// How it ended is in its log.
		_ = p.cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, p)
	return p, nil
}

// run runs this program to its end and returns what it printed.
func (s *supervisor) run(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.self, args...)
	cmd.Env = environ(env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("slipway %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// stop ends everything that still runs: the processes and the shops they left.
func (s *supervisor) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.list {
		errs = append(errs, killGroup(p.cmd.Process))
		<-p.done
	}
	errs = append(errs, eachShop(filepath.Join(s.folder, "machines"), killShop))
	return errors.Join(errs...)
}

// eachShop visits the state folders of all shops below folder.
func eachShop(folder string, visit func(state string) error) error {
	var errs []error
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "running.json" {
			errs = append(errs, visit(filepath.Dir(path)))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// killShop ends a shop without notice.
func killShop(state string) error {
	running, ok, err := shop.Current(state)
	if err != nil || !ok {
		return err
	}
	p, err := os.FindProcess(running.PID)
	if err != nil {
		return fmt.Errorf("kill shop %d: %w", running.PID, err)
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill shop %d: %w", running.PID, err)
	}
	return os.Remove(filepath.Join(state, "running.json"))
}

// freePort asks the system for a port that nobody uses now.
func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return address.Port, nil
}

// until asks again and again until the answer is yes, an error, or the context
// ends; what says what is waited for.
func until(ctx context.Context, what string, every time.Duration, ask func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := ask()
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
