//go:build unix

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// once wants every attempt to have started once at most.
func (s *stage) once(name string) (attempts []string) {
	s.t.Helper()
	attempts = s.lines(name)
	sorted := slices.Sorted(slices.Values(attempts))
	if len(slices.Compact(sorted)) != len(attempts) {
		s.t.Errorf("attempts started twice: %v", attempts)
	}
	return attempts
}

// The server is killed with kill -9 while a script of a rollout runs, and again
// whenever another one has started: the scripts go on, the next start takes
// their results in, no script is repeated, and the end is green (faults 1 to 6).
func TestServerKilledInMidRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	s.machine("a")
	s.machine("b", listens)
	s.machine("c")
	s.push("1.0.0", map[string]string{"app.txt": "one"})
	s.steps(
		step("Roll", "web", "1",
			script("Wait", s.mark("starts")+"n=$(wc -l < '"+s.path("starts")+"')\n"+"until [ -e '"+s.path("go")+"'$n ]; do sleep 0.05; done\n"+s.mark("ended")),
			install("Deploy", s.app(), s.mark("installs"), nil)),
		step("Last", "web", "", script("Last", s.mark("last"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	for n := 1; n <= 3; n++ {
		eventually(t, fmt.Sprint("script ", n, " runs"), func() bool { return len(s.lines("starts")) == n })
		s.server.process.kill()
		s.touch(fmt.Sprint("go", n)) // the script ends while no server is there
		eventually(t, "the script ends without a server", func() bool { return len(s.lines("ended")) == n })
		s.restart(t)
	}
	s.finish(task, "Success")
	for _, name := range []string{"starts", "ended", "installs", "last"} {
		if n := len(s.once(name)); n != 3 {
			t.Errorf("%d %s, want 3", n, name)
		}
	}
}

// The agent is killed with kill -9 while its script runs: the script goes on,
// the log is whole, and the task is green (fault 10).
func TestAgentKilledInMidScript(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	for name, option := range map[string]machineOption{"polling": func(*machine) {}, "listening": listens} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, s.server)
			m := s.machine(name, option)
			count := "for i in $(seq %d %d); do echo line $i; echo $i > '" + s.path("at") + "'; sleep 0.002; done\n"
			s.steps(step("Count", "web", "", script("Count", s.mark("starts")+fmt.Sprintf(count, 1, 300)+s.until("go")+fmt.Sprintf(count, 301, 600))))
			s.release("1.0.0")
			task := s.deploy("1.0.0")
			eventually(t, "the script counts", func() bool { return s.read("at") > "" })
			m.process.kill()
			eventually(t, "the script goes on without its agent", func() bool { return strings.TrimSpace(s.read("at")) == "300" })
			m.start()
			s.touch("go")
			s.finish(task, "Success")
			var want, got []string
			for i := range 600 {
				want = append(want, fmt.Sprint("line ", i+1))
			}
			for line := range strings.Lines(s.logOf(task)) {
				if _, text, ok := strings.Cut(line, "| line "); ok {
					got = append(got, "line "+strings.TrimSpace(text))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the log has %d lines of 600: %v", len(got), got)
			}
			if n := len(s.once("starts")); n != 1 {
				t.Errorf("%d starts", n)
			}
		})
	}
}

// A machine loses its power while a script runs: how the script ended is not
// known, so the task waits for a person, and nothing is run again (faults 11,
// 12); answered with Fail it is red. What the
// script was given does not stay on the disk once the machine is back
// (abuse 72).
func TestMachineLosesPower(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	const canary = "canary-of-a-lost-machine"
	s.variables(secret("Password", canary))
	s.steps(step("Hang", "web", "", script("Hang", "password='#{Password}'\n"+s.mark("starts")+"sleep 600\n")))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	m.killAll()
	m.start()
	question := s.asks(task)
	contains(t, "the question", s.cli(t, "interruption", "show", question).stdout, "unknown", "cannot be known")
	s.answers(question, "Fail")
	s.finish(task, "Failed")
	contains(t, "the log", s.logOf(task), "Unknown", "cannot be known")
	eventually(t, "the secret is gone from the machine", func() bool { return len(grep(t, m.home, canary)) == 0 })
	if n := len(s.once("starts")); n != 1 {
		t.Errorf("%d starts", n)
	}
}

// A step that declares that it restarts its machine is done when that has
// happened, and the next one runs; nothing is run again (fault 12). The machine
// of this story cannot really restart: its boot id is that of another boot.
func TestMachineRestartsAsExpected(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	restart := script("Restart", s.mark("starts")+"sleep 600\n")
	properties, _ := restart["Properties"].(map[string]any)
	properties["Slipway.Action.RebootsExpected"] = "True"
	s.steps(step("Restart", "web", "", restart), step("After", "web", "", script("After", s.mark("after"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	m.killAll()
	markers, err := filepath.Glob(filepath.Join(m.home, "attempts", "*", "started"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("markers %v, %v", markers, err)
	}
	marker, err := os.ReadFile(markers[0])
	if err != nil {
		t.Fatal(err)
	}
	earlier := regexp.MustCompile(`"boot":"[^"]+"`).ReplaceAll(marker, []byte(`"boot":"an earlier one"`))
	if bytes.Equal(earlier, marker) {
		t.Fatalf("no boot id in %s", marker)
	}
	if err := os.WriteFile(markers[0], earlier, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	s.finish(task, "Success")
	contains(t, "the log", s.logOf(task), "restarted, as the action declares")
	if starts, after := s.once("starts"), s.once("after"); len(starts) != 1 || len(after) != 1 {
		t.Errorf("starts %v, after %v", starts, after)
	}
}

// grep lists the files below a folder that hold the text.
func grep(t *testing.T, folder, text string) []string {
	t.Helper()
	var found []string
	_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // gone meanwhile
		}
		if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), text) {
			found = append(found, path)
		}
		return nil
	})
	return found
}
