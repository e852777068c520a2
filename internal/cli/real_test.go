package cli_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestAgainstTheServer runs the program as server, as agents and as command
// line, each a process of its own.
func TestAgainstTheServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers and agents")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/real",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"API_PORT", "AGENTS_PORT", "LISTEN_PORT"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				env.Setenv(name, port)
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("SLIPWAY_ADMIN_API_KEY", "API-ADMINISTRATORADMINISTRATOR")
			env.Setenv("SLIPWAY_API_KEY", "API-ADMINISTRATORADMINISTRATOR")
			env.Setenv("SLIPWAY_URL", "http://127.0.0.1:"+env.Getenv("API_PORT"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "answers": answers,
		},
	})
}

// TestTheDemo plays the whole demo: it is its own judge.
func TestTheDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/demo",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SLIPWAY_TEST_PATIENT", "1")
			return nil
		},
	})
}

func freePort() (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// answers waits until the server at the URL does.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], http.NoBody)
		ts.Check(err)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s does not answer", args[0])
		case <-tick.C:
		}
	}
}
