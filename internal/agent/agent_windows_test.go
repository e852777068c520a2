package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"connectrpc.com/connect"
	"golang.org/x/sys/windows"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

func failSyncs(string) {}

func limitFiles(uint64) error { return errors.New("a file's size cannot be limited here") }

// interpret gives the command that runs the batch script.
func interpret(dir, script string) *exec.Cmd {
	file := filepath.Join(dir, "script.cmd")
	if err := os.WriteFile(file, []byte("@echo off\r\n"+strings.ReplaceAll(script, "\n", "\r\n")+"\r\n"), 0o600); err != nil {
		return exec.Command(err.Error())
	}
	return exec.Command("cmd", "/d", "/c", file)
}

// helper is a process that a script starts: "gate" ends once the file is there,
// "stubborn" says its pid in the file and ignores the request to end.
func helper(role, file string) error {
	switch role {
	case "gate":
		for !exists(file) {
			<-time.After(10 * time.Millisecond)
		}
		return nil
	case "stubborn":
		signal.Ignore(os.Interrupt)
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		<-time.After(time.Hour)
	}
	return fmt.Errorf("no helper %q", role)
}

// as is this binary as a helper, for a script.
func as(role, file string) string {
	return fmt.Sprintf(`set AGENT_TEST_ROLE=helper&& "%s" %s "%s"`, os.Args[0], role, file)
}

// touch makes an empty file.
func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shimOf reads the marker of the machine's only attempt.
func (m *machine) shimOf() proc.Ref {
	m.t.Helper()
	found, _ := filepath.Glob(filepath.Join(m.home, "attempts", "*", "started"))
	if len(found) != 1 {
		m.t.Fatalf("markers: %v", found)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		m.t.Fatal(err)
	}
	var marker agent.Marker
	if err := json.Unmarshal(text, &marker); err != nil || marker.Shim == nil {
		m.t.Fatalf("marker %s: %v", text, err)
	}
	return *marker.Shim
}

func gone(pid int) bool {
	_, err := proc.Find(pid)
	return errors.Is(err, proc.ErrGone)
}

func endProcess(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Kill(), p.Release()); err != nil {
		t.Error(err)
	}
	wait(t, "the killed process is gone", func() bool { return gone(pid) })
}

func TestAttemptFromStartToForget(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.run("A-1", "echo one\necho two 1>&2\n>artifact echo content\nexit /b 3")
	log, result := m.follow("A-1", 0)
	if log != "one\r\ntwo \r\n" && log != "one\r\ntwo\r\n" || result.GetExitCode() != 3 || result.GetLogLength() != int64(len(log)) {
		t.Errorf("log %q, result %v", log, result)
	}
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_FAILED)
	if tail, _ := m.follow("A-1", 5); tail != log[5:] {
		t.Errorf("log from 5: %q", tail)
	}
	m.fetches("A-1", "artifact", "content\r\n")
	for _, key := range []string{"log", `..\journal`, `C:\windows\system.ini`, "artifact::$DATA", "CON", "NUL", ""} {
		m.fetches("A-1", key, "")
	}
	if _, err := m.link.Client.Forget(t.Context(), connect.NewRequest(&agentrpc.ForgetRequest{Attempts: []string{"A-1"}})); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(m.home, "attempts")); len(left) != 0 || m.query("A-1").GetState() != agentrpc.AttemptState_ATTEMPT_STATE_ENDED {
		t.Errorf("%v, %v after it was forgotten\n%s", left, m.query("A-1"), m.log)
	}
}

