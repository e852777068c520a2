//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// limitFiles makes a full disk of every file that grows to the limit.
func limitFiles(limit uint64) error {
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit})
}

// interpret gives the command that runs the script.
func interpret(_, script string) *exec.Cmd { return exec.Command("bash", "-c", script) }

func serviceProcess(string) int { return 1 }

func helper(role, _ string) error { return fmt.Errorf("no helper %q", role) }

// P3: who dials whom changes nothing.
func TestPollingAgent(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.kill()
	config, err := agent.LoadConfig(m.home)
	if err != nil {
		t.Fatal(err)
	}
	links := make(chan *agentrpc.Link)
	listener, err := agentrpc.Listen(t.Context(), "127.0.0.1:0", agentrpc.ServerTLS(m.server, agentrpc.Pinned(m.pin)),
		func(remote string, err error) { t.Errorf("refused %s: %v", remote, err) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = listener.Serve(t.Context(), func(ctx context.Context, conn *tls.Conn) {
			if link, err := agentrpc.NewLink(conn); err == nil {
				select {
				case links <- link:
				case <-ctx.Done():
				}
			}
		})
	}()
	config.Mode, config.Servers = agent.Polling, []string{listener.Addr().String()}
	config.SubscriptionID = agent.NewSubscriptionID(rand.Text)
	if err := config.Save(m.home); err != nil {
		t.Fatal(err)
	}
	m.cmd = m.command()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.link = <-links
	describe, err := m.link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{}))
	if err != nil || describe.Msg.GetSubscriptionId() != config.SubscriptionID {
		t.Fatalf("describe: %v, %v", describe, err)
	}
	gate := filepath.Join(t.TempDir(), "gate")
	m.run("A-1", "echo one; until [ -e "+gate+" ]; do sleep 0.01; done; echo two")
	_ = m.link.Close() // fault 15: the network is gone for a moment
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.link = <-links
	if log, result := m.follow("A-1", 0); log != "one\ntwo\n" || result.GetOutcome() != agentrpc.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("log %q, result %v", log, result)
	}
}

func TestAttemptFromStartToForget(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	answer := m.run("A-1", "echo one; echo two >&2; cat >artifact <<<content; exit 3")
	if answer.GetState() == agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN {
		t.Errorf("start answered %v", answer)
	}
	log, result := m.follow("A-1", 0)
	if log != "one\ntwo\n" || result.GetExitCode() != 3 || result.GetLogLength() != 8 {
		t.Errorf("log %q, result %v", log, result)
	}
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_FAILED)
	if result.GetStartedMs() == 0 || result.GetEndedMs() < result.GetStartedMs() {
		t.Errorf("times: %v", result)
	}
	if tail, _ := m.follow("A-1", 4); tail != "two\n" {
		t.Errorf("log from 4: %q", tail)
	}
	m.fetches("A-1", "artifact", "content\n")
	for _, key := range []string{"log", "../journal", "/etc/passwd", "artifact/../started", ""} {
		m.fetches("A-1", key, "")
	}
	folders := func() int { entries, _ := os.ReadDir(filepath.Join(m.home, "attempts")); return len(entries) }
	if folders() != 1 {
		t.Errorf("%d folders", folders())
	}
	if _, err := m.link.Client.Forget(t.Context(), connect.NewRequest(&agentrpc.ForgetRequest{Attempts: []string{"A-1"}})); err != nil {
		t.Fatal(err)
	}
	if folders() != 0 || m.query("A-1").GetState() != agentrpc.AttemptState_ATTEMPT_STATE_ENDED {
		t.Errorf("%d folders, %v after it was forgotten", folders(), m.query("A-1"))
	}
}

