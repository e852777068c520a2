//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// A script that fails stops its machine, names its code and its last words, and
// the remaining steps do not run.
func TestScriptFails(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(
		step("Break", "web", "", script("Break", "echo before\nexit 42\n"), script("Behind", "echo behind\n")),
		step("Later", "web", "", script("Later", "echo later\n")))
	task, log := s.ship("1.0.0", "Failed")
	contains(t, "the log", log, "before", "42", "Break")
	for _, word := range []string{"| behind", "| later"} {
		if strings.Contains(log, word) {
			t.Errorf("the log has %q:\n%s", word, log)
		}
	}
	if task.ErrorMessage == "" {
		t.Error("the task does not say why")
	}
}

// canceled cancels a task whose script runs and wants its tree to be gone.
func (s *stage) canceled(task string, pids ...string) {
	s.t.Helper()
	s.must(s.t, "task", "cancel", task)
	s.finish(task, "Canceled")
	for _, name := range pids {
		pid := strings.TrimSpace(s.read(name))
		if _, err := os.Stat("/proc/" + pid); pid == "" || err == nil {
			s.t.Errorf("process %q of %s is still there", pid, name)
		}
	}
}

// read is a file of the story's own, "" when it is not there.
func (s *stage) read(name string) string {
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		return ""
	}
	return string(text)
}

// A script that hangs is ended by a person, with all that it started.
func TestScriptHangs(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(step("Hang", "web", "", script("Hang", fmt.Sprintf("sleep 600 & echo $! > '%s'; echo $$ > '%s'\nwait\n", s.path("child"), s.path("parent")))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("parent")
	s.canceled(task, "parent", "child")
}

// A script that ignores the request to end, and whose children left its group,
// is killed after 30 seconds (fault 38).
func TestScriptIgnoresTheRequestToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 30 seconds that a script has to end")
	}
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(step("Stay", "web", "", script("Stay", fmt.Sprintf(
		"trap '' TERM INT HUP\nsetsid bash -c \"trap '' TERM INT HUP; while :; do sleep 1; done\" & echo $! > '%s'; echo $$ > '%s'\nwhile :; do sleep 1; done\n",
		s.path("child"), s.path("parent")))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("parent")
	s.canceled(task, "parent", "child")
}

// 100 MB of output end at the log's limit with a marker; the script goes on and
// its end counts (abuse 14).
func TestScriptWritesTooMuch(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 110 MB")
	}
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(step("Talk", "web", "", script("Talk", "head -c 115000000 /dev/zero | tr '\\0' x | fold -w 1000\necho; echo the end\n"+s.mark("ended"))))
	task, log := s.ship("1.0.0", "Success")
	if !task.HasWarningsOrErrors || len(s.lines("ended")) != 1 {
		t.Errorf("warnings %v, ended %v", task.HasWarningsOrErrors, s.lines("ended"))
	}
	if n := len(log); n < 95<<20 || n > 160<<20 {
		t.Errorf("the log has %d bytes", n)
	}
	if tail := log[len(log)-500:]; !strings.Contains(tail, "cut off") {
		t.Errorf("the log ends with %s", tail)
	}
}

// colour is the one escape that terminals may get.
var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// Whatever a script prints, the log is text that cannot command a terminal, a
// browser or the server (abuse 59, 76).
func TestScriptWritesNonsense(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(step("Babble", "web", "", script("Babble", strings.Join([]string{
		`printf 'bad \377\376 bytes\n'`,
		`printf 'a \033[31mred\033[0m word\n'`,
		`printf 'a \033]8;;javascript:alert(1)\033\\link\033]8;;\033\\ there\n'`,
		`printf 'a \033]0;title\007 set\n'`,
		`printf 'up \033[1A\033[2K there\n'`,
		`printf 'one\rtwo\n'`,
		`printf '<script>alert(1)</script>\n'`,
		`head -c 1000000 /dev/zero | tr '\0' y; echo`,
		`printf 'no end of line'`,
	}, "\n"))))
	task, log := s.ship("1.0.0", "Success")
	contains(t, "the log", log, "bad ", " bytes", "<script>alert(1)</script>", "no end of line", strings.Repeat("y", 10_000))
	if !utf8.ValidString(log) {
		t.Error("the log is not UTF-8")
	}
	status, answer := s.request(t, "GET", "/api/tasks/"+task.ID+"/details?verbose=true", "", nil)
	if status != 200 || !json.Valid([]byte(answer)) || !utf8.ValidString(answer) || strings.Contains(answer, "<script>") {
		t.Errorf("details: status %d, %d bytes", status, len(answer))
	}
	printed := colour.ReplaceAllString(s.must(t, "task", "log", task.ID), "")
	if i := strings.IndexAny(printed, "\x1b\a\r"); i >= 0 {
		t.Errorf("the terminal gets %q", printed[max(0, i-20):i+20])
	}
	contains(t, "what the command line prints", printed, "red", "link", "title", "<script>")
}

// What names and values hold reaches scripts as it is and is never run
// (abuse 83).
func TestNamesAreData(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	evil := "$(touch '" + s.path("pwned") + "') `touch '" + s.path("pwned") + "'` '; touch " + s.path("pwned") + " #\"\n%s \\"
	s.variables(variable("Evil", evil), variable("Evil$(touch "+s.path("pwned")+")", "x"))
	s.steps(step("Print $(touch pwned)", "web", "", script("Print `touch pwned`", "printf '%s' \"$(get_octopusvariable Evil)\" > '"+s.path("got")+"'\n")))
	s.release("1.0.0-$pwned")
	s.finish(s.deploy("1.0.0-$pwned"), "Success")
	if got := s.read("got"); got != strings.TrimRight(evil, "\n") {
		t.Errorf("the script got %q, want %q", got, evil)
	}
	if found, _ := filepath.Glob(filepath.Join(s.folder, "*pwned*")); len(found) > 0 {
		t.Error("the value was run")
	}
	for _, file := range files(t, s.folder) {
		if filepath.Base(file) == "pwned" {
			t.Errorf("%s was made", file)
		}
	}
}
