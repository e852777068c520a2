//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// someone is an identity that nobody knows.
func someone(t *testing.T) *agentrpc.Identity {
	t.Helper()
	id, err := agentrpc.CreateIdentity(t.TempDir(), "someone", time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// identity is the one that is kept in a folder.
func identity(t *testing.T, folder string) *agentrpc.Identity {
	t.Helper()
	id, err := agentrpc.LoadIdentity(filepath.Join(folder, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func anybody(string) error { return nil }

// letIn says whether the other side goes on after the handshake: it answers or
// keeps the line open. With TLS 1.3 a client learns of its rejection from its
// first read.
func letIn(t *testing.T, address string, config *tls.Config) bool {
	t.Helper()
	conn, err := agentrpc.Dial(t.Context(), address, config)
	if err != nil {
		return false
	}
	defer conn.Close()
	// The side that was dialled is either the server, which calls at once, or
	// an agent, which waits for the preface of HTTP/2.
	if _, err := conn.Write([]byte(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// Who is not pinned, or does not speak TLS 1.3 and our protocol, comes no
// further than the handshake, on the server's port as on a listening agent's,
// and leaves no trace in what people see (abuse 1, 2, 11, 16).
func TestStrangersAreTurnedAway(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	listening, polling := s.machine("listening", listens), s.machine("polling")
	server, agent := identity(t, s.data), identity(t, listening.home)
	with := func(id *agentrpc.Identity, change func(*tls.Config)) *tls.Config {
		config := agentrpc.ClientTLS(id, anybody)
		if change != nil {
			change(config)
		}
		return config
	}
	old := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }
	mute := func(c *tls.Config) { c.NextProtos = nil }
	other := func(c *tls.Config) { c.NextProtos = []string{"h2"} }
	bare := func(c *tls.Config) { c.Certificates = nil }
	events := func() (n int) {
		t.Helper()
		if err := s.get(t, "/api/events?take=1").DecodeField("TotalResults", &n); err != nil || n == 0 {
			t.Fatalf("%d events, %v", n, err)
		}
		return n
	}
	before := events()
	mayPoll, mayOrder := identity(t, polling.home), server
	type call struct {
		address string
		config  *tls.Config
	}
	for name, c := range map[string]call{
		"server: an unknown agent":      {s.agents, with(someone(t), nil)},
		"server: its own identity":      {s.agents, with(server, nil)},
		"server: an agent that listens": {s.agents, with(agent, nil)},
		"server: no certificate":        {s.agents, with(mayPoll, bare)},
		"server: TLS 1.2":               {s.agents, with(mayPoll, old)},
		"server: no protocol":           {s.agents, with(mayPoll, mute)},
		"server: another protocol":      {s.agents, with(mayPoll, other)},
		"machine: an unknown server":    {listening.address, with(someone(t), nil)},
		"machine: its own identity":     {listening.address, with(agent, nil)},
		"machine: another agent":        {listening.address, with(mayPoll, nil)},
		"machine: no certificate":       {listening.address, with(mayOrder, bare)},
		"machine: TLS 1.2":              {listening.address, with(mayOrder, old)},
		"machine: no protocol":          {listening.address, with(mayOrder, mute)},
		"machine: another protocol":     {listening.address, with(mayOrder, other)},
	} {
		if letIn(t, c.address, c.config) {
			t.Errorf("%s is let in", name)
		}
	}
	if now := events(); now != before {
		t.Errorf("strangers caused %d events", now-before)
	}
	if said := s.server.process.said(); !strings.Contains(said, "agent refused") {
		t.Errorf("the server's log does not tell of strangers: %s", said)
	}
	for name, c := range map[string]call{
		"server: its agent":   {s.agents, with(mayPoll, nil)},
		"machine: its server": {listening.address, with(mayOrder, nil)},
	} {
		if !letIn(t, c.address, c.config) {
			t.Errorf("%s is not let in", name)
		}
	}
}

// A machine whose pinned thumbprint is wrong, at the server or on the machine,
// is unavailable, and nothing runs on it (abuse 2, 11). People read that it is
// the key, not that the machine is away: of a listening one in its health, of a
// polling one in its agent's log, because the server cannot know who it is
// (abuse 3).
func TestWrongPin(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.steps(step("Say", "web", "", script("Say", s.mark("starts"))))
	s.release("1.0.0")
	for _, style := range []machineOption{listens, func(*machine) {}} {
		pin := someone(t).Thumbprint()
		name := pin[:6]
		wrong := s.newMachine("at-server-"+name, style, impatient)
		wrong.register()
		s.edit(t, "/api/machines/"+wrong.id, map[string]any{"Endpoint": wrong.endpoint(pin), "Thumbprint": pin})
		wrong.start()
		doubtful := s.newMachine("at-machine-"+name, style, impatient)
		doubtful.register("--trust", pin) // the last one counts
		doubtful.start()
		for _, m := range []*machine{wrong, doubtful} {
			m.health("Unavailable")
		}
		if wrong.polling {
			eventually(t, "the agent is told that its key is refused", func() bool { return strings.Contains(wrong.process.said(), "bad certificate") })
			continue
		}
		for m, words := range map[*machine]string{wrong: "another key", doubtful: "does not trust this server"} {
			eventually(t, "the health of "+m.name+" says "+words, func() bool { // once it was checked with its agent running
				s.cli(t, "machine", "health", m.name, "--wait")
				return strings.Contains(m.document().Text("StatusSummary"), words)
			})
		}
	}
	s.finish(s.deploy("1.0.0"), "Failed")
	if starts := s.lines("starts"); len(starts) != 0 {
		t.Errorf("starts %v", starts)
	}
}

// endpoint is how the server reaches the machine, with another pin.
func (m *machine) endpoint(pin string) (endpoint map[string]any) {
	m.s.t.Helper()
	if err := m.document().DecodeField("Endpoint", &endpoint); err != nil {
		m.s.t.Fatal(err)
	}
	endpoint["Thumbprint"] = pin
	return endpoint
}

// link opens a link to a listening machine in the server's name.
func (m *machine) link() *agentrpc.Link {
	m.s.t.Helper()
	conn, err := agentrpc.Dial(m.s.t.Context(), m.address, agentrpc.ClientTLS(identity(m.s.t, m.s.data), anybody))
	if err != nil {
		m.s.t.Fatal(err)
	}
	link, err := agentrpc.NewLink(conn)
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.s.t.Cleanup(func() { _ = link.Close() })
	return link
}

// Orders that are sent again start nothing: not the copy of one that runs, not
// one that has ended, not one of a former owner (abuse 12). What is no RPC, or
// too large for one, is an error of that call alone (abuse 13, 14).
func TestOrdersReplayed(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	m := s.machine("m", listens)
	s.steps(step("Wait", "web", "", script("Wait", s.mark("starts")+s.until("go"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	attempt := s.lines("starts")[0]
	s.server.process.kill()

	job := []byte("\x0a\x0eOctopus.Script") // action_type
	order := func(attempt string, epoch int64) *connect.Request[agentrpc.StartRequest] {
		return connect.NewRequest(&agentrpc.StartRequest{Attempt: attempt, Rollout: task, Epoch: epoch, Payload: job, PayloadSha256: sum(job)})
	}
	agent := m.link().Client
	for name, tt := range map[string]struct {
		order *connect.Request[agentrpc.StartRequest]
		code  connect.Code
	}{
		"a copy with another payload": {order(attempt, 1), connect.CodeAlreadyExists},
		"not an id":                   {order("../"+attempt, 1), connect.CodeInvalidArgument}, // abuse 9
	} {
		if _, err := agent.Start(t.Context(), tt.order); connect.CodeOf(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
	s.restart(t)
	s.touch("go")
	s.finish(task, "Success")
	s.server.process.kill()
	agent = m.link().Client
	if answer, err := agent.Start(t.Context(), order(attempt, 99)); err != nil || answer.Msg.State == agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		t.Errorf("an order that has ended: %v, %v", answer, err)
	}
	if _, err := agent.Start(t.Context(), order(attempt+"x", 1)); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "stale epoch") {
		t.Errorf("an order of a former owner: %v", err)
	}
	m.callsOfItsOwn()
	if _, err := agent.Describe(t.Context(), connect.NewRequest(&agentrpc.DescribeRequest{})); err != nil {
		t.Errorf("after all that: %v", err)
	}
	if starts := s.lines("starts"); len(starts) != 1 {
		t.Errorf("starts %v", starts)
	}
	if m.process.ended() {
		t.Error("the agent ended")
	}
	s.restart(t) // for whoever reads the tasks of a failed story
}

// callsOfItsOwn sends the agent what no server of ours sends.
func (m *machine) callsOfItsOwn() {
	t := m.s.t
	t.Helper()
	conn, err := agentrpc.Dial(t.Context(), m.address, agentrpc.ClientTLS(identity(t, m.s.data), anybody))
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the way of agentrpc itself
	line, err := new(http2.Transport).NewClientConn(conn) //nolint:staticcheck // the way of agentrpc itself
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	for path, body := range map[string][]byte{
		"/slipway.agent.v1.Agent/Exec":     []byte("ls"),
		"/slipway.agent.v1.Server/Report":  nil,
		"/":                                nil,
		"/slipway.agent.v1.Agent/Describe": bytes.Repeat([]byte("x"), 8<<20),
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://agent"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/proto")
		resp, err := line.RoundTrip(req)
		if err != nil {
			if reset := (http2.StreamError{}); errors.As(err, &reset) || errors.Is(err, io.EOF) {
				continue // refused with the stream
			}
			t.Errorf("%s: %v", path, err)
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// A server whose agents' port is talked to in another language goes on, and a
// slow greeting holds up nobody (abuse 1).
func TestNoiseOnTheAgentsPort(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	for _, noise := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", strings.Repeat("\x00", 1<<16), ""} {
		conn, err := net.Dial("tcp", s.agents)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = conn.Write([]byte(noise)) // it may hang up before the end
	}
	s.machine("m")
	if _, err := os.Stat(s.data); err != nil || s.process.ended() {
		t.Errorf("the server is gone: %v", err)
	}
}
