//go:build unix

package e2e_test

import (
	"net"
	"net/url"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// A listening agent says who it is before the server knows it, and with that it
// can be added by hand. What is no agent for this server is refused in words
// that say what to do (abuse 79).
func TestDiscoverAgents(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.newMachine("m", listens)
	m.register()
	known := m.document()
	s.must(t, "machine", "delete", m.id, "--yes") // the agent is set up; the server forgets it
	m.start()
	discover := func(host, port string) (doc client.Document, err error) {
		err = s.client.Get(t.Context(), "/api/machines/discover", url.Values{"host": {host}, "port": {port}, "type": {"TentaclePassive"}}, &doc)
		return doc, err
	}
	host, port, err := net.SplitHostPort(m.address)
	if err != nil {
		t.Fatal(err)
	}
	var found client.Document
	eventually(t, "the agent listens", func() bool { found, err = discover(host, port); return err == nil })
	if found.Text("Thumbprint") != known.Text("Thumbprint") || found.Text("Uri") != "https://"+m.address+"/" || found.ID() != "" || found.Text("Name") == "" {
		t.Errorf("found %s, want the thumbprint %s", found, known.Text("Thumbprint"))
	}
	for field, value := range map[string]any{"Name": m.name, "EnvironmentIds": []string{s.environment.ID()}, "Roles": []string{"web"}} {
		if err := found.Set(field, value); err != nil {
			t.Fatal(err)
		}
	}
	m.id = s.post(t, "/api/machines", found).ID()
	m.healthy()

	_, agents, err := net.SplitHostPort(s.agents)
	if err != nil {
		t.Fatal(err)
	}
	_, api, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[string]string{freePort(t): "Nothing listens", agents: "this server's own port", api: "no Slipway agent"} {
		_, err := discover(host, port)
		if resource.CodeOf(err) != resource.Invalid {
			t.Fatalf("%s: %v", want, err)
		}
		contains(t, "the refusal", err.Error(), want)
	}
}
