//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

// canaries are secrets that must be found nowhere (abuse 69 to 74, M16). Those
// of the machines' scripts come last: nobody told them to the server.
var canaries = map[string]string{
	"Plain":   "canary-plain-7f3a9c",
	"Special": `canary "quoted" & <angle> + 100% \ 5d`,
	"Lines":   "canary-line-one-3f81\ncanary-line-two-9a02",
	"Long":    strings.Repeat("canary-long-", 400),
	"Changed": "canary-changed-b04411",
	"Script":  "canary-of-a-script-e1",
	"Taken":   "canary-that-was-masked-on-demand-c2",
}

// forms are the ways in which a secret betrays itself.
func forms(secret string) [][]byte {
	var found [][]byte
	for _, text := range append(strings.Split(secret, "\n"), secret) {
		if len(text) > 400 {
			text = text[:200] // and any part of a long one
		}
		found = append(found, []byte(text), []byte(hex.EncodeToString([]byte(text))), []byte(url.QueryEscape(text)), []byte(url.PathEscape(text)))
		for shift, drop := range []int{0, 2, 3} {
			encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
			found = append(found, []byte(encoded[drop:(len(text)+shift)*8/6]))
		}
	}
	return found
}

// leaks names what a text holds of the canaries.
func leaks(text []byte) (found []string) {
	for name, secret := range canaries {
		for _, form := range forms(secret) {
			if i := bytes.Index(text, form); i >= 0 {
				found = append(found, fmt.Sprintf("%s as %.40q in %.80q", name, form, text[max(0, i-30):min(len(text), i+50)]))
				break
			}
		}
	}
	return found
}

// search wants no canary in any file below a folder.
func search(t *testing.T, what, folder string) (searched int) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		for _, leak := range leaks(text) {
			t.Errorf("%s: %s has %s", what, path, leak)
		}
		return nil
	})
	if err != nil || searched == 0 {
		t.Errorf("%s: searched %d files of %s, %v", what, searched, folder, err)
	}
	return searched
}

const chatter = `
plain=$(get_octopusvariable Plain)
echo "visible marker 4711 $plain"
printf 'split %s' "${plain%9c}"; sleep 0.3; printf '%s\n' 9c                # two chunks
printf '%s\n%s\n' "${plain%7f3a9c}" 7f3a9c                                  # two lines
printf '%s\033[31m%s\033[0m\n' "${plain%7f3a9c}" 7f3a9c                     # a colour between
printf '%s' "${plain%7f3a9c}"; printf '%s' 7f3a9c >&2; echo                 # stdout and stderr
for n in Plain Special Lines Long; do
  v=$(get_octopusvariable $n)
  printf '%s\n' "$v"; printf '%s\n' "$v" >&2
  printf '%s' "$v" | base64 -w 0; echo
  printf 'x%s' "$v" | base64 -w 0; echo
  printf 'xy%s' "$v" | base64 -w 0; echo
  printf '%s' "$v" | od -An -v -tx1 | tr -d ' \n'; echo
done
printf '%s\n' 'canary%20%22quoted%22%20%26%20%3Cangle%3E%20%2B%20100%25%20%5C%205d'
printf '%s\n' '{"v":"canary \"quoted\" & <angle> + 100% \\ 5d"}'
printf '%s\n' '<v>canary &quot;quoted&quot; &amp; &lt;angle&gt; + 100% \ 5d</v>'
get_octopusvariable Derived; echo
printf '%s' '#{Derived}'; echo
printf '%s' '#{Plain | Append "-" "more"}'; echo
set -x; : "$plain"; set +x
printenv; cat /proc/self/cmdline | tr '\0' ' '; tr '\0' ' ' < /proc/$PPID/cmdline; ps axww -o args || true
own=canary-of-"a"-script-e1   # in this form the process may know it
set_octopusvariable Token "$own" -sensitive
echo "$own"
set_octopusvariable Unmarked "so $plain it is"
set_octopusvariable "Name $plain" x
taken=canary-that-"was"-masked-on-demand-c2
echo "##octopus[mask value='$(printf '%s' "$taken" | base64 -w 0)']"
echo "$taken"
echo harmless > artifact.txt; new_octopusartifact artifact.txt "artifact $plain"
write_warning "warning $plain"; write_highlight "high $plain"; update_progress 50 "half of $plain"
`

const second = `
get_octopusvariable 'Octopus.Action[Talk].Output.Token'; echo
get_octopusvariable 'Octopus.Action[Talk].Output.Unmarked'; echo
echo "got ${#token}"
[ "$(get_octopusvariable 'Octopus.Action[Talk].Output.Token')" = canary-of-"a"-script-e1 ] && echo the token has arrived
`

