//go:build unix

package e2e_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

// deployedTo are the machines that a task's deployment says it has deployed to.
func (s *stage) deployedTo(task client.Task) (machines []string) {
	s.t.Helper()
	id, _ := task.Arguments["DeploymentId"].(string)
	if err := s.get(s.t, "/api/deployments/"+id).DecodeField("DeployedToMachineIds", &machines); err != nil {
		s.t.Fatal(err)
	}
	return machines
}

// sameMachines compares ids in any order.
func sameMachines(got []string, want ...string) bool {
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}

// A machine stops answering in the middle of a rollout. The others go on; it is
// listed as not deployed; the task fails, or succeeds with a warning where the
// project lets unavailable machines be skipped. When the machine is back, it
// gets the release before it counts as healthy (P1, P4, fault 15).
func TestMachineStopsAnswering(t *testing.T) {
	t.Parallel()
	on := sharedServer(t)
	power := func(m *machine) { m.killAll() }
	for name, tt := range map[string]struct {
		skip   bool
		option machineOption
		goes   func(*machine)
		comes  func(*machine)
		state  string
	}{
		"no power, polling":               {false, func(*machine) {}, power, (*machine).start, "Failed"},
		"no power, listening":             {false, listens, power, (*machine).start, "Failed"},
		"no power, may be skipped":        {true, func(*machine) {}, power, (*machine).start, "Success"},
		"no power, listening and skipped": {true, listens, power, (*machine).start, "Success"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, on)
			if tt.skip {
				s.edit(t, "/api/projects/"+s.project.ID(), map[string]any{"ProjectConnectivityPolicy": map[string]any{"SkipMachineBehavior": "SkipUnavailableMachines"}})
			}
			first, gone, last := s.machine("1"), s.machine("2", impatient, tt.option), s.machine("3")
			s.steps(step("Roll", "web", "1", script("Roll", s.mark("starts")+
				"case $(get_octopusvariable Octopus.Machine.Name) in *-2) "+s.until("go")+";; esac\n")))
			s.release("1.0.0")
			task := s.deploy("1.0.0")
			eventually(t, "the second machine's script runs", func() bool { return len(s.lines("starts")) == 2 })
			tt.goes(gone)
			ended := s.finish(task, tt.state)
			if !ended.HasWarningsOrErrors {
				t.Error("the task has no warning")
			}
			contains(t, "the log", s.logOf(task), gone.name+" did not answer", "It is not deployed; the other machines go on")
			if to := s.deployedTo(ended); !sameMachines(to, first.id, last.id) {
				t.Errorf("deployed to %v, want %s and %s", to, first.id, last.id)
			}
			if starts := s.once("starts"); len(starts) != 3 {
				t.Errorf("starts %v", starts)
			}
			gone.health("Unavailable")

			tt.comes(gone)
			eventually(t, "the machine that came back gets the release", func() bool { return len(s.lines("starts")) == 4 })
			if health := gone.document().Text("HealthStatus"); health == "Healthy" {
				t.Error("the machine is healthy before it has the release")
			}
			s.touch("go")
			gone.healthy()
			s.once("starts")
			if caught := s.tasks()[0]; caught.Name != "AutoDeploy" || !sameMachines(s.deployedTo(caught), gone.id) {
				t.Errorf("caught up by %+v", caught)
			}
		})
	}
}

// An agent that hangs looks connected. It is given up after its patience like
// one that is gone, and what it was sent never runs twice (fault 16, 31).
func TestAgentHangs(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	other, hangs := s.machine("1"), s.machine("2", impatient)
	s.steps(step("Say", "web", "", script("Say", s.mark("starts"))))
	s.release("1.0.0")
	hangs.process.signal(t, syscall.SIGSTOP)
	ended := s.finish(s.deploy("1.0.0"), "Failed")
	if to := s.deployedTo(ended); !sameMachines(to, other.id) {
		t.Errorf("deployed to %v", to)
	}
	hangs.process.signal(t, syscall.SIGCONT)
	eventually(t, "the machine that came back gets the release", func() bool {
		caught := s.tasks()[0]
		return caught.Name == "AutoDeploy" && caught.IsCompleted
	})
	hangs.healthy()
	if starts := s.once("starts"); len(starts) < 2 || len(starts) > 3 {
		t.Errorf("starts %v", starts)
	}
}

// A machine that a person deletes in the middle of a rollout stops mattering at
// once: the rollout goes on without it and says so (fault 34).
func TestMachineDeletedInMidRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	first, gone, last := s.machine("1"), s.machine("2"), s.machine("3")
	s.steps(step("Roll", "web", "1", script("Roll", s.mark("starts")+"case $(get_octopusvariable Octopus.Machine.Name) in *-2) sleep 600;; esac\n")))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	eventually(t, "the second machine's script runs", func() bool { return len(s.lines("starts")) == 2 })
	s.must(t, "machine", "delete", gone.name, "--yes")
	ended := s.finish(task, "Success")
	if !ended.HasWarningsOrErrors {
		t.Error("the task has no warning")
	}
	contains(t, "the log", s.logOf(task), gone.name+" left the rollout", "deleted", "It is not deployed")
	if to := s.deployedTo(ended); !sameMachines(to, first.id, last.id) {
		t.Errorf("deployed to %v", to)
	}
	if starts := s.once("starts"); len(starts) != 3 {
		t.Errorf("starts %v", starts)
	}
	eventually(t, "the deleted machine is turned away", func() bool { return strings.Contains(gone.process.said(), "no link to the server") })
}

// A machine that comes while a rollout runs gets the release before it counts
// as healthy (fault 35).
func TestMachineComesInMidRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("1")
	s.steps(step("Roll", "web", "", script("Roll", s.mark("starts")+s.until("go"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	late := s.newMachine("2")
	late.register()
	late.start()
	s.touch("go")
	s.finish(task, "Success")
	eventually(t, "the late machine gets the release", func() bool { return len(s.lines("starts")) == 2 })
	late.healthy()
	s.once("starts")
}
