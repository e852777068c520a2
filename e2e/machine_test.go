//go:build unix

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipwayhq/slipway/internal/client"
)

// machine is one of a story's machines with its agent.
type machine struct {
	s       *stage
	name    string
	role    string
	folder  string // of everything the machine has
	home    string
	apps    string
	policy  string
	env     []string // of the agent
	wrapper []string // runs the agent, such as prlimit
	polling bool
	id      string // at the server
	address string // of a listening agent
	process *process
}

type machineOption func(*machine)

// listens makes the server connect to the machine; otherwise it polls.
func listens(m *machine) { m.polling = false }

// impatient puts the machine under a policy that gives it up after two seconds
// of silence.
func impatient(m *machine) { m.policy = "Impatient" }

// newMachine is a machine that neither registered nor runs yet.
func (s *stage) newMachine(name string, options ...machineOption) *machine {
	s.t.Helper()
	folder := filepath.Join(s.folder, name)
	m := &machine{
		s: s, name: s.name + "-" + name, role: "web", polling: true, folder: folder,
		home: filepath.Join(folder, "home"), apps: filepath.Join(folder, "apps"),
	}
	for _, option := range options {
		option(m)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if m.process != nil {
			m.process.kill()
		}
	})
	return m
}

// machine registers a machine, starts its agent and waits until it is healthy.
func (s *stage) machine(name string, options ...machineOption) *machine {
	s.t.Helper()
	m := s.newMachine(name, options...)
	m.register()
	m.start()
	m.healthy()
	return m
}

// registration is the command line that registers the machine.
func (m *machine) registration(more ...string) []string {
	args := []string{
		"agent", "register", "--home", m.home, "--app", m.apps, "--name", m.name, "--role", m.role,
		"--environment", m.s.name, "--trust", m.s.thumbprint,
	}
	if m.policy != "" {
		args = append(args, "--policy", m.policy)
	}
	if m.polling {
		args = append(args, "--comms-style", "TentacleActive", "--server-comms-address", m.s.agents)
	} else {
		if m.address == "" {
			m.address = "127.0.0.1:" + freePort(m.s.t)
		}
		args = append(args, "--comms-style", "TentaclePassive", "--public-hostname", "127.0.0.1", "--port", m.address[len("127.0.0.1:"):])
	}
	return append(args, more...)
}

func (m *machine) register(more ...string) {
	m.s.t.Helper()
	m.id = m.s.must(m.s.t, append(m.registration(more...), "--format", "basic")...)
	m.stayHome()
}

// stayHome makes a listening agent listen on loopback only.
func (m *machine) stayHome() {
	m.s.t.Helper()
	if m.polling {
		return
	}
	file := filepath.Join(m.home, "agent.json")
	text, err := os.ReadFile(file)
	if err != nil {
		m.s.t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		m.s.t.Fatal(err)
	}
	config["Listen"] = m.address
	if text, err = json.Marshal(config); err != nil {
		m.s.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		m.s.t.Fatal(err)
	}
}

// start starts the agent, for the first time or after a kill.
func (m *machine) start() {
	m.s.t.Helper()
	var err error
	if m.process, err = start(m.folder, "agent", m.wrapper, m.env, "agent", "run", "--home", m.home); err != nil {
		m.s.t.Fatal(err)
	}
}

// document is the server's view of the machine.
func (m *machine) document() client.Document {
	m.s.t.Helper()
	return m.s.get(m.s.t, "/api/machines/"+m.id)
}

// healthy waits until the server found the machine healthy.
func (m *machine) healthy() {
	m.s.t.Helper()
	m.health("Healthy", "HasWarnings")
}

// health waits until the machine's health is one of those.
func (m *machine) health(want ...string) {
	m.s.t.Helper()
	var last client.Document
	defer func() {
		if m.s.t.Failed() {
			m.s.t.Logf("%s was last %s: %s\n%s", m.name, last.Text("HealthStatus"), last.Text("StatusSummary"), m.process.said())
		}
	}()
	eventually(m.s.t, m.name+" is "+want[0], func() bool {
		last = m.document()
		return slices.Contains(want, last.Text("HealthStatus"))
	})
}

// killAll cuts the machine's power: the agent, its keepers and their scripts.
func (m *machine) killAll() {
	m.process.kill()
	killLeftovers(m.folder)
}

// installed is where the release's package was installed; the story fails when
// that is not exactly one place.
func (m *machine) installed(version string) string {
	m.s.t.Helper()
	found, err := filepath.Glob(filepath.Join(m.apps, m.s.name, "*", version+"*"))
	if err != nil || len(found) != 1 {
		m.s.t.Fatalf("version %s is installed in %q, %v", version, found, err)
	}
	return found[0]
}
