package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// slipway drives the built binary: one server, n polling agents, each a
// process with its own home, and the public API.
type slipway struct {
	dir, binary   string
	n             int
	api           api
	metrics       string    // address of the server's figures
	agents        int       // port
	procs         processes // the server first, then the agents
	environment   string
	script        string // release of the project that runs the script
	packages      string // project that installs the package
	prepared      string // release made by Prepare
	cold, warm    time.Duration
	idle, largest int64 // resident bytes: the server, and the largest agent
}

const (
	adminKey   = "API-BENCHBENCHBENCHBENCHBENCHBE"
	idleSettle = 3 * time.Second
)

func startSlipway(ctx context.Context, binary, dir string, n int) (*slipway, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	s := &slipway{dir: dir, binary: binary, n: n}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	apiPort, err := freePort()
	if err != nil {
		return nil, err
	}
	agentPort, err := freePort()
	if err != nil {
		return nil, err
	}
	metricsPort, err := freePort()
	if err != nil {
		return nil, err
	}
	s.metrics, s.agents = fmt.Sprintf("127.0.0.1:%d", metricsPort), agentPort
	s.api = api{url: fmt.Sprintf("http://127.0.0.1:%d", apiPort), key: adminKey}
	server := []string{
		"server", "--data", filepath.Join(dir, "data"), "--listen", fmt.Sprintf("127.0.0.1:%d", apiPort),
		"--agents", fmt.Sprintf("127.0.0.1:%d", agentPort), "--no-worker",
		"--metrics", s.metrics,
	}
	// Once to make the database, once more on the database that is there.
	if s.cold, err = s.boot(ctx, server); err != nil {
		return s, err
	}
	if err := s.procs.stop(); err != nil {
		return s, err
	}
	if s.warm, err = s.boot(ctx, server); err != nil {
		return s, err
	}
	return s, errors.Join(s.connect(ctx, agentPort), s.settle(ctx), s.prepareProjects(ctx))
}

// boot starts the server and waits for its first answer.
func (s *slipway) boot(ctx context.Context, args []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "SLIPWAY_ADMIN_API_KEY="+adminKey)
	return timed(func() error {
		if err := s.procs.start(cmd, filepath.Join(s.dir, "server.log")); err != nil {
			return err
		}
		return poll(ctx, "the server's first answer", 2*time.Millisecond, 30*time.Second, func() (bool, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api.url+"/api", nil)
			if err != nil {
				return false, err
			}
			resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a local server; poll's own limit ends it
			if err != nil {
				return false, nil //nolint:nilerr // not yet; the limit decides
			}
			return resp.StatusCode == http.StatusOK, resp.Body.Close()
		})
	})
}

// connect registers the agents, starts them, and waits until all are healthy.
func (s *slipway) connect(ctx context.Context, agentPort int) error {
	environment, err := s.api.post(ctx, "/api/environments", document{"Name": "Bench"})
	if err != nil {
		return err
	}
	s.environment = environment.text("Id")
	trust, err := s.thumbprint(ctx)
	if err != nil {
		return err
	}
	for i := range s.n {
		home := s.home(i)
		register := exec.CommandContext(ctx, s.binary, "agent", "register", "--home", home, "--app", filepath.Join(home, "app"),
			"--name", machine(i), "--environment", "Bench", "--role", "bench", "--comms-style", "TentacleActive",
			"--server", s.api.url, "--server-comms-address", fmt.Sprintf("127.0.0.1:%d", agentPort), "--trust", trust)
		register.Env = append(os.Environ(), "SLIPWAY_API_KEY="+adminKey)
		if out, err := register.CombinedOutput(); err != nil {
			return fmt.Errorf("register agent %d: %w: %s", i, err, out)
		}
		agent := exec.CommandContext(ctx, s.binary, "agent", "run", "--home", home)
		if err := s.procs.start(agent, filepath.Join(home, "agent.log")); err != nil {
			return err
		}
	}
	return s.healthy(ctx, s.n)
}

