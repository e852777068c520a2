package contract_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/environments"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/machines"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/tasks"
)

// TestMachines registers by the SDK a machine that listens and one that polls,
// asks how they are, and runs a script on them.
func TestMachines(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	env, err := environments.Add(c, environments.NewEnvironment("Lab"))
	ok(t, err)
	s.startAgent(t, "listens", "Lab", "TentaclePassive", "web", "cache")
	s.startAgent(t, "polls", "Lab", "TentacleActive", "db")
	p := &shop{c: c}
	for name, style := range map[string]string{"listens": "TentaclePassive", "polls": "TentacleActive"} {
		old := p.healthy(t, name)
		same(t, "style of "+name, old.Endpoint.GetCommunicationStyle(), style)
		ok(t, machines.DeleteByID(c, "Spaces-1", old.ID))
		address, err := url.Parse(old.URI)
		ok(t, err)
		var endpoint machines.IEndpoint = machines.NewListeningTentacleEndpoint(address, old.Thumbprint)
		if style == "TentacleActive" {
			endpoint = machines.NewPollingTentacleEndpoint(address, old.Thumbprint)
		}
		target := machines.NewDeploymentTarget(name, endpoint, []string{env.ID}, old.Roles)
		target.Thumbprint, target.URI = old.Thumbprint, old.URI
		made, err := machines.Add(c, target)
		ok(t, err)
		same(t, "policy", made.MachinePolicyID, "MachinePolicies-1")
		if made.ID == old.ID {
			t.Error("an id was used twice")
		}
		p.healthy(t, name)
		status := s.ask(t, http.MethodGet, made.Links["Connection"], "").object(t)
		if status["MachineId"] != made.ID || status["Status"] == "" || status["Logs"] == nil {
			t.Errorf("connection: %v", status)
		}
		_, err = machines.Add(c, machines.NewDeploymentTarget(strings.ToUpper(name), endpoint, []string{env.ID}, []string{"web"}))
		refused(t, err, http.StatusBadRequest)
	}
	all, err := machines.GetAll(c, "Spaces-1")
	ok(t, err)
	same(t, "machines", len(all), 2)
	found, err := machines.Get(c, "Spaces-1", machines.MachinesQuery{Roles: []string{"cache"}, EnvironmentIDs: []string{env.ID}})
	ok(t, err)
	if len(found.Items) != 1 || found.Items[0].Name != "listens" {
		t.Errorf("by role: %v", found.Items)
	}
	roles, err := c.MachineRoles.GetAll()
	ok(t, err)
	var names []string
	for _, r := range roles {
		names = append(names, *r)
	}
	same(t, "roles", names, []string{"cache", "db", "web"})
	policies, err := c.MachinePolicies.GetAll()
	ok(t, err)
	if len(policies) != 1 || policies[0].ConnectionConnectTimeout != time.Minute || policies[0].PollingRequestQueueTimeout != 2*time.Minute || policies[0].MachineHealthCheckPolicy == nil {
		t.Errorf("policies: %+v", policies[0])
	}
	machineID := all[0].ID
	task, err := c.Tasks.Add(&tasks.Task{Name: "AdHocScript", Description: "Look around", Arguments: map[string]any{
		"MachineIds": []string{machineID}, "ScriptBody": "echo here", "Syntax": "Bash",
	}})
	ok(t, err)
	done := await(t, c, task.ID, "Success")
	same(t, "description", done.Description, "Look around")
	health, err := c.Tasks.Add(&tasks.Task{Name: "Health", Arguments: map[string]any{"MachineIds": []string{machineID}}})
	ok(t, err)
	await(t, c, health.ID, "Success")
	env2, err := environments.GetByID(c, "Spaces-1", env.ID)
	ok(t, err)
	err = environments.DeleteByID(c, "Spaces-1", env2.ID) // machines are in it
	refused(t, err, http.StatusBadRequest)
}