// Secrets are in no database, log, package store, answer or event, whatever
// scripts do with them by accident (abuse 69 to 74, 76, I10).
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	m := s.machine("m")
	var list []map[string]any
	for _, name := range []string{"Plain", "Special", "Lines", "Long"} {
		list = append(list, secret(name, canaries[name]))
	}
	s.variables(append(list, variable("Derived", "Server=db;Password=#{Plain};"), variable("Open", "visible value 0815"))...)
	s.push("1.0.0", map[string]string{"app.txt": "password is #{Plain}\n"})
	hidden := script("Hidden", "echo hidden script\n")
	properties, _ := hidden["Properties"].(map[string]any)
	properties["Custom.Secret"] = map[string]any{"HasValue": true, "NewValue": canaries["Changed"]}
	s.steps(
		step("Talk", "web", "", script("Talk", chatter)),
		step("Again", "web", "", script("Again", second), hidden),
		step("Deploy", "web", "", install("Deploy", s.app(), "cat app.txt; cat app.txt >&2", map[string]any{"Octopus.Action.SubstituteInFiles.TargetFiles": "app.txt"})))
	task, log := s.ship("1.0.0", "Success")
	contains(t, "the log", log, "visible marker 4711", "the token has arrived", "password is ********")
	if text, err := os.ReadFile(filepath.Join(m.installed("1.0.0"), "app.txt")); err != nil || string(text) != "password is "+canaries["Plain"]+"\n" {
		t.Errorf("the application got %q, %v", text, err)
	}

	s.steps(step("Fail", "web", "", script("Fail", "plain=$(get_octopusvariable Plain)\necho \"oops $plain\" >&2\nfail_step \"cannot log in with $plain\"\n")))
	failed, failure := s.ship("2.0.0", "Failed")
	contains(t, "the log", failure, "cannot log in with ********")
	s.variables(secret("Plain", canaries["Changed"]), variable("Open", "visible value 0816"))

	var pages strings.Builder
	pages.WriteString(log + failure + failed.ErrorMessage)
	release, err := client.List[client.Document](t.Context(), s.client, "/api/projects/"+s.project.ID()+"/releases", nil, 0)
	if err != nil || len(release) != 2 {
		t.Fatalf("releases %v, %v", release, err)
	}
	for _, path := range []string{
		"/api/variables/" + s.project.Text("VariableSetId"), "/api/variables/" + release[1].Text("ProjectVariableSetSnapshotId"),
		"/api/variables/preview?project=" + s.project.ID() + "&environment=" + s.environment.ID(), // abuse 74
		"/api/deploymentprocesses/" + s.project.Text("DeploymentProcessId"), "/api/deploymentprocesses/" + release[1].Text("ProjectDeploymentProcessSnapshotId"),
		"/api/releases/" + release[1].ID() + "/deployments/preview/" + s.environment.ID(), "/api/releases?take=10",
		"/api/tasks?take=30", "/api/tasks/" + task.ID + "/details?verbose=true", "/api/tasks/" + failed.ID + "/details?verbose=true",
		"/api/tasks/" + task.ID + "/receipts", "/api/artifacts?regarding=" + task.ID, "/api/events?take=200", "/api/deployments?take=10",
		"/api/dashboard", "/api/machines/" + m.id, "/api/machines/" + m.id + "/connection", "/api/projects/" + s.project.ID(),
	} {
		status, body := s.request(t, "GET", path, "", nil)
		if status != 200 {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
		pages.WriteString(body)
	}
	for _, args := range [][]string{
		{"task", "log", task.ID},
		{"task", "log", failed.ID},
		{"variable", "list", "--project", s.name},
		{"variable", "list", "--project", s.name, "--format", "json"},
		{"process", "get", "--project", s.name, "--format", "json"},
		{"event", "list", "--format", "json"},
	} {
		r := s.cli(t, args...)
		if r.code != 0 {
			t.Errorf("slipway %v: %v", args, r)
		}
		pages.WriteString(r.String())
	}
	for _, leak := range leaks([]byte(pages.String())) {
		t.Errorf("an answer has %s", leak)
	}
	contains(t, "what people see", pages.String(), "visible value 0815", "visible value 0816", "artifact ********")

	eventually(t, "the agent has forgotten the attempts", func() bool {
		left, err := filepath.Glob(filepath.Join(m.home, "attempts", "*"))
		return err == nil && len(left) == 0
	})
	search(t, "the agent's home", m.home)
	search(t, "the server's data", s.data)
	if len(grep(t, s.data, "visible marker 4711")) == 0 || len(grep(t, s.data, "visible value 0815")) == 0 {
		t.Error("the search finds nothing, not even what is there")
	}
	for _, p := range []*process{s.server.process, m.process} {
		for _, leak := range leaks([]byte(p.said())) {
			t.Errorf("%s's log has %s", p.name, leak)
		}
	}
	s.server.process.stop(t) // what was in memory is on the disk now
	search(t, "the stopped server's data", s.data)
	s.restart(t)
}
