package agent_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/agentrpc/agentrpctest"
)

// previousServer links to the agent as the server of an earlier release does.
func (m *machine) previousServer() {
	m.t.Helper()
	first, err := agentrpctest.FirstVersion()
	if err != nil {
		m.t.Fatal(err)
	}
	previous, err := agentrpctest.NewPrevious(first)
	if err != nil {
		m.t.Fatal(err)
	}
	address := m.link.RemoteAddr()
	transport := &http2.Transport{DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) { //nolint:staticcheck // net/http has no HTTP/2 under an ALPN name of one's own
		return agentrpc.Dial(ctx, address, agentrpc.ClientTLS(m.server, agentrpc.Pinned(m.pin)))
	}}
	m.t.Cleanup(transport.CloseIdleConnections) //nolint:staticcheck // as above
	m.link.Client = previous.Client(&http.Client{Transport: transport})
}

// fault 45: the server of the release before this one, which knows nothing of
// what was added since, makes this agent work: an attempt is started, attached
// to after the agent was upgraded in its middle, canceled, and forgotten.
func TestServerOfThePreviousRelease(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.previousServer()
	about, err := m.link.Client.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{NowMs: 1}))
	if err != nil || about.Msg.GetVersion() != "1.2.3" || about.Msg.GetProtocol() != 0 {
		t.Fatalf("described as %v, %v", about, err)
	}
	starts, never := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "never")
	m.run("A-1", ">>"+starts+" echo started\necho one\n>artifact echo content\nexit 3")
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_FAILED)
	if strings.TrimSpace(log) != "one" || result.GetExitCode() != 3 || len(lines(starts)) != 1 {
		t.Errorf("log %q, result %v, %d starts", log, result, len(lines(starts)))
	}
	m.run("A-2", waitsFor(never))
	m.kill()
	m.start()
	m.previousServer()
	if answer := m.query("A-2"); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		t.Errorf("after the upgrade: %v", answer)
	}
	m.cancel("A-2", 0)
	_, result = m.follow("A-2", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_CANCELED)
	if _, err := m.link.Client.Forget(t.Context(), connect.NewRequest(&agentrpc.ForgetRequest{Attempts: []string{"A-1", "A-2"}})); err != nil {
		t.Fatal(err)
	}
	if again := m.run("A-1", "echo never"); again.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_ENDED {
		t.Errorf("a forgotten attempt: %v", again)
	}
}
