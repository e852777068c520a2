package agent_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
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
)

// TestMain makes this binary an agent or a shim when the environment says so,
// so that real processes can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "agent" { // as a service is started
		os.Exit(serviceProcess(os.Args[4]))
	}
	var err error
	switch os.Getenv("AGENT_TEST_ROLE") {
	case "agent":
		err = agentProcess(os.Getenv("AGENT_TEST_HOME"))
	case "shim":
		err = shimProcess()
	case "helper":
		err = helper(os.Args[1], os.Args[2])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// agentProcess is a real agent, but for its package store, whose shims are this
// binary. It says the address that it listens on.
func agentProcess(home string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if said := os.Getenv("AGENT_TEST_FAIL_SYNCS"); said != "" {
		failSyncs(said)
	}
	return agentUntil(ctx, home)
}

func agentUntil(ctx context.Context, home string) error {
	config, err := agent.LoadConfig(home)
	if err != nil {
		return err
	}
	return agent.Run(ctx, home, config, agent.RunDeps{
		Packages: noPackages{},
		Shim: func(dir string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "AGENT_TEST_ROLE=shim", "AGENT_TEST_DIR="+dir)
			return cmd
		},
		Clock: clock, Random: func() float64 { return mathrand.Float64() / 1e6 }, // hardly a pause
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "1.2.3",
		Listening: func(address string) { fmt.Println(address) },
	})
}

// clock is the machine's, which may be wrong.
func clock() time.Time {
	off, _ := time.ParseDuration(os.Getenv("AGENT_TEST_CLOCK"))
	return time.Now().Add(off)
}

// shimProcess is a real shim whose job is the script in the variable "script".
func shimProcess() error {
	if limit, err := strconv.ParseUint(os.Getenv("AGENT_TEST_FSIZE"), 10, 64); err == nil {
		if err := limitFiles(limit); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) // as the real program
	defer stop()
	return agent.Shim(ctx, os.Getenv("AGENT_TEST_DIR"), os.Stdin, agent.ShimDeps{
		Run: scriptJob, Clock: clock, Grace: 200 * time.Millisecond,
	})
}

func scriptJob(ctx context.Context, env agent.JobEnv, job *agentrpc.Job) *agentrpc.Result {
	cmd := interpret(env.Dir, job.GetVariables()[0].GetValue())
	cmd.Dir = env.Dir
	cmd.Stdout, cmd.Stderr = env.Log, env.Log
	code, err := env.Run(ctx, cmd)
	result := &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, ExitCode: int32(code)}
	if code != 0 || err != nil {
		result.Outcome, result.Reason = agentrpc.Outcome_OUTCOME_FAILED, fmt.Sprint(err)
	}
	if info, err := os.Stat(filepath.Join(env.Dir, "artifact")); err == nil {
		result.Artifacts = []*agentrpc.Artifact{{Name: "report", Key: "artifact", Size: info.Size()}}
	}
	return result
}

// noPackages is a store that never holds anything.
type noPackages struct{}

func (noPackages) Missing(digests []string) ([]string, error) { return digests, nil }

func (noPackages) Put(_ context.Context, _ *agentrpc.PutRequest_Header, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	return err
}

// machine is one agent's home and the process that runs it now.
type machine struct {
	t      *testing.T
	home   string
	server *agentrpc.Identity
	pin    string
	env    []string
	cmd    *exec.Cmd
	log    *strings.Builder
	link   *agentrpc.Link
}

func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	m := &machine{t: t, home: filepath.Join(t.TempDir(), "home"), env: env}
	m.enroll(t.TempDir())
	t.Cleanup(m.kill)
	return m
}

// enroll makes the home of a machine whose server's key is in the folder, and
// starts its agent.
func (m *machine) enroll(serverDir string) {
	m.t.Helper()
	m.configure(serverDir, "127.0.0.1:0")
	m.start()
}

// configure makes the machine's home and its server's key.
func (m *machine) configure(serverDir, listen string) {
	m.t.Helper()
	var err error
	if m.server, err = agentrpc.CreateIdentity(serverDir, "server", time.Now(), rand.Reader); err != nil {
		m.t.Fatal(err)
	}
	id, err := agent.Identity(m.home, "web-1", time.Now(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.pin = id.Thumbprint()
	config := &agent.Config{
		Name: "web-1", Mode: agent.Listening, Listen: listen,
		ServerThumbprints: []string{m.server.Thumbprint()}, ApplicationsDir: m.t.TempDir(),
	}
	if err := config.Save(m.home); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) command() *exec.Cmd {
	m.log = &strings.Builder{}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "AGENT_TEST_ROLE=agent", "AGENT_TEST_HOME="+m.home), m.env...)
	cmd.Stderr = m.log
	return cmd
}

