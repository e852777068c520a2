//go:build unix

package agent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// halves is an agent in two parts: its journal on a disk that forgets, and its
// folders on a real one. No goroutine moves; each test says what happens next.
type halves struct {
	t       *testing.T
	disk    *fakeDisk
	home    string
	ran     string // a line for each start of the job
	core    *agent.Core
	payload []byte
}

func newHalves(t *testing.T) *halves {
	t.Helper()
	h := &halves{t: t, disk: newFakeDisk(), home: t.TempDir(), ran: filepath.Join(t.TempDir(), "ran")}
	h.payload = job(t, "echo ran >>"+h.ran)
	h.restart()
	return h
}

// restart is the agent that starts after the one before was killed.
func (h *halves) restart() {
	h.t.Helper()
	h.disk.crashIn = -1
	journal, err := agent.OpenJournal(h.disk)
	if err != nil {
		h.t.Fatal(err)
	}
	h.core = agent.NewCore(journal, agent.NewHost(filepath.Join(h.home, "attempts")))
}

// order is a start order under the epoch.
func (h *halves) order(epoch int64, spawn func()) (agent.Decision, error) {
	sum := sha256.Sum256(h.payload)
	return h.core.Start(order("A-1", epoch), sum[:], false, spawn)
}

// shim runs the attempt's keeper to its end.
func (h *halves) shim() {
	h.t.Helper()
	var stdin bytes.Buffer
	if err := agent.WriteJob(&stdin, "A-1", h.payload); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "AGENT_TEST_ROLE=shim", "AGENT_TEST_DIR="+agent.FolderOf(h.home, "A-1"))
	cmd.Stdin = &stdin
	_ = cmd.Run() // it may have been told not to
}

// judged is what a restarted agent finds out about the attempt.
func (h *halves) judged() agent.Attempt {
	h.t.Helper()
	at := h.core.Get("A-1")
	w := &agent.Watched{Attempt: "A-1", Phase: at.Phase}
	if at.Phase == agent.Unseen || at.Phase == agent.Ended {
		return at
	}
	if err := h.core.Look(w, true); err != nil {
		h.t.Fatal(err)
	}
	return h.core.Get("A-1")
}

func (h *halves) starts(want int, when string) {
	h.t.Helper()
	if got := len(lines(h.ran)); got != want {
		h.t.Errorf("%s: the job started %d times, want %d", when, got, want)
	}
}

// fault 8: an agent that is killed before its journal's fsync has started
// nothing. Whatever of the record the disk kept: the attempt was never seen, and
// the same order under the next owner's epoch starts it, once; or it provably
// did not start, and nothing starts it any more.
func TestKilledBeforeTheFsync(t *testing.T) {
	t.Parallel()
	for _, kept := range []float64{0, 0.1, 0.5, 0.99, 1} {
		for _, call := range []int{1, 2} { // of the disk: the write, the fsync
			h := newHalves(t)
			h.disk.crashIn, h.disk.tear = call, kept
			if d, err := h.order(1, func() { t.Error("started without a durable record") }); err == nil {
				t.Fatalf("no crash: %+v", d)
			}
			if h.core.Broken() == nil {
				t.Error("the journal goes on after it was killed")
			}
			h.restart()
			at := h.judged()
			spawned := false
			d, err := h.order(2, func() { spawned = true; h.shim() })
			switch {
			case err != nil:
				t.Fatal(err)
			case kept < 1 && at.Phase == agent.Unseen && spawned:
				h.restart()
				if got := h.judged(); got.Result.GetOutcome() != agentrpc.Outcome_OUTCOME_SUCCEEDED {
					t.Errorf("sent again: %v", got.Result)
				}
				h.starts(1, "sent again")
			case kept == 1 && at.Result.GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED && !spawned && d.Phase == agent.Ended:
				h.starts(0, "proved not to have started")
			default:
				t.Errorf("%v of the record kept: %+v, then %+v, spawned %v", kept, at, d, spawned)
			}
		}
	}
}

// fault 9, 13: an agent that is killed after the fsync, or whose machine loses
// its power then, never starts the attempt by itself. As long as no keeper made
// the marker it proves that the job did not start, and a keeper that was on its
// way runs nothing; after that the end is unknown.
func TestKilledAfterTheFsync(t *testing.T) {
	t.Parallel()
	claimed := func(h *halves, shim proc.Ref) {
		h.t.Helper()
		text, err := json.Marshal(agent.Marker{Attempt: "A-1", Shim: &shim})
		if err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(agent.FolderOf(h.home, "A-1"), "started"), text, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	boot, err := proc.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		between func(*halves)
		want    agentrpc.Outcome
		reason  string
	}{
		"before the keeper": {func(*halves) {}, agentrpc.Outcome_OUTCOME_NOT_STARTED, "provably did not start"},
		"power lost before the keeper": {
			func(h *halves) { h.disk.durable, h.disk.volatile = append(h.disk.durable, "\xf7SJ\x01torn"...), nil },
			agentrpc.Outcome_OUTCOME_NOT_STARTED, "provably did not start",
		},
		"between the keeper's marker and its job": {
			func(h *halves) { claimed(h, proc.Ref{PID: 1 << 22, Start: 1, Boot: boot}) },
			agentrpc.Outcome_OUTCOME_UNKNOWN, "process gone, no exit record",
		},
		"power lost between the marker and the job": {
			func(h *halves) { claimed(h, proc.Ref{PID: os.Getpid(), Start: 1, Boot: "an earlier one"}) },
			agentrpc.Outcome_OUTCOME_UNKNOWN, "machine was restarted",
		},
	} {
		h := newHalves(t)
		if d, err := h.order(1, func() {}); err != nil || !d.Spawn { // killed before it gets to it
			t.Fatalf("%s: %+v, %v", name, d, err)
		}
		if len(h.disk.volatile) != 0 {
			t.Errorf("%s: %d bytes can still be lost when the job may start", name, len(h.disk.volatile))
		}
		c.between(h)
		h.restart()
		if got := h.judged().Result; got.GetOutcome() != c.want || !strings.Contains(got.GetReason(), c.reason) {
			t.Errorf("%s: %v", name, got)
		}
		h.shim() // it was on its way
		for epoch := range int64(3) {
			if d, err := h.order(epoch+1, func() { t.Errorf("%s: started by itself", name) }); err != nil || d.Result.GetOutcome() != c.want {
				t.Errorf("%s: ordered again: %+v, %v", name, d, err)
			}
		}
		h.starts(0, name)
	}
}