// fault 4, 5, 10, 17, 46, invariant I6: the agent is killed while a script
// writes; the script goes on, the next agent attaches, and no byte of the log is
// lost or doubled.
func TestScriptSurvivesTheAgent(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	starts, gate := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "gate")
	script := `echo $$ >>` + starts + `; for i in {1..50}; do echo line $i; done
		until [ -e ` + gate + ` ]; do sleep 0.01; done; for i in {51..100}; do echo line $i; done`
	m.run("A-1", script)
	wait(t, "half the log", func() bool { return m.query("A-1").GetLogLength() >= 50*7 })
	for range 3 {
		m.kill()
		m.start()
		if answer := m.run("A-1", script); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING { // fault 4, 17
			t.Errorf("after a restart: %v", answer)
		}
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, result := m.follow("A-1", 0)
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %d\n", i+1)
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
	starts := filepath.Join(t.TempDir(), "starts")
	outcomes := map[string]int{}
	for i := range 30 {
		attempt := fmt.Sprintf("A-%d", i)
		request := startRequest(attempt, job(t, "echo "+attempt+" >>"+starts))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.link.Client.Start(t.Context(), request)
		}()
		<-time.NewTimer(time.Duration(i) * time.Millisecond).C // the moment of the kill
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
		name := answer.GetState().String() + answer.GetResult().GetOutcome().String()
		outcomes[name]++
		switch {
		case started > 1:
			t.Errorf("%s started %d times", attempt, started)
		case answer.GetState() == agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN && started == 0:
		case answer.GetResult().GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED && started == 0:
		case answer.GetResult().GetOutcome() == agentrpc.Outcome_OUTCOME_SUCCEEDED && started == 1:
		default:
			t.Errorf("%s: %v, but it started %d times", attempt, answer, started)
		}
	}
	t.Log(outcomes)
}

// fault 11: the shim is killed too.
func TestShimKilledIsUnknown(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		m := newMachine(t)
		pids := filepath.Join(t.TempDir(), "pids")
		m.run("A-1", "echo said; echo $PPID $$ >"+pids+"; exec sleep 300")
		wait(t, "the script runs", func() bool { return len(lines(pids)) == 2 && m.query("A-1").GetLogLength() == 5 })
		shim, _ := strconv.Atoi(lines(pids)[0])
		script, _ := strconv.Atoi(lines(pids)[1])
		if together {
			m.kill()
		}
		_ = syscall.Kill(shim, syscall.SIGKILL)
		if together {
			m.start()
		}
		log, result := m.follow("A-1", 0)
		wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
		if !strings.Contains(result.GetReason(), "process gone, no exit record") || log != "said\n" || result.GetLogLength() != 5 {
			t.Errorf("log %q, result %v", log, result)
		}
		if err := syscall.Kill(script, 0); err != nil {
			t.Error("a process that is nobody's any more was ended")
		}
		_ = syscall.Kill(script, syscall.SIGKILL)
		wait(t, "the script is gone", func() bool { _, err := proc.Find(script); return errors.Is(err, proc.ErrGone) })
		if _, err := m.link.Client.Forget(t.Context(), connect.NewRequest(&agentrpc.ForgetRequest{Attempts: []string{"A-1"}})); err != nil {
			t.Error(err)
		}
	}
}

