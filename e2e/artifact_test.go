//go:build unix

package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

const handIn = `
name=$(get_octopusvariable Octopus.Machine.Name)
echo "report of $name" > report.txt
head -c 5000000 /dev/urandom > large.bin
sha256sum large.bin | cut -d ' ' -f 1 > sum
new_octopusartifact report.txt "report.txt"
new_octopusartifact large.bin "../../large of $name.bin"
new_octopusartifact sum
touch gone.txt
new_octopusartifact "$PWD/gone.txt"
rm gone.txt
`

// What scripts hand in is on the server, byte for byte, also from a task that
// failed, and whatever becomes of the machine; its name leads nowhere (abuse
// 54). A file that is gone by then is a warning and no more.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	one, two := s.machine("one"), s.machine("two", listens)
	s.steps(step("Report", "web", "", script("Report", handIn)), step("Fail", "web", "", script("Fail", "exit 3")))
	task, log := s.ship("1.0.0", "Failed")
	contains(t, "the log", log, "gone.txt was left out")
	for _, m := range []*machine{one, two} {
		m.killAll()
	}

	var list []client.Artifact
	if err := json.Unmarshal([]byte(s.must(t, "artifact", "list", "--task", task.ID, "--format", "json")), &list); err != nil || len(list) != 6 {
		t.Fatalf("artifacts %+v, %v", list, err)
	}
	folder, sums, got := t.TempDir(), map[string]string{}, map[string]string{}
	for _, a := range list {
		file := s.must(t, "artifact", "download", a.ID, "-o", filepath.Join(folder, a.MachineID+filepath.Base(a.Filename)), "--format", "basic")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case a.Filename == "report.txt":
			if string(text) != "report of "+a.Source+"\n" {
				t.Errorf("the report of %s is %q", a.Source, text)
			}
		case a.Filename == "sum":
			sums[a.Source] = strings.TrimSpace(string(text))
		default:
			sum := sha256.Sum256(text)
			got[a.Source] = hex.EncodeToString(sum[:])
			if a.Filename != "../../large of "+a.Source+".bin" || len(text) != 5000000 {
				t.Errorf("%s has %d bytes", a.Filename, len(text))
			}
		}
	}
	for _, m := range []*machine{one, two} {
		if sums[m.name] == "" || sums[m.name] != got[m.name] {
			t.Errorf("the large file of %s has the hash %s, had %s", m.name, got[m.name], sums[m.name])
		}
	}
	for _, about := range []string{s.project.ID(), one.id, s.environment.ID()} {
		found, err := client.List[client.Artifact](t.Context(), s.client, "/api/artifacts?regarding="+about, nil, 0)
		if err != nil || len(found) != map[bool]int{true: 3, false: 6}[about == one.id] {
			t.Errorf("regarding %s: %d artifacts, %v", about, len(found), err)
		}
	}
}
