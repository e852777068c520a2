//go:build unix

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is a slipway that runs in the background.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// environ is what our processes see: nothing of the caller's own Slipway.
func environ(folder string, extra ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLIPWAY_") && !strings.HasPrefix(pair, "OCTOPUS_") && !strings.HasPrefix(pair, "XDG_") {
			env = append(env, pair)
		}
	}
	return append(append(env, "XDG_CONFIG_HOME="+filepath.Join(folder, "config"), "NO_COLOR=1"), extra...)
}

// start starts slipway, or wrapper with slipway's command line behind it. Its
// output is appended to <folder>/<name>.log.
func start(folder, name string, wrapper, env []string, args ...string) (*process, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(folder, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	line := append(append(append([]string{}, wrapper...), program), args...)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environ(folder, env...), log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C of the tests' terminal is not for it
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

// kill ends the process as a power cut would. It may have ended before.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end, and waits until it has.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	eventually(t, p.name+" stops", func() bool { return p.ended() })
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal %s: %v", p.name, err)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// said is what the process has printed so far.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// result is what came of one command line.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
}

// invoke runs slipway to its end.
func invoke(t *testing.T, folder string, env []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = environ(folder, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatalf("slipway %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

var lastPort atomic.Int64

// freePort is a loopback port that nobody uses. It comes from below the range
// that the system takes ports for outgoing connections from, and is never given
// twice.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := nextPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func nextPort() (string, error) {
	for range 1000 {
		port := strconv.FormatInt(12000+(int64(os.Getpid())*61+lastPort.Add(1))%20000, 10)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// killLeftovers ends what still runs from or in a folder: scripts and their
// keepers outlive agents by design. Only Linux lets us look.
func killLeftovers(folder string) {
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range found {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !strings.Contains(string(line), folder+"/") && !strings.HasPrefix(cwd, folder+"/") {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
