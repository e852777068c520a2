package agent_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// abuse 13: exactly the RPCs of the proto are served, and the list is the one
// that was agreed on; a new one has to be added here, on purpose.
func TestClosedListOfCalls(t *testing.T) {
	t.Parallel()
	want := []string{"Cancel", "Describe", "Fetch", "Follow", "Forget", "Have", "Probe", "Put", "Query", "Start"}
	var declared []string
	services := agentrpc.File_agent_proto.Services()
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			declared = append(declared, string(services.Get(i).Methods().Get(j).Name()))
		}
	}
	slices.Sort(declared)
	if !slices.Equal(declared, want) {
		t.Fatalf("the proto declares %v, want %v", declared, want)
	}
	handler := agentrpc.NewHandler(new(agent.Service))
	status := func(path string) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody))
		return w.Code
	}
	for _, name := range want {
		if code := status("/slipway.agent.v1.Agent/" + name); code == http.StatusNotFound {
			t.Errorf("%s is not served", name)
		}
	}
	for _, path := range []string{
		"/", "/slipway.agent.v1.Agent/", "/slipway.agent.v1.Agent/Exec", "/slipway.agent.v1.Agent/start",
		"/slipway.agent.v1.Agent/Start/", "/slipway.server.v1.Server/Report", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/debug/pprof/", "/slipway.agent.v1.Agent/../Agent/Start",
	} {
		if code := status(path); code != http.StatusNotFound {
			t.Errorf("%s is answered with %d", path, code)
		}
	}
}
