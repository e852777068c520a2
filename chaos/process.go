package main

import (
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
)

// process is a slipway that runs in the background.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// environ is what our processes see: nothing of the caller's own Slipway.
func environ(dir string, extra ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLIPWAY_") && !strings.HasPrefix(pair, "OCTOPUS_") && !strings.HasPrefix(pair, "XDG_") {
			env = append(env, pair)
		}
	}
	return append(append(env, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "NO_COLOR=1"), extra...)
}

// start starts a program whose output is appended to the log.
func start(log string, env []string, program string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, file, file
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C of our terminal is not for it
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.cmd, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// procFile reads a file of a process from /proc; "" when it is gone.
func procFile(pid int, name string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// processesOf are the pids of those that run from or in a folder.
func processesOf(folder string) (pids []int) {
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range found {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if strings.Contains(procFile(pid, "cmdline"), folder+"/") || strings.HasPrefix(cwd, folder+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killLeftovers ends what outlives agents by design: scripts and their keepers.
func killLeftovers(folder string) {
	for _, pid := range processesOf(folder) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// keepers are the shims that run for an agent's home, by attempt folder.
func keepers(home string) map[string]int {
	found := map[string]int{}
	for _, pid := range processesOf(home) {
		words := strings.Split(procFile(pid, "cmdline"), "\x00")
		for i, word := range words {
			if word == "shim" && i+2 < len(words) && words[i+1] == "--dir" {
				found[filepath.Base(words[i+2])] = pid
			}
		}
	}
	return found
}

var lastPort atomic.Int64

// freePort is a loopback port that nobody uses, from below the ranges that the
// system takes ports for outgoing connections from and that the stories of e2e
// use; it is never given twice.
func freePort() (string, error) {
	for range 1000 {
		port := strconv.FormatInt(3000+(int64(os.Getpid())*61+lastPort.Add(1))%9000, 10)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("no port is free")
}
