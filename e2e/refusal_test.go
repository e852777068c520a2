//go:build unix

package e2e_test

import (
	"strings"
	"testing"
)

// What cannot be done is refused with a sentence that says what to do, the
// promised exit code, and no task.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	here, elsewhere := s.newMachine("here"), newStage(t, s.server).newMachine("elsewhere")
	here.register()
	elsewhere.register()
	s.steps(step("Say", "web", "", script("Say", "echo said")))
	s.release("1.0.0")
	later := s.post(t, "/api/environments", map[string]any{"Name": s.name + "-later"})
	s.edit(t, "/api/lifecycles/"+s.lifecycle.ID(), map[string]any{"Phases": []any{
		map[string]any{"Name": "First", "OptionalDeploymentTargets": []string{s.environment.ID()}},
		map[string]any{"Name": "Later", "OptionalDeploymentTargets": []string{later.ID()}},
	}})
	deploy := func(more ...string) []string {
		return append([]string{"release", "deploy", "--project", s.name}, more...)
	}
	known := deploy("--version", "1.0.0", "--environment", s.name)
	tests := map[string]struct {
		args []string
		env  []string
		code int
		says []string
	}{
		"no key":              {args: []string{"project", "list"}, env: []string{"SLIPWAY_API_KEY="}, code: 3, says: []string{"SLIPWAY_API_KEY"}},
		"an unknown key":      {args: []string{"project", "list"}, env: []string{"SLIPWAY_API_KEY=API-AAAAAAAAAAAAAAAAAAAAAAAAAA"}, code: 3, says: []string{"SLIPWAY_API_KEY"}},
		"not a key":           {args: []string{"project", "list"}, env: []string{"SLIPWAY_API_KEY=hello"}, code: 3, says: []string{"SLIPWAY_API_KEY"}},
		"unknown project":     {args: []string{"release", "deploy", "--project", "Nope", "--version", "1", "--environment", s.name}, code: 1, says: []string{"Nope"}},
		"unknown environment": {args: deploy("--version", "1.0.0", "--environment", "Nowhere"), code: 1, says: []string{"Nowhere"}},
		"unknown release":     {args: deploy("--version", "9.9.9", "--environment", s.name), code: 1, says: []string{"9.9.9"}},
		"the same version":    {args: []string{"release", "create", "--project", s.name, "--version", "1.0.0"}, code: 1, says: []string{"1.0.0", "already exists"}},
		"not yet allowed": {
			args: deploy("--version", "1.0.0", "--environment", later.Text("Name")), code: 1, says: []string{later.Text("Name"), s.name},
		},
		"unknown machine":        {args: append(known, "--machine", "nobody"), code: 1, says: []string{"nobody"}},
		"unknown machine out":    {args: append(known, "--exclude-machine", "nobody"), code: 1, says: []string{"nobody"}},
		"machine named twice":    {args: append(known, "--machine", here.name, "--machine", here.id), code: 1, says: []string{here.name, "twice"}},
		"twice among excluded":   {args: append(known, "--exclude-machine", here.name, "--exclude-machine", here.name), code: 1, says: []string{here.name, "twice"}},
		"both in and out":        {args: append(known, "--machine", here.name, "--exclude-machine", here.name), code: 1, says: []string{here.name, "both"}},
		"machine elsewhere":      {args: append(known, "--machine", elsewhere.name), code: 1, says: []string{elsewhere.name, s.name}},
		"machine elsewhere out":  {args: append(known, "--exclude-machine", elsewhere.name), code: 1, says: []string{elsewhere.name, s.name}},
		"server out of reach":    {args: known, env: []string{"SLIPWAY_URL=http://127.0.0.1:" + freePort(t)}, code: 1, says: []string{"connection refused", "SLIPWAY_URL"}},
		"something else answers": {args: known, env: []string{"SLIPWAY_URL=http://" + s.agents}, code: 1, says: []string{s.agents}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append([]string{"SLIPWAY_URL=" + s.url(), "SLIPWAY_API_KEY=" + s.key}, tt.env...)
			r := invoke(t, s.folder, env, tt.args...)
			if r.code != tt.code || !strings.HasPrefix(r.stderr, "Error: ") || r.stdout != "" {
				t.Errorf("want exit code %d and an error, got %v", tt.code, r)
			}
			contains(t, "the error", r.stderr, tt.says...)
		})
	}
	t.Cleanup(func() {
		if tasks := s.tasks(); len(tasks) != 0 {
			t.Errorf("refused deployments left tasks: %+v", tasks)
		}
	})
}