// fault 4, 5, 10, 17, 46, invariant I6: the agent is killed while a script
// writes; the script goes on, the next agent attaches, and no byte of the log is
// lost or doubled.
func TestScriptSurvivesTheAgent(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	starts, gate := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "gate")
	script := ">>" + starts + " echo started\nfor /l %%i in (1,1,50) do echo line %%i\n" +
		as("gate", gate) + "\nfor /l %%i in (51,1,100) do echo line %%i"
	m.run("A-1", script)
	wait(t, "half the log", func() bool { return m.query("A-1").GetLogLength() >= 50*8 })
	for range 3 {
		m.kill()
		m.start()
		if answer := m.run("A-1", script); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING { // fault 4, 17
			t.Errorf("after a restart: %v", answer)
		}
	}
	m.kill()
	touch(t, gate) // it goes on while there is no agent
	shim := m.shimOf()
	wait(t, "the shim ends without an agent", func() bool { return gone(shim.PID) })
	m.start()
	log, result := m.follow("A-1", 0)
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %d\r\n", i+1)
	}
	if log != want.String() {
		t.Errorf("log: %q", log)
	}
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_SUCCEEDED)
	m.kill()
	m.start()
	if again := m.query("A-1").GetResult(); !proto.Equal(again, result) { // fault 5
		t.Errorf("the result became %v", again)
	}
	if got := lines(starts); len(got) != 1 {
		t.Errorf("the script started %d times", len(got))
	}
}

// fault 8, 9, 13, invariant I1: the agent is killed at some moment of a start.
// Whatever the next agent says of the attempt is true.
func TestAgentKilledDuringStart(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	killed := map[uint32]bool{}
	t.Cleanup(func() { endChildren(t, killed) })
	starts := filepath.Join(t.TempDir(), "starts")
	outcomes := map[string]int{}
	for i := range 12 {
		attempt := fmt.Sprintf("A-%d", i)
		request := startRequest(attempt, job(t, ">>"+starts+" echo "+attempt))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.link.Client.Start(t.Context(), request)
		}()
		<-time.NewTimer(time.Duration(i) * 8 * time.Millisecond).C // the moment of the kill
		killed[uint32(m.cmd.Process.Pid)] = true
		m.kill()
		<-done
		m.start()
		wait(t, attempt+" is decided", func() bool {
			return m.query(attempt).GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING
		})
		answer := m.query(attempt)
		started := 0
		for _, line := range lines(starts) {
			if line == attempt {
				started++
			}
		}
		outcome := answer.GetResult().GetOutcome()
		outcomes[answer.GetState().String()+outcome.String()]++
		switch {
		case started > 1:
			t.Errorf("%s started %d times", attempt, started)
		case answer.GetState() == agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN && started == 0:
		case outcome == agentrpc.Outcome_OUTCOME_NOT_STARTED && started == 0:
		case outcome == agentrpc.Outcome_OUTCOME_SUCCEEDED && started == 1:
		default:
			t.Errorf("%s: %v, but it started %d times", attempt, answer, started)
		}
	}
	t.Log(outcomes)
}

// endChildren ends what the processes left: a process that is killed while it
// creates another leaves that one behind suspended, before its first instruction.
func endChildren(t *testing.T, of map[uint32]bool) {
	t.Helper()
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if of[entry.ParentProcessID] {
			t.Logf("process %d was left suspended", entry.ProcessID)
			endProcess(t, int(entry.ProcessID))
		}
	}
}

// fault 11: the shim is killed too; what is nobody's any more is left alone.
func TestShimKilledIsUnknown(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		m := newMachine(t)
		pids := filepath.Join(t.TempDir(), "pids")
		m.run("A-1", "echo said\n"+as("stubborn", pids))
		wait(t, "the script runs", func() bool { return len(lines(pids)) == 1 && m.query("A-1").GetLogLength() == 6 })
		script, _ := strconv.Atoi(lines(pids)[0])
		shim := m.shimOf()
		if together {
			m.kill()
		}
		endProcess(t, shim.PID)
		if together {
			m.start()
		}
		log, result := m.follow("A-1", 0)
		wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
		if !strings.Contains(result.GetReason(), "process gone, no exit record") || log != "said\r\n" {
			t.Errorf("log %q, result %v", log, result)
		}
		if gone(script) {
			t.Error("a process that is nobody's any more was ended")
		} else {
			endProcess(t, script)
		}
	}
}