// start runs the agent and links to it.
func (m *machine) start() {
	m.t.Helper()
	m.cmd = m.command()
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = m.cmd.Wait()
		m.t.Fatalf("agent does not listen: %v\n%s", err, m.log)
	}
	if err := m.dial(strings.TrimSpace(address)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) dial(address string) error {
	conn, err := agentrpc.Dial(m.t.Context(), address, agentrpc.ClientTLS(m.server, agentrpc.Pinned(m.pin)))
	if err != nil {
		return err
	}
	m.link, err = agentrpc.NewLink(conn)
	return err
}

// kill is kill -9 of the agent alone.
func (m *machine) kill() {
	_ = m.link.Close()
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

func job(t *testing.T, script string, change ...func(*agentrpc.Job)) []byte {
	t.Helper()
	j := &agentrpc.Job{ActionType: "Octopus.Script", Variables: []*agentrpc.Variable{{Name: "script", Value: script}}}
	for _, f := range change {
		f(j)
	}
	payload, err := proto.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func startRequest(attempt string, payload []byte) *connect.Request[agentrpc.StartRequest] {
	sum := sha256.Sum256(payload)
	return connect.NewRequest(&agentrpc.StartRequest{
		Attempt: attempt, Rollout: "ServerTasks-1", Epoch: 1, Payload: payload, PayloadSha256: sum[:],
	})
}

func (m *machine) run(attempt, script string, change ...func(*agentrpc.Job)) *agentrpc.StartResponse {
	m.t.Helper()
	answer, err := m.link.Client.Start(m.t.Context(), startRequest(attempt, job(m.t, script, change...)))
	if err != nil {
		m.t.Fatal(err)
	}
	return answer.Msg
}

func (m *machine) query(attempt string) *agentrpc.QueryResponse {
	m.t.Helper()
	answer, err := m.link.Client.Query(m.t.Context(), connect.NewRequest(&agentrpc.QueryRequest{
		Attempt: attempt, Rollout: "ServerTasks-1", Epoch: 1,
	}))
	if err != nil {
		m.t.Fatal(err)
	}
	return answer.Msg
}

func (m *machine) cancel(attempt string, grace time.Duration) {
	m.t.Helper()
	if _, err := m.link.Client.Cancel(m.t.Context(), connect.NewRequest(&agentrpc.CancelRequest{
		Attempt: attempt, Rollout: "ServerTasks-1", Epoch: 1, GraceMs: grace.Milliseconds(),
	})); err != nil {
		m.t.Fatal(err)
	}
}

// follow reads the log from an offset to the result, acknowledging all.
func (m *machine) follow(attempt string, offset int64) (log string, result *agentrpc.Result) {
	m.t.Helper()
	stream := m.link.Client.Follow(m.t.Context())
	if err := stream.Send(&agentrpc.FollowRequest{Attempt: attempt, Offset: offset}); err != nil {
		m.t.Fatal(err)
	}
	var text strings.Builder
	for {
		event, err := stream.Receive()
		if err != nil {
			m.t.Fatalf("follow %s: %v", attempt, err)
		}
		if result := event.GetResult(); result != nil {
			if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
				m.t.Errorf("after the result: %v", err)
			}
			return text.String(), result
		}
		if got := event.GetOutput().GetOffset(); got != offset {
			m.t.Fatalf("log goes on at %d, want %d", got, offset)
		}
		text.Write(event.GetOutput().GetData())
		offset += int64(len(event.GetOutput().GetData()))
		_ = stream.Send(&agentrpc.FollowRequest{Offset: offset})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func lines(path string) []string {
	text, _ := os.ReadFile(path)
	return strings.Fields(string(text))
}

func wantOutcome(t *testing.T, result *agentrpc.Result, want agentrpc.Outcome) {
	t.Helper()
	if result.GetOutcome() != want {
		t.Errorf("result %v, want %v", result, want)
	}
}

func (m *machine) fetches(attempt, key, want string) {
	m.t.Helper()
	stream, err := m.link.Client.Fetch(m.t.Context(), connect.NewRequest(&agentrpc.FetchRequest{Attempt: attempt, Key: key}))
	if err != nil {
		m.t.Fatal(err)
	}
	var got strings.Builder
	for stream.Receive() {
		got.Write(stream.Msg().GetChunk())
	}
	if got.String() != want || (want == "") != (connect.CodeOf(stream.Err()) == connect.CodeNotFound) {
		m.t.Errorf("fetch %q: %q, %v", key, got.String(), stream.Err())
	}
}
