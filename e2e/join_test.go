//go:build unix

package e2e_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// A machine joins a rollout in flight (fault 35, design 8): while the first
// batch is not verified it waits, and why and the tree say so; then it comes
// before the machines that serve the release before; it gets what the others
// get, but for what runs once. Who follows the task by its events goes on where
// it was when the server is killed and started again (Last-Event-ID).
func TestMachineJoinsInFlight(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	first, second := s.machine("1"), s.machine("2")
	once := script("Migrate", s.mark("migrations"))
	once["Properties"] = map[string]any{
		"Octopus.Action.Script.ScriptSource": "Inline", "Octopus.Action.Script.Syntax": "Bash",
		"Octopus.Action.Script.ScriptBody": s.mark("migrations"), "Slipway.Action.RunOnce": "True",
	}
	s.steps(
		step("Prepare", "web", "", once),
		step("Roll", "web", "1", script("Roll", s.mark("starts")+"case $(get_octopusvariable Octopus.Machine.Name) in *-1) "+s.until("go")+";; *-3) "+s.until("more")+";; esac\n")))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	eventually(t, "the first machine is worked on", func() bool { return len(s.lines("starts")) == 1 })
	events := s.events(t, task, "")
	last := events.upTo(t, `"Status":"Running"`, "event: task")

	late := s.comes(t, "3")
	eventually(t, "the newcomer is a member", func() bool { return strings.Contains(s.logOf(task), late.name+" came while the rollout ran") })
	contains(t, "why", s.must(t, "why", late.name), "In step 2 (Roll) of "+task, "waits until a batch of it is verified", "1.0.0")
	contains(t, "the tree", s.must(t, "task", "get", task), "0 of 3", late.name+"  came while the step ran")
	events.close()
	s.server.process.kill()
	s.restart(t)
	more := s.events(t, task, last)
	seen := more.all(t, late.name, "event: task")
	if strings.Contains(seen, `"MessageText":"Window`) || !strings.Contains(seen, "came while the rollout ran") {
		t.Errorf("gone on with what was known, or without what was not: %s", seen)
	}
	more.close()
	s.touch("go")
	eventually(t, "a second machine is worked on", func() bool { return len(s.lines("starts")) == 2 })
	if next := s.lines("starts")[1]; !strings.Contains(next, "."+late.id+".") {
		t.Errorf("after the first batch %s was begun, want %s", next, late.id)
	}
	contains(t, "why", s.must(t, "why", second.name), "waits for its turn, 1 at a time; 1 of 3 machines are done")
	s.touch("more")
	ended := s.finish(task, "Success")
	if to := s.deployedTo(ended); !sameMachines(to, first.id, second.id, late.id) {
		t.Errorf("deployed to %v", to)
	}
	for name, want := range map[string]int{"migrations": 1, "starts": 3} {
		if got := s.once(name); len(got) != want {
			t.Errorf("%d %s, want %d: %v", len(got), name, want, got)
		}
	}
	late.healthy()
}

// comes registers a machine and starts its agent; it is not healthy before it
// has the release.
func (s *stage) comes(t *testing.T, name string) *machine {
	t.Helper()
	m := s.newMachine(name)
	m.register()
	m.start()
	return m
}

// A deployment that fails is rolled back by the policy of its project: the
// release that succeeded before comes back on all machines, once, as a
// deployment of its own that says why.
func TestFailureIsRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	one, two := s.machine("1"), s.machine("2")
	s.variables(variable("Slipway.Deployment.RollBack", "Automatic"))
	say := func(version, more string) {
		s.steps(step("Roll", "web", "1", script("Roll", s.mark("starts")+"echo "+version+" > '"+s.path("runs")+"-'$(get_octopusvariable Octopus.Machine.Id)\n"+more)))
		s.release(version)
	}
	say("1.0.0", "")
	good := s.deploy("1.0.0")
	s.finish(good, "Success")
	say("2.0.0", "case $(get_octopusvariable Octopus.Machine.Name) in *-2) exit 3;; esac\n")
	failed := s.deploy("2.0.0")
	s.finish(failed, "Failed")
	var back string
	eventually(t, "the release before is deployed again", func() bool {
		for _, task := range s.tasks() {
			if task.ID != failed && task.ID != good && task.IsCompleted {
				back = task.ID
			}
		}
		return back != ""
	})
	ended := s.finish(back, "Success")
	if to := s.deployedTo(ended); !sameMachines(to, one.id, two.id) {
		t.Errorf("rolled back on %v", to)
	}
	for _, m := range []*machine{one, two} {
		if got := strings.TrimSpace(s.read("runs-" + m.id)); got != "1.0.0" {
			t.Errorf("%s runs %q", m.name, got)
		}
		contains(t, "why", s.must(t, "why", m.name), "It runs "+s.name+" in "+s.name+" 1.0.0 since", "by "+back)
	}
	if n := len(s.once("starts")); n != 6 {
		t.Errorf("%d starts, want two for each of the three deployments", n)
	}
	if n := len(s.tasks()); n != 3 {
		t.Errorf("%d deployments, want the good one, the failed one and the one back", n)
	}
	id, _ := ended.Arguments["DeploymentId"].(string)
	if why := s.get(t, "/api/deployments/"+id).Text("RollsBackTaskId"); why != failed {
		t.Errorf("it rolls %q back, want %s", why, failed)
	}
}

// eventStream is one client that follows a task by its server-sent events.
type eventStream struct {
	lines *bufio.Scanner
	close func()
}

func (s *stage) events(t *testing.T, task, last string) *eventStream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/api/tasks/"+task+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Octopus-Apikey", s.key)
	if last != "" {
		req.Header.Set("Last-Event-Id", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("follow %s: %v, %v", task, resp, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return &eventStream{lines: lines, close: func() { _ = resp.Body.Close() }}
}

// all reads until a line has the first text and then one has the second with
// its data, and returns what came.
func (e *eventStream) all(t *testing.T, first, second string) string {
	t.Helper()
	var seen strings.Builder
	had, ends := false, false
	for e.lines.Scan() {
		line := e.lines.Text()
		seen.WriteString(line + "\n")
		had = had || strings.Contains(line, first)
		ends = ends || had && line == second
		if ends && line == "" {
			return seen.String()
		}
	}
	t.Fatalf("the stream ended before %q and %q: %v\n%s", first, second, e.lines.Err(), seen.String())
	return ""
}

// upTo reads like all, and returns the id of the last event.
func (e *eventStream) upTo(t *testing.T, first, second string) (id string) {
	t.Helper()
	for line := range strings.Lines(e.all(t, first, second)) {
		if value, is := strings.CutPrefix(strings.TrimSpace(line), "id: "); is {
			id = value
		}
	}
	return id
}