// fault 38: the tree is gone before the result says so, also when the wish to
// cancel outlives the agent.
func TestCancelEndsTheTree(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	pids := filepath.Join(t.TempDir(), "pids")
	m.run("A-1", fmt.Sprintf("set AGENT_TEST_ROLE=helper\nstart \"\" /b cmd /d /c \"\"%[1]s\" stubborn \"%[2]s\"\"\nstart \"\" /b \"%[1]s\" stubborn \"%[2]s\"\n%[3]s",
		os.Args[0], pids, as("stubborn", pids)))
	wait(t, "three processes", func() bool { return len(lines(pids)) == 3 })
	m.cancel("A-1", 50*time.Millisecond)
	m.kill()
	m.start()
	_, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_CANCELED)
	for _, text := range lines(pids) {
		if pid, _ := strconv.Atoi(text); !gone(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.run("A-1", "echo begun\n"+as("gate", filepath.Join(t.TempDir(), "never")), func(j *agentrpc.Job) { j.TimeoutMs = 1500 })
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_TIMED_OUT)
	if log != "begun\r\n" {
		t.Errorf("log %q", log)
	}
}

// A home has one agent: a second one gives up, and the lock is free as soon as
// the first is killed.
func TestSecondAgentIsRefused(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	other := m.command()
	said := m.log
	if err := other.Run(); err == nil || !strings.Contains(said.String(), "another agent runs with this home") {
		t.Errorf("a second agent ended with %v: %s", err, said)
	}
	m.run("A-1", "echo fine")
	if log, _ := m.follow("A-1", 0); log != "fine\r\n" {
		t.Errorf("log %q", log)
	}
	m.kill()
	m.start()
}

// fault 12: the machine loses power in mid-script. The driver of these tests
// ends everything that runs under Wine between the two, and so gives a new boot.
func TestRestartOfTheMachine(t *testing.T) {
	home := os.Getenv("AGENT_TEST_RESTART")
	if home == "" {
		t.Skip("needs a driver that ends the system in between")
	}
	m := &machine{t: t, home: filepath.Join(home, "home")}
	if !exists(m.home) {
		m.enroll(filepath.Join(home, "server"))
		m.run("A-1", "echo begun\n"+as("gate", filepath.Join(home, "never")))
		wait(t, "the script runs", func() bool { return m.query("A-1").GetLogLength() > 0 })
		return
	}
	server, err := agentrpc.LoadIdentity(filepath.Join(home, "server"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := agentrpc.LoadIdentity(filepath.Join(m.home, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	m.server, m.pin = server, id.Thumbprint()
	if before, now := m.shimOf().Boot, bootID(t); before == now {
		t.Fatalf("boot id %s before and after", now)
	}
	m.start()
	t.Cleanup(m.kill)
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
	if !strings.Contains(result.GetReason(), "machine was restarted") || !result.GetRestarted() || log != "begun\r\n" {
		t.Errorf("log %q, result %v", log, result)
	}
}

func bootID(t *testing.T) string {
	t.Helper()
	id, err := proc.BootID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A file that somebody reads, such as a virus scanner, is replaced as soon as he
// lets go of it.
func TestReplaceWaitsForReaders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := agent.WriteFile(dir, "record", []byte("old")); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(filepath.Join(dir, "record"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- agent.WriteFile(dir, "record", []byte("new")) }()
	wait(t, "the new content is ready", func() bool { entries, _ := os.ReadDir(dir); return len(entries) == 2 })
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "record"))
	if entries, _ := os.ReadDir(dir); err != nil || string(text) != "new" || len(entries) != 1 {
		t.Errorf("%q, %v, %v", text, err, entries)
	}
}

// waitsFor is a script that waits for the file.
func waitsFor(file string) string { return as("gate", file) }
