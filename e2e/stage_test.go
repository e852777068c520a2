//go:build unix

package e2e_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

// stage is what a story plays on: an environment of its own, a lifecycle that
// allows it alone, and a project.
type stage struct {
	*server

	t      *testing.T
	name   string // of environment, lifecycle and project
	folder string

	environment, lifecycle, project client.Document
}

var (
	stages   atomic.Int64
	notAWord = regexp.MustCompile(`[^A-Za-z0-9]+`)
)

// newStage sets a stage up at the server.
func newStage(t *testing.T, on *server) *stage {
	t.Helper()
	name := fmt.Sprintf("%.40s%d", notAWord.ReplaceAllString(strings.TrimPrefix(t.Name(), "Test"), ""), stages.Add(1))
	s := &stage{server: on, t: t, name: name, folder: t.TempDir()}
	t.Cleanup(func() { killLeftovers(s.folder) })
	s.environment = on.post(t, "/api/environments", map[string]any{"Name": name})
	s.lifecycle = on.post(t, "/api/lifecycles", map[string]any{
		"Name": name, "Phases": []any{map[string]any{"Name": "Only", "OptionalDeploymentTargets": []string{s.environment.ID()}}},
	})
	groups, err := client.List[client.Document](t.Context(), on.client, "/api/projectgroups", nil, 1)
	if err != nil || len(groups) == 0 {
		t.Fatalf("list project groups: %v", err)
	}
	s.project = on.post(t, "/api/projects", map[string]any{"Name": name, "LifecycleId": s.lifecycle.ID(), "ProjectGroupId": groups[0].ID()})
	t.Cleanup(s.tell)
	return s
}

// tell shows the logs of a story that failed.
func (s *stage) tell() {
	if !s.t.Failed() {
		return
	}
	for _, task := range s.tasks() {
		s.t.Logf("%s is %s: %s\n%.4000s", task.ID, task.State, task.ErrorMessage, s.logOf(task.ID))
	}
}

// tasks are the project's deployments, latest first. It may be called when the
// story's own context has ended.
func (s *stage) tasks() []client.Task {
	tasks, err := client.List[client.Task](context.Background(), s.client, "/api/tasks", url.Values{"project": {s.project.ID()}}, 0)
	if err != nil {
		s.t.Errorf("list tasks: %v\n%s", err, s.process.said())
	}
	return tasks
}

// script is an action that runs a script.
func script(name, body string) map[string]any {
	return map[string]any{
		"Name": name, "ActionType": "Octopus.Script", "Packages": []any{},
		"Properties": map[string]any{
			"Octopus.Action.Script.ScriptSource": "Inline", "Octopus.Action.Script.Syntax": "Bash", "Octopus.Action.Script.ScriptBody": body,
		},
	}
}

// install is an action that installs a package and then runs a script in its
// folder.
func install(name, packageID, after string, more map[string]any) map[string]any {
	properties := map[string]any{
		"Octopus.Action.Package.PackageId": packageID, "Octopus.Action.Package.FeedId": "feeds-builtin",
		"Octopus.Action.Package.DownloadOnTentacle": "False",
		"Octopus.Action.EnabledFeatures":            "Octopus.Features.CustomScripts,Octopus.Features.SubstituteInFiles,Octopus.Features.JsonConfigurationVariables,Octopus.Features.ConfigurationVariables",
		// The rest of this laptop's disk is not the story.
		"OctopusFreeDiskSpaceOverrideInMegaBytes": "1",
	}
	if after != "" {
		properties["Octopus.Action.CustomScripts.PostDeploy.sh"] = after
	}
	maps.Copy(properties, more)
	return map[string]any{
		"Name": name, "ActionType": "Octopus.TentaclePackage", "Properties": properties,
		"Packages": []any{map[string]any{
			"Name": "", "PackageId": packageID, "FeedId": "feeds-builtin", "AcquisitionLocation": "Server", "Properties": map[string]any{},
		}},
	}
}

// step runs actions on the machines of a role, on window at once when that is
// not "".
func step(name, role, window string, actions ...map[string]any) map[string]any {
	properties := map[string]any{"Octopus.Action.TargetRoles": role}
	if window != "" {
		properties["Octopus.Action.MaxParallelism"] = window
	}
	return map[string]any{
		"Name": name, "Condition": "Success", "StartTrigger": "StartAfterPrevious", "Properties": properties, "Actions": actions,
	}
}

