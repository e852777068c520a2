package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

type taskAnswer struct {
	Name, Description, SpaceID string
	Arguments                  struct {
		MachineIDs []string `json:"MachineIds"`
	}
}

// A Health task checks the machines that it names, or those of an environment,
// or all; one that names what is not there is refused, and never checks more
// than was asked for (octopus-api.md 2.9, abuse 33).
func TestHealthTask(t *testing.T) {
	t.Parallel()
	r := run(t, later(t))
	named := func(path, name string, body map[string]any) string {
		var doc struct {
			ID string `json:"Id"`
		}
		body["Name"] = name
		r.must(http.MethodPost, path, body, &doc)
		return doc.ID
	}
	dev, live := named("/api/environments", "Dev", map[string]any{}), named("/api/environments", "Live", map[string]any{})
	var machines []string
	for name, env := range map[string]string{"a": dev, "b": dev, "c": live} {
		machines = append(machines, named("/api/machines", name, map[string]any{
			"EnvironmentIds": []string{env}, "Roles": []string{"web"}, "MachinePolicyId": "MachinePolicies-1", "SkipInitialHealthCheck": true,
			"Endpoint": map[string]string{"CommunicationStyle": "None"},
		}))
	}
	inDev := machinesOf(r, dev)
	for _, c := range []struct {
		what      string
		arguments map[string]any
		want      []string
	}{
		{"nothing named", nil, machines},
		{"an empty list", map[string]any{"MachineIds": []string{}}, machines},
		{"an environment", map[string]any{"EnvironmentId": dev}, inDev},
		{"two machines", map[string]any{"MachineIds": machines[:2]}, machines[:2]},
		{"one of the environment", map[string]any{"MachineIds": inDev[:1], "EnvironmentId": dev}, inDev[:1]},
		{"null", map[string]any{"MachineIds": nil, "EnvironmentId": nil}, machines},
	} {
		var task taskAnswer
		r.must(http.MethodPost, "/api/tasks", map[string]any{"Name": "Health", "Arguments": c.arguments}, &task)
		got := slices.Sorted(slices.Values(task.Arguments.MachineIDs))
		if !slices.Equal(got, slices.Sorted(slices.Values(c.want))) || task.Name != "Health" || task.Description != "Check health" {
			t.Errorf("%s: %+v, want %v", c.what, task, c.want)
		}
	}
	for _, c := range []struct {
		what, name string
		arguments  map[string]any
		status     int
		says       string
	}{
		{"another type", "Backup", nil, http.StatusBadRequest, "Start a Health or an AdHocScript task"},
		{"a machine that is not there", "Health", map[string]any{"MachineIds": []string{machines[0], "Machines-99"}}, http.StatusBadRequest, "Machines-99"},
		{"no list", "Health", map[string]any{"MachineIds": machines[0]}, http.StatusBadRequest, "MachineIds"},
		{"a list of numbers", "Health", map[string]any{"MachineIds": []int{1}}, http.StatusBadRequest, "a list of machines' ids"},
		{"an environment that is a number", "Health", map[string]any{"EnvironmentId": 1}, http.StatusBadRequest, "EnvironmentId"},
	} {
		status, answer := r.send(http.MethodPost, "/api/tasks", map[string]any{"Name": c.name, "Arguments": c.arguments})
		if status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %s", c.what, status, answer)
		}
	}
	r.stop()
}

func machinesOf(r *running, environment string) (ids []string) {
	r.t.Helper()
	var list struct {
		Items []struct {
			ID string `json:"Id"`
		}
	}
	r.must(http.MethodGet, "/api/environments/"+environment+"/machines", nil, &list)
	for _, m := range list.Items {
		ids = append(ids, m.ID)
	}
	return ids
}