// abuse 54: a script cannot hand in what is not its own by a link to it.
func TestNoLinkLeadsOut(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.run("A-1", "ln -s ../../journal artifact")
	if _, result := m.follow("A-1", 0); len(result.GetArtifacts()) != 1 {
		t.Fatalf("the link was not declared: %v", result)
	}
	stream, err := m.link.Client.Fetch(t.Context(), connect.NewRequest(&agentrpc.FetchRequest{Attempt: "A-1", Key: "artifact"}))
	if err != nil {
		t.Fatal(err)
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeNotFound {
		t.Errorf("abuse 54: the agent's journal is handed out through a link: %v", stream.Err())
	}
}

// The agent claimed the marker first: the shim comes too late and runs nothing,
// whatever it holds in its hands. So does one whose job was cut off.
func TestRevokedShimRunsNothing(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	var whole bytes.Buffer
	if err := agent.WriteJob(&whole, "A-1", job(t, "echo ran >>"+ran)); err != nil {
		t.Fatal(err)
	}
	shim := func(stdin []byte, marker string) (said string) {
		dir := t.TempDir()
		if marker != "" {
			if err := os.WriteFile(filepath.Join(dir, "started"), []byte(marker), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "AGENT_TEST_ROLE=shim", "AGENT_TEST_DIR="+dir)
		cmd.Stdin = bytes.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if said := shim(whole.Bytes(), `{"revoked":true}`); !strings.Contains(said, "revoked") {
		t.Errorf("I1: a revoked shim said %q", said)
	}
	for _, n := range []int{0, 3, 10, whole.Len() / 2, whole.Len() - 1} {
		shim(whole.Bytes()[:n], "")
	}
	shim(bytes.Replace(whole.Bytes(), []byte("echo ran"), []byte("echo ron"), 1), "")
	if exists(ran) {
		t.Error("I1, I9: a job ran that was revoked, cut off or damaged")
	}
	if shim(whole.Bytes(), ""); len(lines(ran)) != 1 {
		t.Error("a whole job did not run")
	}
}

// fault 32: the journal is lost, or went back in time; what runs keeps its
// folder and runs on.
func TestLostJournalHarmsNoRunningJob(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	gate := filepath.Join(t.TempDir(), "gate")
	pids, done := filepath.Join(t.TempDir(), "pids"), filepath.Join(t.TempDir(), "done")
	m.run("A-1", "echo $PPID >"+pids+"; until [ -e "+gate+" ]; do sleep 0.01; done; touch "+done)
	m.run("A-2", "echo $PPID")
	log, _ := m.follow("A-2", 0)
	ended, err := strconv.Atoi(strings.TrimSpace(log))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the shim of A-2 is gone", func() bool { _, err := proc.Find(ended); return errors.Is(err, proc.ErrGone) })
	m.kill()
	if err := os.Remove(filepath.Join(m.home, "journal")); err != nil {
		t.Fatal(err)
	}
	m.start()
	folders, _ := filepath.Glob(filepath.Join(m.home, "attempts", "*"))
	if len(folders) != 1 {
		t.Fatalf("%d folders, want that of the running job alone", len(folders))
	}
	wait(t, "the script runs", func() bool { return len(lines(pids)) == 1 })
	shim, _ := strconv.Atoi(lines(pids)[0])
	if err := syscall.Kill(shim, syscall.SIGTERM); err != nil { // nor does a signal meant for the agent
		t.Error(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wait(t, "the exit record", func() bool { return exists(filepath.Join(folders[0], "exit")) })
	if !exists(done) {
		t.Error("the job did not come to its end")
	}
}

// A disk that damaged the record of an end, or of a start, costs the knowledge
// of it, and nothing hangs.
func TestDamagedRecordsAreUnknown(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"exit": "\xf7SJ\x01 torn", "started": "{"} {
		m := newMachine(t)
		gate := filepath.Join(t.TempDir(), "gate")
		pids := filepath.Join(t.TempDir(), "pids")
		m.run("A-1", "echo $PPID >"+pids+"; until [ -e "+gate+" ]; do sleep 0.01; done")
		wait(t, "the script runs", func() bool { return len(lines(pids)) == 1 })
		m.kill()
		folders, _ := filepath.Glob(filepath.Join(m.home, "attempts", "*"))
		if err := os.WriteFile(filepath.Join(folders[0], name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m.start()
		_, result := m.follow("A-1", 0)
		wantOutcome(t, result, agentrpc.Outcome_OUTCOME_UNKNOWN)
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		shim, _ := strconv.Atoi(lines(pids)[0])
		wait(t, "the shim ends", func() bool { _, err := proc.Find(shim); return errors.Is(err, proc.ErrGone) })
	}
}

// fault 38, and the tree is gone before the result says so.
func TestCancelEndsTheTree(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	pids := filepath.Join(t.TempDir(), "pids")
	m.run("A-1", `trap "" TERM; echo $$ >>`+pids+`
		(setsid bash -c 'trap "" TERM; echo $$ >>`+pids+`; while :; do sleep 1; done' &)
		while :; do sleep 1; done`)
	wait(t, "two processes", func() bool { return len(lines(pids)) == 2 })
	m.cancel("A-1", 50*time.Millisecond)
	m.kill() // the wish outlives the agent
	m.start()
	_, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_CANCELED)
	for _, text := range lines(pids) {
		pid, _ := strconv.Atoi(text)
		if _, err := proc.Find(pid); !errors.Is(err, proc.ErrGone) {
			t.Errorf("process %d lives: %v", pid, err)
		}
	}
	// fault 18: a cancellation that overtakes its start.
	m.cancel("A-2", 0)
	if answer := m.run("A-2", "echo never"); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_CLOSED {
		t.Errorf("start after cancel: %v", answer)
	}
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.run("A-1", "echo begun; sleep 300", func(j *agentrpc.Job) { j.TimeoutMs = 100 })
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_TIMED_OUT)
	if log != "begun\n" {
		t.Errorf("log %q", log)
	}
}

func TestExclusiveAndRefusedStarts(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	gate := filepath.Join(t.TempDir(), "gate")
	exclusive := func(j *agentrpc.Job) { j.Exclusive = true }
	m.run("A-1", "until [ -e "+gate+" ]; do sleep 0.01; done", exclusive)
	busy := m.run("A-2", "echo never", exclusive)
	wantOutcome(t, busy.GetResult(), agentrpc.Outcome_OUTCOME_NOT_STARTED)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.follow("A-1", 0)

	for name, change := range map[string]func(*agentrpc.StartRequest){
		"attempt with a path": func(r *agentrpc.StartRequest) { r.Attempt = "../A" }, // abuse 9
		"attempt with a NUL":  func(r *agentrpc.StartRequest) { r.Attempt = "A\x00" },
		"long attempt":        func(r *agentrpc.StartRequest) { r.Attempt = strings.Repeat("A", 4096) },
		"look-alike attempt":  func(r *agentrpc.StartRequest) { r.Attempt = "А-1" }, // Cyrillic
		"no rollout":          func(r *agentrpc.StartRequest) { r.Rollout = "" },
		"no epoch":            func(r *agentrpc.StartRequest) { r.Epoch = 0 },
		"other hash":          func(r *agentrpc.StartRequest) { r.PayloadSha256[0] ^= 1 },
	} {
		request := startRequest("A-3", job(t, "echo never"))
		change(request.Msg)
		if _, err := m.link.Client.Start(t.Context(), request); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("I9: %s: %v", name, err)
		}
	}
	stale := startRequest("A-4", job(t, "echo never"))
	if _, err := m.link.Client.Query(t.Context(), connect.NewRequest(&agentrpc.QueryRequest{Attempt: "A-4", Rollout: "ServerTasks-1", Epoch: 2})); err != nil {
		t.Fatal(err)
	}
	if _, err := m.link.Client.Start(t.Context(), stale); connect.CodeOf(err) != connect.CodeFailedPrecondition { // fault 30, 31
		t.Errorf("stale start: %v", err)
	}
}

// fault 20: the disk is full (here: the file may not grow) while the script
// runs; the log ends with a marker, the exit record is written.
func TestFullDiskEndsTheLogNotTheScript(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "AGENT_TEST_FSIZE=100000")
	m.run("A-1", `for i in {1..400}; do printf '%01000d\n' $i; done; exit 5`)
	log, result := m.follow("A-1", 0)
	if result.GetExitCode() != 5 || int64(len(log)) != result.GetLogLength() {
		t.Errorf("result %v, %d bytes of log", result, len(log))
	}
	all := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	if last := all[len(all)-1]; !strings.Contains(last, "\tWarning\tThe log is cut off here") {
		t.Errorf("last line %q", last)
	}
	for _, line := range all[:len(all)-1] {
		if len(line) != 1000 {
			t.Fatalf("a torn line: %q", line)
		}
	}
}

// abuse 14: without acknowledgement no more than the credit is sent.
func TestFollowStopsWithoutCredit(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.run("A-1", `head -c 3000000 /dev/zero`)
	wait(t, "the end", func() bool { return m.query("A-1").GetResult() != nil })
	stream := m.link.Client.Follow(t.Context())
	if err := stream.Send(&agentrpc.FollowRequest{Attempt: "A-1"}); err != nil {
		t.Fatal(err)
	}
	got := 0
	for got < 1<<20 {
		event, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		got += len(event.GetOutput().GetData())
	}
	if got != 1<<20 {
		t.Errorf("%d bytes without an acknowledgement", got)
	}
	more := make(chan int, 1)
	go func() {
		event, _ := stream.Receive()
		more <- len(event.GetOutput().GetData())
	}()
	if _, err := m.link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{})); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-more:
		t.Errorf("%d more bytes without an acknowledgement", n)
	default:
	}
	if err := stream.Send(&agentrpc.FollowRequest{Offset: int64(got)}); err != nil {
		t.Fatal(err)
	}
	if n := <-more; n == 0 {
		t.Error("nothing came after the acknowledgement")
	}
	if log, result := m.follow("A-1", 0); len(log) != 3_000_000 || result.GetLogLength() != 3_000_000 {
		t.Errorf("%d bytes of log, result %v", len(log), result)
	}
}