// steps replaces the project's deployment process.
func (s *stage) steps(list ...map[string]any) {
	s.t.Helper()
	s.edit(s.t, "/api/deploymentprocesses/"+s.project.Text("DeploymentProcessId"), map[string]any{"Steps": list})
}

// variable is a plain one for everywhere; secret one that nobody may see.
func variable(name, value string) map[string]any {
	return map[string]any{"Name": name, "Value": value, "Type": "String", "Scope": map[string]any{}}
}

func secret(name, value string) map[string]any {
	return map[string]any{"Name": name, "Value": value, "Type": "Sensitive", "IsSensitive": true, "Scope": map[string]any{}}
}

// variables replaces the project's variables.
func (s *stage) variables(list ...map[string]any) {
	s.t.Helper()
	s.edit(s.t, "/api/variables/"+s.project.Text("VariableSetId"), map[string]any{"Variables": list})
}

// zipped is a package with those files.
func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var text bytes.Buffer
	w := zip.NewWriter(&text)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// push pushes <stage>.App in that version.
func (s *stage) push(version string, files map[string]string) {
	s.t.Helper()
	_, _, err := s.client.Upload(s.t.Context(), s.app()+"."+version+".zip", bytes.NewReader(zipped(s.t, files)), client.FailIfExists)
	if err != nil {
		s.t.Fatal(err)
	}
}

// app is the id of the stage's package.
func (s *stage) app() string { return s.name + ".App" }

// release makes a release of the process, variables and packages as they are.
func (s *stage) release(version string) {
	s.t.Helper()
	if _, err := s.client.CreateRelease(s.t.Context(), client.NewRelease{Project: s.name, Version: version}); err != nil {
		s.t.Fatalf("create release %s: %v", version, err)
	}
}

// deploy starts a deployment of the release and returns its task.
func (s *stage) deploy(version string) string {
	s.t.Helper()
	started, err := s.client.Deploy(s.t.Context(), client.NewDeployment{Project: s.name, Release: version, Environments: []string{s.name}})
	if err != nil || len(started) != 1 {
		s.t.Fatalf("deploy %s: %v, %v", version, started, err)
	}
	return started[0].ServerTaskID
}

// finish waits for the end of a task, across restarts of the server, and wants
// it to be in that state.
func (s *stage) finish(task, want string) client.Task {
	s.t.Helper()
	var last client.Task
	eventually(s.t, task+" is over", func() bool {
		now, err := s.client.Task(s.t.Context(), task)
		if _, lost := errors.AsType[*client.UnreachableError](err); lost {
			return false
		}
		if err != nil {
			s.t.Fatal(err)
		}
		last = now
		return now.IsCompleted
	})
	if last.State != want {
		s.t.Fatalf("%s ended as %s, want %s: %s", task, last.State, want, last.ErrorMessage)
	}
	return last
}

// ship makes a release and deploys it, and wants the end to be that.
func (s *stage) ship(version, want string) (task client.Task, log string) {
	s.t.Helper()
	s.release(version)
	task = s.finish(s.deploy(version), want)
	return task, s.logOf(task.ID)
}

// logOf is a task's log.
func (s *stage) logOf(task string) string {
	var text strings.Builder
	if err := s.client.TaskLog(context.Background(), task, &text); err != nil {
		return err.Error()
	}
	return text.String()
}

// path is a file of the story's own.
func (s *stage) path(name string) string { return filepath.Join(s.folder, name) }

// touch makes a file that scripts wait for.
func (s *stage) touch(name string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// appears waits until a script has made the file.
func (s *stage) appears(name string) {
	s.t.Helper()
	eventually(s.t, name+" appears", func() bool { _, err := os.Stat(s.path(name)); return err == nil })
}

// mark is the part of a script that appends its attempt's id to a file: the
// truth about what started, and how often.
func (s *stage) mark(file string) string {
	return fmt.Sprintf("echo \"$(get_octopusvariable Slipway.Attempt.Id)\" >> '%s'\n", s.path(file))
}

// until is the part of a script that waits for a file.
func (s *stage) until(file string) string {
	return fmt.Sprintf("until [ -e '%s' ]; do sleep 0.05; done\n", s.path(file))
}

// lines are the lines of a file that scripts have written.
func (s *stage) lines(name string) []string {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// contains fails the story when a text lacks a part.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}
