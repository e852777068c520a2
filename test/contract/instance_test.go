package contract_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/client"
)

// adminKey is the administrator's, in the alphabet that the SDK checks.
const adminKey = "API-CONTRACTCONTRACTCONTRACT01"

// slipway is the built program under test.
var slipway string

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// build makes the program, or takes the one that SLIPWAY_BIN names.
func build(m *testing.M) (int, error) {
	if slipway = os.Getenv("SLIPWAY_BIN"); slipway != "" {
		absolute, err := filepath.Abs(slipway)
		if err != nil {
			return 1, err
		}
		slipway = absolute
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "slipway-contract-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	slipway = filepath.Join(dir, "slipway")
	cmd := exec.Command("go", "build", "-o", slipway, "./cmd/slipway")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build slipway: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// instance is a running server.
type instance struct {
	url    string
	agents string // where polling agents connect
	data   string
	trust  string // the server's thumbprint
}

// start runs a server in an empty data folder until the test ends.
func start(t *testing.T) *instance {
	t.Helper()
	s := &instance{agents: freeAddress(t), data: filepath.Join(t.TempDir(), "data")}
	said := run(t, "server", regexp.MustCompile(`serves (http://\S+)\. Agents trust (\w+)`),
		"server", "--data", s.data, "--listen", "127.0.0.1:0", "--agents", s.agents)
	s.url, s.trust = strings.TrimSuffix(said[1], "."), said[2]
	return s
}

// freeAddress is an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts the program, waits until its output matches ready, and stops it
// when the test ends. What it said is shown if the test fails.
func run(t *testing.T, name string, ready *regexp.Regexp, args ...string) []string {
	t.Helper()
	cmd := exec.Command(slipway, args...)
	cmd.Env = environment()
	output, input := io.Pipe()
	cmd.Stdout, cmd.Stderr = input, input
	cmd.WaitDelay = 5 * time.Second // its children share the pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { err := cmd.Wait(); ended <- errors.Join(err, input.Close()) }()
	said := &transcript{found: make(chan []string, 1)}
	go said.read(output, ready)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s did not end in 20 s after SIGTERM", name)
			_ = cmd.Process.Kill()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.text())
		}
	})
	select {
	case match := <-said.found:
		return match
	case err := <-ended:
		ended <- err
		t.Fatalf("%s ended: %v\n%s", name, err, said.text())
	case <-time.After(60 * time.Second):
		t.Fatalf("%s was not ready in 60 s\n%s", name, said.text())
	}
	return nil
}

// environment is this process's without anything that would name another
// server.
func environment() []string {
	env := []string{"SLIPWAY_ADMIN_API_KEY=" + adminKey}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLIPWAY_") && !strings.HasPrefix(pair, "OCTOPUS_") {
			env = append(env, pair)
		}
	}
	return env
}

// transcript keeps what a process says.
type transcript struct {
	mu    sync.Mutex
	lines strings.Builder
	found chan []string
}

func (s *transcript) read(r io.Reader, ready *regexp.Regexp) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.lines.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if match := ready.FindStringSubmatch(lines.Text()); match != nil {
			select {
			case s.found <- match:
			default:
			}
		}
	}
}

func (s *transcript) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String()
}

// agent is a machine on loopback.
type agent struct {
	name, home, apps string
}

// startAgent registers a machine by the command line and runs its agent until
// the test ends.
func (s *instance) startAgent(t *testing.T, name, environment, style string, roles ...string) *agent {
	t.Helper()
	dir := t.TempDir()
	a := &agent{name: name, home: filepath.Join(dir, "home"), apps: filepath.Join(dir, "apps")}
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"agent", "register", "--server", s.url, "--api-key", adminKey, "--home", a.home, "--app", a.apps, "--name", name,
		"--environment", environment, "--trust", s.trust, "--comms-style", style, "--public-hostname", "127.0.0.1", "--port", port,
		"--server-comms-address", s.agents,
	}
	for _, role := range roles {
		args = append(args, "--role", role)
	}
	command(t, args...)
	run(t, "agent "+name, regexp.MustCompile(``), "agent", "run", "--home", a.home, "--log-level", "debug")
	return a
}

// command runs the program to its end.
func command(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("a command took a minute"))
	defer cancel()
	cmd := exec.CommandContext(ctx, slipway, args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("slipway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// connect makes the SDK's client for a space; "" for the default one.
func (s *instance) connect(t *testing.T, space string) *client.Client {
	t.Helper()
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewClient(nil, address, adminKey, space)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually polls until ok says yes; what names what is waited for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 90 s for %s", what)
		}
	}
}