// healthy waits until that many machines are.
func (s *slipway) healthy(ctx context.Context, n int) error {
	return poll(ctx, "the health of all agents", 100*time.Millisecond, 10*time.Minute, func() (bool, error) {
		page, err := s.api.get(ctx, "/api/machines?healthStatuses=Healthy&take=1")
		if err != nil {
			return false, err
		}
		return page["TotalResults"] == float64(n), nil
	})
}

// thumbprint is what agents pin.
func (s *slipway) thumbprint(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, s.binary, "server", "thumbprint", "--data", filepath.Join(s.dir, "data"), "--format", "basic").Output()
	if err != nil {
		return "", fmt.Errorf("ask for the thumbprint: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// settle lets everything come to rest and takes the idle memory.
func (s *slipway) settle(ctx context.Context) error {
	began := time.Now()
	if err := poll(ctx, "rest", 100*time.Millisecond, time.Minute, func() (bool, error) {
		return time.Since(began) > idleSettle, nil
	}); err != nil {
		return err
	}
	var err error
	if s.idle, err = resident(s.procs.running[0].Process.Pid); err != nil {
		return err
	}
	for _, agent := range s.procs.running[1:] {
		bytes, err := resident(agent.Process.Pid)
		if err != nil {
			return err
		}
		s.largest = max(s.largest, bytes)
	}
	return nil
}

func (s *slipway) prepareProjects(ctx context.Context) error {
	script, err := s.api.project(ctx, "Bench script", scriptAction(scriptText))
	if err != nil {
		return err
	}
	if s.script, err = s.api.release(ctx, script, "1.0.0", ""); err != nil {
		return err
	}
	s.packages, err = s.api.project(ctx, "Bench package", packageAction())
	return err
}

func (s *slipway) Name() string { return "slipway" }

func (s *slipway) Script(ctx context.Context) error {
	return s.api.deploy(ctx, s.script, s.environment)
}

func (s *slipway) Prepare(ctx context.Context, r release) error {
	if err := s.api.upload(ctx, r.Zip); err != nil {
		return err
	}
	if err := s.api.setValues(ctx, s.packages, r.Values); err != nil {
		return err
	}
	var err error
	s.prepared, err = s.api.release(ctx, s.packages, r.Version, r.Version)
	return err
}

func (s *slipway) Package(ctx context.Context, _ release) error {
	return s.api.deploy(ctx, s.prepared, s.environment)
}

func (s *slipway) Installed() string { return filepath.Join(s.dir, "agents") }

func (s *slipway) Close() error { return s.procs.stop() }

// Facts are the figures that stand alone. The counts come from strace over one
// more script on every agent, outside the clock.
func (s *slipway) Facts(ctx context.Context) ([]fact, error) {
	with := fmt.Sprintf(", %d agents", s.n)
	facts := []fact{
		{"first start of the server to its first API answer", seconds(s.cold) + " s", ""},
		{"later start of the server to its first API answer", seconds(s.warm) + " s", ""},
		{"resident memory of the idle server" + with, megabytes(s.idle), "< 80 MB"},
		{"resident memory of the largest idle agent" + with, megabytes(s.largest), "< 25 MB"},
	}
	for _, traced := range []struct {
		name string
		pid  int
		per  int
	}{
		{"fsyncs of the server per attempt (script)" + with, s.procs.running[0].Process.Pid, s.n},
		{"fsyncs of an agent per attempt (script)", s.procs.running[1].Process.Pid, 1},
	} {
		count, err := fsyncs(ctx, traced.pid, filepath.Join(s.dir, "strace.txt"), s.Script)
		switch {
		case errors.Is(err, errNoStrace):
			facts = append(facts, fact{traced.name, err.Error(), ""})
		case err != nil:
			return nil, err
		default:
			facts = append(facts, fact{traced.name, fmt.Sprintf("%.1f", float64(count)/float64(traced.per)), ""})
		}
	}
	return facts, nil
}

func (s *slipway) home(i int) string { return filepath.Join(s.dir, "agents", fmt.Sprint(i)) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
