package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// serviceProcess is what the service manager starts: the agent with the home.
func serviceProcess(home string) int {
	ran, err := agent.RunService(context.Background(), agent.ServiceName, func(ctx context.Context) error { return agentUntil(ctx, home) })
	if !ran || err != nil {
		_ = os.WriteFile(filepath.Join(home, "failure"), fmt.Appendf(nil, "%v, %v", ran, err), 0o600)
		return 1
	}
	return 0
}

// place puts this binary where an installed program would be.
func place(t *testing.T) string {
	t.Helper()
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	program := filepath.Join(t.TempDir(), "program files", "slipway.exe")
	if err := os.Mkdir(filepath.Dir(program), 0o700); err != nil {
		t.Fatal(err)
	}
	to, err := os.OpenFile(program, os.O_WRONLY|os.O_CREATE, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return program
}

// linked waits until the agent answers at the address.
func (m *machine) linked(address string) {
	m.t.Helper()
	var err error
	wait(m.t, "the service's agent answers", func() bool {
		if failure, said := os.ReadFile(filepath.Join(m.home, "failure")); said == nil {
			m.t.Fatalf("the service failed: %s", failure)
		}
		err = m.dial(address)
		return err == nil
	})
}

// installed is a service as the service manager itself describes it.
type installed struct {
	svc.Status

	start   uint32
	command string
}

// ask asks the service manager; nil when it has no such service.
func ask(t *testing.T, name string) *installed {
	t.Helper()
	manager, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Disconnect() }()
	service, err := manager.OpenService(name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = service.Close() }()
	status, err := service.Query()
	if err != nil {
		t.Fatal(err)
	}
	// service.Config asks for more than Wine knows.
	room := make([]windows.QUERY_SERVICE_CONFIG, 64)
	size := uint32(unsafe.Sizeof(room[0])) * uint32(len(room))
	if err := windows.QueryServiceConfig(service.Handle, &room[0], size, &size); err != nil {
		t.Fatal(err)
	}
	return &installed{status, room[0].StartType, windows.UTF16PtrToString(room[0].BinaryPathName)}
}

// fault 46: the agent is a service; stopping, upgrading and removing it leaves
// the script alone that it started, and the next agent re-attaches.
func TestService(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, home: filepath.Join(t.TempDir(), "agent home")}
	m.configure(t.TempDir(), address)
	i := &agent.Installer{Program: place(t), Home: m.home, Name: "slipway-agent-test"}
	t.Cleanup(func() {
		if err := i.Uninstall(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := i.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.linked(address)
	if got := ask(t, i.Name); got.State != svc.Running || got.start != mgr.StartAutomatic ||
		!strings.HasPrefix(got.command, `"`+i.Program+`" agent run --home "`) {
		t.Errorf("%+v", got)
	}

	starts, gate := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "gate")
	m.run("A-1", ">>"+starts+" echo started\necho one\n"+
		"set AGENT_TEST_ROLE=helper&& \""+i.Program+"\" gate \""+gate+"\"\necho two")
	wait(t, "the script runs", func() bool { return len(lines(starts)) == 1 })
	_ = m.link.Close()
	if err := i.Install(t.Context()); err != nil { // the upgrade: stop, remove, create, start
		t.Fatal(err)
	}
	m.linked(address)
	if answer := m.query("A-1"); answer.GetState() != agentrpc.AttemptState_ATTEMPT_STATE_RUNNING {
		t.Errorf("after the upgrade: %v", answer)
	}
	stopped := stop(t, i.Name)
	if stopped.Win32ExitCode != 0 || stopped.ServiceSpecificExitCode != 0 {
		t.Errorf("stopped as a failure, after which the service manager starts it again: %+v", stopped)
	}
	touch(t, gate)
	if err := i.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.linked(address)
	log, result := m.follow("A-1", 0)
	wantOutcome(t, result, agentrpc.Outcome_OUTCOME_SUCCEEDED)
	if log != "one\r\ntwo\r\n" || len(lines(starts)) != 1 {
		t.Errorf("log %q, started %d times", log, len(lines(starts)))
	}
	_ = m.link.Close()
	for range 2 { // once more is no error
		if err := i.Uninstall(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "the service is gone", func() bool { return ask(t, i.Name) == nil })
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = conn.Close()
		t.Error("the agent of a removed service listens")
	}
}

// stop stops the service by the service manager.
func stop(t *testing.T, name string) (end svc.Status) {
	t.Helper()
	manager, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Disconnect() }()
	service, err := manager.OpenService(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = service.Close() }()
	if _, err := service.Control(svc.Stop); err != nil {
		t.Fatal(err)
	}
	wait(t, "the service stops", func() bool {
		end, err = service.Query()
		return err == nil && end.State == svc.Stopped
	})
	return end
}
