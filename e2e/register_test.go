//go:build unix

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
)

// A name that is registered already is refused. With --force another machine
// takes it over, and the identity that had it is revoked at once (abuse 10).
func TestNameTaken(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	first := s.machine("m")
	second := s.newMachine("m2")
	second.name = first.name
	r := s.cli(t, second.registration()...)
	if r.code != 1 {
		t.Errorf("registered twice: %v", r)
	}
	contains(t, "the refusal", r.stderr, first.name, "--force")
	if _, err := os.Stat(filepath.Join(second.home, "agent.json")); err == nil {
		t.Error("the refused machine has a configuration")
	}
	second.register("--force")
	if second.id != first.id {
		t.Errorf("the name is now %s, was %s", second.id, first.id)
	}
	eventually(t, "the old identity is turned away", func() bool { return strings.Contains(first.process.said(), "no link to the server") })
	second.start()
	second.healthy()
	s.steps(step("Say", "web", "", script("Say", "pwd >> '"+s.path("where")+"'\n")))
	s.ship("1.0.0", "Success")
	if where := s.lines("where"); len(where) != 1 || !strings.HasPrefix(where[0], second.folder+"/") {
		t.Errorf("the script ran in %v", where)
	}
	first.process.kill()
	const away = "no link to the server"
	before := strings.Count(first.process.said(), away)
	first.start() // with the key that was revoked
	eventually(t, "the old identity is turned away again", func() bool { return strings.Count(first.process.said(), away) > before })
	second.healthy()
}

// An identity that was copied to another place does not run. Where somebody
// bends it so that it does, neither of the two gets work (abuse 4).
func TestIdentityCopied(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	s.steps(step("Say", "web", "", script("Say", s.mark("starts"))))
	s.ship("1.0.0", "Success")

	clone := s.newMachine("clone")
	if err := os.CopyFS(clone.home, os.DirFS(m.home)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "identity": 0o700, "identity/identity.pem": 0o600} {
		if err := os.Chmod(filepath.Join(clone.home, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	r := invoke(t, clone.folder, nil, "agent", "run", "--home", clone.home)
	if r.code != 1 {
		t.Errorf("the copy ran: %v", r)
	}
	contains(t, "the refusal", r.stderr, "copied", "register this machine anew")

	clone.bend()
	clone.start()
	m.health("Unhealthy")
	contains(t, "the machine", m.document().Text("StatusSummary"), "Duplicate identity")
	task := s.deploy("1.0.0")
	eventually(t, "the deployment waits for the machine", func() bool {
		now, err := s.client.Task(t.Context(), task)
		return err == nil && now.State == "Executing"
	})
	s.must(t, "task", "cancel", task)
	s.finish(task, "Canceled")
	if starts := s.lines("starts"); len(starts) != 1 {
		t.Errorf("starts %v", starts)
	}
}

// bend makes a copied home believe that it belongs here.
func (m *machine) bend() {
	m.s.t.Helper()
	config, err := agent.LoadConfig(m.home)
	if err == nil {
		config.Instance, err = agent.Instance(m.home)
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(config)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(m.home, "agent.json"), text, 0o600)
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
}

// A one-time token lets one machine in, also when two use it at once, and only
// with the environments and roles it grants (abuse 5, 6).
func TestTokenUsedTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	token := func() string {
		t.Helper()
		return s.must(t, "agent-token", "create", "--environment", s.name, "--role", "web", "--format", "basic")
	}
	register := func(m *machine, token string, more ...string) result {
		args := []string{
			"agent", "register", "--home", m.home, "--app", m.apps, "--name", m.name, "--trust", s.thumbprint,
			"--comms-style", "TentacleActive", "--server-comms-address", s.agents,
		}
		return invoke(t, m.folder, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_AGENT_TOKEN=" + token}, append(args, more...)...)
	}

	spent := token()
	first, second := s.newMachine("first"), s.newMachine("second")
	if r := register(first, spent, "--environment", s.name, "--role", "database"); r.code == 0 {
		t.Errorf("a role beyond the grant: %v", r)
	}
	if r := register(first, spent); r.code != 0 {
		t.Fatalf("the first use: %v", r)
	}
	if r := register(second, spent); r.code == 0 || strings.Contains(r.stdout+r.stderr, spent) {
		t.Errorf("the second use: %v", r)
	}

	raced, codes := token(), make([]int, 4)
	var race sync.WaitGroup
	for i := range codes {
		m := s.newMachine("racer" + string(rune('a'+i)))
		race.Go(func() { codes[i] = register(m, raced).code })
	}
	race.Wait()
	won := 0
	for _, code := range codes {
		if code == 0 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of four machines registered with one token: %v", won, codes)
	}
}

// A machine that registers with --wait is not done before it has the release
// that its environment runs, and says so by its exit code; where the release
// cannot be installed, that is a failure.
func TestRegisterWaits(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("old")
	s.push("1.0.0", map[string]string{"app.txt": "one"})
	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "name=$(get_octopusvariable Octopus.Machine.Name)\n[ \"${name%-bad}\" = \"$name\" ] || exit 9\n"+s.mark("installs"), nil)))
	s.ship("1.0.0", "Success")
	register := func(m *machine) *process {
		t.Helper()
		p, err := start(m.folder, "register", nil, []string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=" + s.key},
			m.registration("--wait", "--wait-timeout", "50s", "--format", "basic")...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		eventually(t, "the machine has a configuration", func() bool { _, err := os.Stat(filepath.Join(m.home, "agent.json")); return err == nil })
		if p.ended() {
			t.Errorf("the wait is over before the agent ran: %s", p.said())
		}
		m.start()
		return p
	}

	good := s.newMachine("new")
	p := register(good)
	s.exits(p, 0)
	if text, err := os.ReadFile(filepath.Join(good.installed("1.0.0"), "app.txt")); err != nil || string(text) != "one" {
		t.Errorf("after the wait the machine has %q, %v", text, err)
	}
	if installs := s.once("installs"); len(installs) != 2 {
		t.Errorf("installs %v", installs)
	}

	bad := s.newMachine("bad")
	p = register(bad)
	s.exits(p, 1, "unhealthy", s.name)
}
