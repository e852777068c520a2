package agent_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// failSyncs makes every fsync of this process, and of those that it starts, fail
// with an input/output error from the signal on, and says so by the file.
func failSyncs(said string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		<-asked
		if err := refuse(unix.EIO, unix.SYS_FSYNC, unix.SYS_FDATASYNC); err == nil {
			_ = os.WriteFile(said, nil, 0o600)
		}
	}()
}

// refuse lets the kernel answer these system calls with the error, in all
// threads of this process.
func refuse(err syscall.Errno, calls ...uint32) error {
	const number = 0 // of the call, in what the filter is given
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(calls) - i), K: call})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(err)})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

// fault 22: the machine's disk answers an fsync with an input/output error: the
// agent promises nothing, starts nothing and exits at once; the next one goes on
// from what is durable, and the order that failed can be given again.
func TestAgentExitsWhenAnFsyncFails(t *testing.T) {
	t.Parallel()
	failing := filepath.Join(t.TempDir(), "failing")
	m := newMachine(t, "AGENT_TEST_FAIL_SYNCS="+failing)
	gate, starts := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "starts")
	m.run("A-1", "echo one; "+waitsFor(gate)+"; echo two")
	if err := m.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	wait(t, "fsyncs fail", func() bool { return exists(failing) })
	script := "echo A-2 >>" + starts
	_, err := m.link.Client.Start(t.Context(), startRequest("A-2", job(t, script)))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("ordered on a disk that failed: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.cmd.Wait() }()
	if err := <-ended; err == nil || m.cmd.ProcessState.ExitCode() <= 0 {
		t.Errorf("the agent ended with %v", m.cmd.ProcessState)
	}
	if len(lines(starts)) != 0 {
		t.Error("what was refused has run")
	}
	m.env = nil
	m.start()
	if answer := m.query("A-1"); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		t.Errorf("what ran before: %v", answer)
	}
	wait(t, "A-2 is decided", func() bool { return m.query("A-2").GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING })
	again := m.run("A-2", script)
	if again.GetResult().GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED {
		m.run("A-3", script) // its record was on the disk after all: the server makes another attempt
	}
	wait(t, "it runs now", func() bool { return len(lines(starts)) == 1 })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_SUCCEEDED)
	if log != "one\ntwo\n" {
		t.Errorf("log %q", log)
	}
	if left, _ := os.ReadFile(filepath.Join(agent.FolderOf(m.home, "A-1"), "shim.err")); len(left) != 0 {
		t.Errorf("the keeper said %s", left)
	}
}
