//go:build unix

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with a file or a variable is said with file, line and variable,
// and the file stays as it was packed.
func TestConfigurationFails(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	substituted := map[string]any{"Octopus.Action.SubstituteInFiles.TargetFiles": "app.txt"}
	strict := map[string]any{
		"Octopus.Action.SubstituteInFiles.TargetFiles": "app.txt", "OctopusShouldFailDeploymentOnSubstitutionFails": "True",
	}
	structured := map[string]any{"Octopus.Action.Package.JsonConfigurationVariablesTargets": "app.json"}
	settings := map[string]any{"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings": "True"}
	settingsAnyway := map[string]any{
		"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings": "True",
		"Octopus.Action.Package.IgnoreVariableReplacementErrors":                    "True",
	}
	tests := []struct {
		name, version, file, text string
		properties                map[string]any
		state                     string
		warns                     bool
		after                     string // "" is as it was packed
		says                      []string
	}{
		{
			name: "an undefined variable warns", version: "1.0.0", file: "app.txt", text: "a\n#{Known} #{Nope}\n", properties: substituted,
			state: "Success", warns: true, after: "a\nknown #{Nope}\n", says: []string{"app.txt", "line 2", "#{Nope}"},
		},
		{
			name: "an undefined variable fails where asked", version: "2.0.0", file: "app.txt", text: "a\n#{Known} #{Nope}\n", properties: strict,
			state: "Failed", says: []string{"app.txt", "line 2", "#{Nope}"},
		},
		{
			name: "a variable that refers to itself", version: "3.0.0", file: "app.txt", text: "a\n#{Chicken}\n", properties: substituted,
			state: "Failed", says: []string{"app.txt", "line 2", "Chicken", "Egg"},
		},
		{
			name: "malformed JSON", version: "4.0.0", file: "app.json", text: "{\n  \"Known\": \"x\",\n  \"b\": }\n", properties: structured,
			state: "Failed", says: []string{"app.json", "line 3"},
		},
		{
			name: "malformed XML", version: "5.0.0", file: "web.config", text: "<configuration>\n <appSettings>\n  <add key=\"Known\" value=\"x\">\n </appSettings>\n</configuration>\n",
			properties: settings, state: "Failed", says: []string{"web.config", "line 4"},
		},
		{
			name: "malformed XML that may be", version: "6.0.0", file: "web.config", text: "<configuration>\n <a>\n</configuration>\n",
			properties: settingsAnyway, state: "Success", warns: true, says: []string{"web.config", "line 3"},
		},
	}
	s.variables(variable("Known", "known"), variable("Chicken", "#{Egg}"), variable("Egg", "#{Chicken}"))
	for _, tt := range tests {
		s.push(tt.version, map[string]string{tt.file: tt.text})
		s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "", tt.properties)))
		task, log := s.ship(tt.version, tt.state)
		if task.HasWarningsOrErrors != (tt.warns || tt.state != "Success") {
			t.Errorf("%s: warnings are %v", tt.name, task.HasWarningsOrErrors)
		}
		contains(t, tt.name, log, tt.says...)
		after := tt.after
		if after == "" {
			after = tt.text
		}
		if got, err := os.ReadFile(filepath.Join(m.installed(tt.version), tt.file)); err != nil || string(got) != after {
			t.Errorf("%s: the file is now %q, want %q (%v)", tt.name, got, after, err)
		}
	}
}

// A step without machines is a warning, or a failure where the project's
// variable asks for it.
func TestRoleWithoutMachines(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("m")
	s.steps(step("Nobody", "database", "", script("Never", "false")), step("Somebody", "web", "", script("Say", "echo said")))
	task, log := s.ship("1.0.0", "Success")
	contains(t, "the log", log, "database", "said")
	if !task.HasWarningsOrErrors {
		t.Error("the task has no warning")
	}
	s.variables(variable("Slipway.Deployment.FailWithoutTargets", "True"))
	_, log = s.ship("2.0.0", "Failed")
	contains(t, "the log", log, "database")
	if strings.Contains(log, "said") {
		t.Error("the rollout went on after the failure")
	}
	if s.cli(t, "release", "deploy", "--project", s.name, "--version", "1.0.0", "--environment", s.name, "--wait").code != 0 {
		t.Error("the release that only warned cannot be deployed again")
	}
}

// Whoever saves a document that somebody else has saved meanwhile is told so,
// and nothing of the other's is lost.
func TestStaleVersion(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.steps(step("First", "web", "", script("Say", "echo first")))
	s.variables(variable("Name", "first"))
	for path, field := range map[string]string{
		"/api/deploymentprocesses/" + s.project.Text("DeploymentProcessId"): "Steps",
		"/api/variables/" + s.project.Text("VariableSetId"):                 "Variables",
	} {
		mine := s.get(t, path)
		theirs := s.edit(t, path, map[string]any{field: []any{}}) // somebody was faster
		var saved any
		err := s.client.Put(t.Context(), path, mine, &saved)
		if err == nil || !strings.Contains(err.Error(), "changed") && !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: a stale version was saved: %v", path, err)
		}
		if now := s.get(t, path); string(now[field]) != string(theirs[field]) || string(now["Version"]) != string(theirs["Version"]) {
			t.Errorf("%s: is now %s, want %s", path, now, theirs)
		}
	}
}
