//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// memoryGroup is a control group with little memory.
type memoryGroup struct {
	t   *testing.T
	dir string
}

// smallMemory makes a group of that size below the one that the tests are in, or
// skips the story.
func smallMemory(t *testing.T, name string, size int) *memoryGroup {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("needs control groups:", err)
	}
	for line := range strings.Lines(string(own)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controller, path, _ := strings.Cut(rest, ":")
		var dir, limit string
		switch controller {
		case "memory":
			dir, limit = filepath.Join("/sys/fs/cgroup/memory", path), "memory.limit_in_bytes"
		case "":
			dir, limit = filepath.Join("/sys/fs/cgroup", path), "memory.max"
		default:
			continue
		}
		g := &memoryGroup{t, filepath.Join(dir, fmt.Sprintf("slipway-test-%s-%d", name, os.Getpid()))}
		if os.Mkdir(g.dir, 0o755) != nil {
			continue
		}
		if f, err := os.OpenFile(filepath.Join(g.dir, limit), os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString(strconv.Itoa(size))
			_ = f.Close()
			if err == nil {
				t.Cleanup(g.leave)
				return g
			}
		}
		_ = os.Remove(g.dir)
	}
	t.Skip("needs a control group with little memory, and none can be made here")
	return nil
}

func (g *memoryGroup) pids() []string {
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		g.t.Error(err)
	}
	return strings.Fields(string(text))
}

// leave gives the processes back to the group above.
func (g *memoryGroup) leave() {
	for _, pid := range g.pids() {
		_ = os.WriteFile(filepath.Join(g.dir, "..", "cgroup.procs"), []byte(pid), 0)
	}
	if err := os.Remove(g.dir); err != nil {
		g.t.Error(err)
	}
}

func (g *memoryGroup) join(pid int) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		g.t.Fatal(err)
	}
}

// hungry is a line of a script whose process wants 300 MB.
const hungry = "head -c 300000000 /dev/zero | tail >/dev/null\n"

// starve lets the system end the process for lack of memory: it is put beside
// one that wants too much, as the first to go.
func (g *memoryGroup) starve(p *process) {
	g.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.cmd.Process.Pid), []byte("1000"), 0); err != nil {
		g.t.Fatal(err)
	}
	g.join(p.cmd.Process.Pid)
	// The shell moves itself in; who ends it is the system as well.
	_, _ = start(filepath.Dir(p.log), "hungry", []string{"bash", "-c", "echo $$ >'" + g.dir + "/cgroup.procs'; " + hungry, "bash"}, nil)
	eventually(g.t, p.name+" is ended by the system", p.ended)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		g.t.Errorf("%s ended otherwise: %v", p.name, p.cmd.ProcessState)
	}
}

// fault 47: a script whose process the system kills for lack of memory has
// failed, its log says so, and the agent goes on; one that was killed otherwise
// in the same group has failed as well, and its log does not.
func TestScriptRunsOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	g := smallMemory(t, "script", 150_000_000)
	g.join(m.process.cmd.Process.Pid)
	for version, c := range map[string]struct {
		body string
		want bool
	}{
		"1.0.0": {"echo before\n" + hungry, true},
		"2.0.0": {"echo before\nkill -9 $$\n", false},
	} {
		s.steps(step("Eat", "web", "", script("Eat", s.mark("starts-"+version)+c.body)))
		s.release(version)
		task := s.deploy(version)
		s.finish(task, "Failed")
		log := s.logOf(task)
		contains(t, "the log", log, "before", "exit code 137")
		if strings.Contains(log, "out of memory") != c.want {
			t.Errorf("out of memory, %v:\n%s", c.want, log)
		}
		if n := len(s.once("starts-" + version)); n != 1 {
			t.Errorf("%d starts", n)
		}
	}
	if m.process.ended() {
		t.Error("the agent ended with the script")
	}
}

// fault 47: the system ends the agent for lack of memory, and then the server,
// while a script runs; that is as when they are killed otherwise (faults 10 and
// 4): the script goes on, is not repeated, and its log is whole.
func TestAgentAndServerRunOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	m := s.machine("m")
	s.steps(step("Wait", "web", "", script("Wait", s.mark("starts")+"echo one\n"+s.until("go")+"echo two\n")))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	smallMemory(t, "agent", 60_000_000).starve(m.process)
	m.start()
	smallMemory(t, "server", 60_000_000).starve(s.server.process)
	s.touch("go")
	s.restart(t)
	s.finish(task, "Success")
	contains(t, "the log", s.logOf(task), "one", "two")
	if n := len(s.once("starts")); n != 1 {
		t.Errorf("%d starts", n)
	}
}
