//go:build unix

package gateway_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// TestMain makes this binary an agent or a shim when the environment says so,
// so that a real agent can be killed.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("GATEWAY_TEST_ROLE") {
	case "agent":
		err = agentProcess()
	case "shim":
		err = agent.Shim(context.Background(), os.Getenv("GATEWAY_TEST_DIR"), os.Stdin, agent.ShimDeps{
			Run: bashJob, Clock: time.Now, Grace: time.Second,
		})
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func agentProcess() error {
	home := os.Getenv("GATEWAY_TEST_HOME")
	config, err := agent.LoadConfig(home)
	if err != nil {
		return err
	}
	return agent.Run(context.Background(), home, config, agent.RunDeps{
		Packages: noPackages{},
		Shim: func(dir string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "GATEWAY_TEST_ROLE=shim", "GATEWAY_TEST_DIR="+dir)
			return cmd
		},
		Clock: time.Now, Random: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "1.2.3",
	})
}

// bashJob runs the script body.
func bashJob(ctx context.Context, env agent.JobEnv, job *agentrpc.Job) *agentrpc.Result {
	script := ""
	for _, v := range job.GetVariables() {
		if v.GetName() == "Octopus.Action.Script.ScriptBody" {
			script = v.GetValue()
		}
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = env.Dir
	cmd.Stdout, cmd.Stderr = env.Log, env.Log
	code, err := env.Run(ctx, cmd)
	if ctx.Err() != nil {
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_CANCELED, Reason: "canceled"}
	}
	if code != 0 || err != nil {
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED, ExitCode: int32(code), Reason: fmt.Sprint(err)}
	}
	return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
}

// noPackages is a store that never holds anything.
type noPackages struct{}

func (noPackages) Missing(digests []string) ([]string, error) { return digests, nil }

func (noPackages) Put(context.Context, *agentrpc.PutRequest_Header, io.Reader) error {
	return errors.New("no packages here")
}

// realAgent is a real agent process that polls the rig's server.
type realAgent struct {
	t    *testing.T
	home string
	cmd  *exec.Cmd
}

// agentProcess makes the machine and starts its agent.
func (r *rig) agentProcess(t *testing.T) (*realAgent, string) {
	t.Helper()
	a := &realAgent{t: t, home: filepath.Join(t.TempDir(), "home")}
	id, err := agent.Identity(a.home, "web-1", time.Now(), rand.Reader)
	r.must(err)
	config := &agent.Config{
		Name: "web-1", Mode: agent.Polling, Servers: []string{r.g.Addr().String()},
		SubscriptionID: agent.NewSubscriptionID(rand.Text), ServerThumbprints: []string{r.id.Thumbprint()}, ApplicationsDir: t.TempDir(),
	}
	r.must(config.Save(a.home))
	m := r.machineAt("web-1", resource.Endpoint{
		CommunicationStyle: resource.StyleActive, URI: config.SubscriptionID, Thumbprint: id.Thumbprint(),
	})
	a.start()
	t.Cleanup(a.kill)
	return a, m
}

func (a *realAgent) start() {
	a.t.Helper()
	a.cmd = exec.Command(os.Args[0])
	a.cmd.Env = append(os.Environ(), "GATEWAY_TEST_ROLE=agent", "GATEWAY_TEST_HOME="+a.home)
	a.cmd.Stderr = logWriter{a.t}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
}

// kill ends the agent at once; its scripts go on.
func (a *realAgent) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// Fault 10: the real agent is killed while a script runs. Its successor
// re-attaches; the log is whole, and the script ran once.
func TestRealAgentKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	a, m := r.agentProcess(t)
	r.online(m)
	truth, goOn := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "go-on")
	id := r.deploy(func(p *rollout.Plan) {
		p.Steps[0].Actions[0].Properties["Octopus.Action.Script.ScriptBody"] = fmt.Sprintf(
			"echo start >>%q; echo before; while [ ! -e %q ]; do sleep 0.05; done; for i in $(seq 2000); do echo line $i; done", truth, goOn)
	})
	attempt := attemptOf(id, m, 1)
	r.eventually("the script runs", func() bool { return strings.Contains(r.log(attempt), "before") })
	a.kill()
	r.must(os.WriteFile(goOn, nil, 0o600))
	a.start()
	r.ends(id, rollout.Succeeded)
	text := r.log(attempt)
	for i := range 2000 {
		if n := strings.Count(text, fmt.Sprintf("line %d\n", i+1)); n != 1 {
			t.Fatalf("line %d is there %d times in %d bytes", i+1, n, len(text))
		}
	}
	if starts, err := os.ReadFile(truth); err != nil || string(starts) != "start\n" {
		t.Errorf("starts %q, %v", starts, err)
	}
	if s := r.session(m); s.Incarnation < 2 {
		t.Errorf("session %+v", s)
	}
}

// A cancel ends the real script's tree and comes back as its outcome.
func TestRealAgentCanceled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	_, m := r.agentProcess(t)
	r.online(m)
	id := r.deploy(func(p *rollout.Plan) {
		p.Steps[0].Actions[0].Properties["Octopus.Action.Script.ScriptBody"] = "echo runs; sleep 600"
	})
	r.eventually("the script runs", func() bool { return strings.Contains(r.log(attemptOf(id, m, 1)), "runs") })
	r.write(func(tx *store.Tx) error { return store.CancelTask(tx, id, "ann") })
	if at := r.ends(id, rollout.Canceled).Attempts[0]; at.Outcome != rollout.OutcomeCanceled {
		t.Errorf("attempt %+v", at)
	}
}