// tornAway ends the agent, the keeper and the script of A-1, and gives the
// keeper's marker to change before the next agent starts.
func (m *machine) tornAway(pids string, change func(*agent.Marker)) {
	m.t.Helper()
	wait(m.t, "the script runs", func() bool { return len(lines(pids)) == 2 })
	m.kill()
	for _, text := range lines(pids) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			m.t.Fatal(err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		wait(m.t, "it is gone", func() bool { _, err := proc.Find(pid); return errors.Is(err, proc.ErrGone) })
	}
	file := filepath.Join(agent.FolderOf(m.home, "A-1"), "started")
	text, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatal(err)
	}
	var marker agent.Marker
	if err := json.Unmarshal(text, &marker); err != nil || marker.Shim == nil {
		m.t.Fatalf("%s: %v", text, err)
	}
	change(&marker)
	if text, err = json.Marshal(marker); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.start()
}

// fault 14: the keeper's pid is another process's by now: the end is unknown,
// and the stranger is neither waited for nor signalled, also by a cancel.
func TestPidOfAStranger(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("sleep", "300")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	before, err := proc.Find(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	pids := filepath.Join(t.TempDir(), "pids")
	m.run("A-1", "echo $PPID $$ >"+pids+"; exec sleep 300")
	m.tornAway(pids, func(marker *agent.Marker) { marker.Shim.PID = stranger.Process.Pid })
	m.cancel("A-1", 0)
	_, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
	if !strings.Contains(result.GetReason(), "process gone") || result.GetRestarted() {
		t.Errorf("result %v", result)
	}
	if after, err := proc.Find(stranger.Process.Pid); err != nil || after != before {
		t.Errorf("the stranger %v became %v, %v", before, after, err)
	}
}

// fault 12: the machine was restarted in mid-script: the end is unknown for that
// reason and no other, the log up to then is there, and the same order starts
// nothing. What has the keeper's pid and start in this boot is a stranger.
func TestMachineRestarted(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("sleep", "300")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	now, err := proc.Find(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	pids, starts := filepath.Join(t.TempDir(), "pids"), filepath.Join(t.TempDir(), "starts")
	script := "echo started >>" + starts + "; echo said; echo $PPID $$ >" + pids + "; exec sleep 300"
	m.run("A-1", script)
	wait(t, "its output", func() bool { return m.query("A-1").GetLogLength() == 5 })
	m.tornAway(pids, func(marker *agent.Marker) {
		marker.Shim = &proc.Ref{PID: now.PID, Start: now.Start, Boot: "an earlier one"}
	})
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
	if !result.GetRestarted() || !strings.Contains(result.GetReason(), "machine was restarted") || log != "said\n" {
		t.Errorf("log %q, result %v", log, result)
	}
	if again := m.run("A-1", script); again.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_ENDED || len(lines(starts)) != 1 {
		t.Errorf("ordered again: %v, started %d times", again, len(lines(starts)))
	}
	if _, err := proc.Find(now.PID); err != nil {
		t.Error("a stranger was ended:", err)
	}
}

// fault 29: a machine whose clock is a day off works: what counts is durations.
func TestClockADayOff(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		m := newMachine(t, "AGENT_TEST_CLOCK="+off.String())
		describe := m.describe()
		if skew := time.Until(time.UnixMilli(describe.GetNowMs())) - off; skew.Abs() > time.Minute {
			t.Errorf("it says that its clock is %v off, want %v", skew+off, off)
		}
		m.run("A-1", "echo fine", func(j *agentrpc.Job) { j.TimeoutMs = 60_000 })
		log, result := m.follow("A-1", 0)
		wantOutcome(t, result, agentrpc.Outcome_OUTCOME_SUCCEEDED)
		if log != "fine\n" || time.Until(time.UnixMilli(result.GetEndedMs())).Abs() < 23*time.Hour {
			t.Errorf("log %q, result %v", log, result)
		}
		m.run("A-2", "sleep 300", func(j *agentrpc.Job) { j.TimeoutMs = 100 })
		_, result = m.follow("A-2", 0)
		wantOutcome(t, result, agentrpc.Outcome_OUTCOME_TIMED_OUT)
	}
}

func (m *machine) describe() *agentrpc.DescribeResponse {
	m.t.Helper()
	answer, err := m.link.Client.Describe(m.t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{}))
	if err != nil {
		m.t.Fatal(err)
	}
	return answer.Msg
}
