//go:build unix

package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
)

// A server is backed up while a rollout runs and another one waits. Both go on
// and end, another release follows, and then the server is lost with its data
// while a script runs. Restored from the backup it starts nothing that may have
// run: what was unfinished is closed, what agents know beyond the backup is
// listed, ids are not used again, and a new deployment works (fault 33).
func TestRestoredFromABackupOfARunningRollout(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	a, b := s.machine("a"), s.machine("b", listens)
	wait := "until [ -e '" + s.path("go") + "' ]; do sleep 0.05; done\n"
	s.variables(secret("Password", "canary-of-a-backup"))
	s.steps(
		step("Roll", "web", "1", script("Wait", "password='#{Password}'\n"+s.mark("starts")+wait)),
		step("Last", "web", "", script("Last", s.mark("last"))))
	s.release("1.0.0")
	running, queued := s.deploy("1.0.0"), s.deploy("1.0.0")
	eventually(t, "the first script runs", func() bool { return len(s.lines("starts")) == 1 })

	copied := s.path("backup")
	said := s.cli(t, "backup", "--data", s.data, "--to", copied)
	if said.code != 0 {
		t.Fatal(said)
	}
	contains(t, "the warning", said.stderr, "does not hold", "master.key")
	if found := grep(t, copied, "canary-of-a-backup"); len(found) > 0 { // abuse 75
		t.Errorf("the backup shows a secret in %v", found)
	}
	if r := s.cli(t, "backup", "--data", s.data, "--to", copied); r.code != 1 || !strings.Contains(r.stderr, "not empty") {
		t.Errorf("a backup over a backup: %v", r)
	}

	s.touch("go")
	s.finish(running, "Success")
	s.finish(queued, "Success")
	s.steps(step("Hold", "web", "", script("Hold", s.mark("held")+s.until("release"))))
	s.release("2.0.0")
	after := s.deploy("2.0.0")
	eventually(t, "the last scripts run", func() bool { return len(s.lines("held")) == 2 })
	s.server.process.kill()

	lost := s.data
	s.data = filepath.Join(s.server.folder, "restored")
	if r := s.cli(t, "restore", "--from", copied, "--data", s.data); r.code != 1 || !strings.Contains(r.stderr, "--master-key") {
		t.Errorf("restored without the master key: %v", r)
	}
	s.must(t, "restore", "--from", copied, "--data", s.data, "--master-key", filepath.Join(lost, "master.key"))
	if r := s.cli(t, "restore", "--from", lost, "--data", s.path("other")); r.code != 1 {
		t.Errorf("a data folder is no backup: %v", r)
	}
	s.restart(t)

	eventually(t, "agents have said what the backup does not know", func() bool {
		return strings.Count(s.must(t, "restore", "status"), "  Running") == 2
	})
	contains(t, "the list", s.must(t, "restore", "status"), "not confirmed", running, queued, after+".0.0."+a.id+".1", after+".0.0."+b.id+".1")
	contains(t, "what ran", s.finish(running, "Failed").ErrorMessage, "It ran when the backup was made", "not known")
	contains(t, "what waited", s.finish(queued, "Canceled").ErrorMessage, "It waited when the backup was made")
	s.touch("release")
	eventually(t, "the scripts' ends are known", func() bool {
		return strings.Count(s.must(t, "restore", "status"), "Succeeded") >= 2
	})
	contains(t, "why", s.must(t, "why", a.name), "Nothing that was proved", running, "Unknown")

	next := s.deploy("1.0.0")
	if resource.Ordinal(next) <= resource.Ordinal(after) {
		t.Errorf("%s comes after %s", next, after)
	}
	s.finish(next, "Success")
	contains(t, "what runs now", s.must(t, "why", a.name), "It runs "+s.name+" in "+s.name+" 1.0.0 since", next)
	contains(t, "the end of the hold", s.must(t, "restore", "confirm"), "confirmed at")
	for name, want := range map[string]int{"starts": 6, "last": 6, "held": 2} {
		if got := s.once(name); len(got) != want {
			t.Errorf("%d %s, want %d: %v", len(got), name, want, slices.Sorted(slices.Values(got)))
		}
	}
}
