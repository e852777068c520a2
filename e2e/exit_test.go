//go:build unix

package e2e_test

import (
	"strings"
	"syscall"
	"testing"
)

// waits starts `release deploy --wait` in the background and returns it with
// the task once it has said which one it started.
func (s *stage) waits(version string, more ...string) (p *process, task string) {
	s.t.Helper()
	args := append([]string{"release", "deploy", "--project", s.name, "--version", version, "--environment", s.name, "--wait"}, more...)
	p, err := start(s.t.TempDir(), "wait", nil, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=" + s.key}, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.kill)
	eventually(s.t, "the deployment is started", func() bool {
		_, rest, said := strings.Cut(p.said(), "Started ")
		task, _, _ = strings.Cut(rest, ":")
		return said && task != ""
	})
	return p, task
}

// exits waits for the end of a background process and wants that exit code.
func (s *stage) exits(p *process, code int, says ...string) {
	s.t.Helper()
	eventually(s.t, p.name+" exits", p.ended)
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d: %s", got, code, p.said())
	}
	contains(s.t, "the output", p.said(), says...)
}

// Every exit code that `release deploy --wait` promises.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	s.machine("m")
	deploy := func(version string, more ...string) result {
		return s.cli(t, append([]string{"release", "deploy", "--project", s.name, "--version", version, "--environment", s.name, "--wait"}, more...)...)
	}
	s.steps(step("Say", "web", "", script("Say", "echo said")))
	s.release("0.0.0")
	s.steps(step("Fail", "web", "", script("Fail", "exit 3")))
	s.release("1.0.0")
	s.steps(step("Wait", "web", "", script("Wait", s.mark("starts")+s.until("go"))))
	s.release("2.0.0")

	if r := deploy("0.0.0"); r.code != 0 {
		t.Errorf("success: %v", r)
	}
	if r := deploy("1.0.0"); r.code != 1 {
		t.Errorf("failure: %v", r)
	} else {
		contains(t, "the failure", r.stdout+r.stderr, "Fail", "3")
	}
	if r := s.cli(t, "release", "deploy", "--project", s.name, "--wait"); r.code != 2 {
		t.Errorf("wrong usage: %v", r)
	}
	if r := invoke(t, s.folder, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=API-AAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"release", "deploy", "--project", s.name, "--version", "0.0.0", "--environment", s.name, "--wait"); r.code != 3 {
		t.Errorf("not authorised: %v", r)
	}
	r := deploy("2.0.0", "--wait-timeout", "1s")
	if r.code != 4 {
		t.Errorf("timed out: %v", r)
	}
	contains(t, "the timeout", r.stderr, "goes on", "slipway task wait")
	running := s.tasks()[0]
	if running.State != "Executing" {
		t.Errorf("after the timeout the task is %s", running.State)
	}
	s.must(t, "task", "cancel", running.ID)
	s.finish(running.ID, "Canceled")

	p, task := s.waits("2.0.0")
	eventually(t, "the second script runs", func() bool { return len(s.lines("starts")) == 2 })
	s.must(t, "task", "cancel", task)
	s.exits(p, 5)

	p, task = s.waits("2.0.0")
	p.signal(t, syscall.SIGINT)
	s.exits(p, 6, "goes on", "slipway task wait "+task)

	// A server that is away for a while ends no wait.
	wait, err := start(t.TempDir(), "wait", nil, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=" + s.key}, "task", "wait", task)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wait.kill)
	eventually(t, "the third script runs", func() bool { return len(s.lines("starts")) == 3 })
	s.server.process.kill()
	eventually(t, "the wait notices", func() bool { return strings.Contains(wait.said(), "Waiting for it to come back") })
	s.restart(t)
	s.touch("go")
	s.exits(wait, 0)
	s.once("starts")
}