func TestDescribeAndProbe(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	describe := func() *agentrpc.DescribeResponse {
		answer, err := m.link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return answer.Msg
	}
	first := describe()
	if first.GetVersion() != "1.2.3" || first.GetShell() != "Bash" || first.GetShellVersion() == "" || first.GetBootId() == "" ||
		first.GetFreeDiskBytes() <= 0 || first.GetHostname() == "" || first.GetNowMs() == 0 || first.GetOsDescription() == "" {
		t.Errorf("described as %v", first)
	}
	m.kill()
	m.start()
	second := describe()
	if second.GetIncarnation() != first.GetIncarnation()+1 { // fault 32
		t.Errorf("incarnation %d after %d", second.GetIncarnation(), first.GetIncarnation())
	}
	if was, is := first.GetStarts(), second.GetStarts(); len(was) != 1 || len(is) != 2 || is[0] == is[1] || is[1] != was[0] {
		t.Errorf("fault 32: starts %q after %q", is, was)
	}
	for name, c := range map[string]struct {
		request *agentrpc.ProbeRequest
		want    *agentrpc.ProbeResponse
		log     string
	}{
		"connectivity": {&agentrpc.ProbeRequest{}, &agentrpc.ProbeResponse{}, ""},
		"healthy":      {&agentrpc.ProbeRequest{Bash: "echo fine"}, &agentrpc.ProbeResponse{}, "\tInfo\tfine\n"},
		"unhealthy":    {&agentrpc.ProbeRequest{Bash: "exit 4"}, &agentrpc.ProbeResponse{ExitCode: 4}, ""},
		"slow":         {&agentrpc.ProbeRequest{Bash: "sleep 300", TimeoutMs: 50}, &agentrpc.ProbeResponse{TimedOut: true, ExitCode: 143}, ""},
	} {
		answer, err := m.link.Client.Probe(t.Context(), connect.NewRequest(c.request))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := answer.Msg
		if got.GetExitCode() != c.want.GetExitCode() || got.GetTimedOut() != c.want.GetTimedOut() || !strings.HasSuffix(string(got.GetLog()), c.log) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.home, "probe-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// waitsFor is a script that waits for the file.
func waitsFor(file string) string { return "until [ -e " + file + " ]; do sleep 0.01; done" }
