package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Install creates the Windows service, which starts again whenever it ends, and
// starts it. Installing again brings it up to date and restarts the agent.
// Shims and scripts are in no job object of the service's, so they go on when it
// is stopped (fault 46).
func (i *Installer) Install(ctx context.Context) error {
	if err := i.check(); err != nil {
		return err
	}
	if err := i.Uninstall(ctx); err != nil {
		return err
	}
	manager, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("install the agent's service: %w", err)
	}
	defer func() { _ = manager.Disconnect() }()
	config := mgr.Config{
		DisplayName: "Slipway agent", Description: "Runs what the Slipway server orders on this machine.",
		StartType: mgr.StartAutomatic, // not delayed: a machine that restarted is back at once
	}
	service, err := manager.CreateService(i.Name, i.Program, config, "agent", "run", "--home", i.Home)
	if err != nil {
		return fmt.Errorf("install the agent's service: %w", err)
	}
	defer func() { _ = service.Close() }()
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 2 * time.Second}
	always := service.SetRecoveryActionsOnNonCrashFailures(true)
	if errors.Is(always, windows.ERROR_INVALID_LEVEL) { // Wine starts it again after a crash alone
		always = nil
	}
	err = errors.Join(service.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, 60), always, service.Start())
	if err != nil {
		return fmt.Errorf("install the agent's service: %w", err)
	}
	return nil
}

// Uninstall stops the agent and removes the service. Scripts that run go on.
func (i *Installer) Uninstall(ctx context.Context) error {
	if err := i.defaults(); err != nil {
		return err
	}
	manager, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("remove the agent's service: %w", err)
	}
	defer func() { _ = manager.Disconnect() }()
	service, err := manager.OpenService(i.Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the agent's service: %w", err)
	}
	defer func() { _ = service.Close() }()
	if _, err := service.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stop the agent's service: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := service.Query()
		if err != nil {
			return fmt.Errorf("stop the agent's service: %w", err)
		}
		if status.State == svc.Stopped {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := service.Delete(); err != nil {
		return fmt.Errorf("remove the agent's service: %w", err)
	}
	return nil
}

func (i *Installer) openFirewall(ctx context.Context, port int) (note string, err error) {
	return "", i.all(ctx, []string{
		"netsh", "advfirewall", "firewall", "add", "rule", "name=" + i.Name, "dir=in", "action=allow",
		"protocol=TCP", "localport=" + strconv.Itoa(port), "program=" + i.Program,
	})
}

// RunService runs the agent under Windows' service manager when that started
// this process; ran is false when it did not, and nothing was done.
func RunService(ctx context.Context, name string, run func(context.Context) error) (ran bool, err error) {
	if !startedByManager() {
		return false, nil
	}
	h := &handler{ctx: ctx, run: run}
	err = svc.Run(name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) { // the manager does not know this process
		return false, nil
	}
	return true, errors.Join(err, h.err)
}

// startedByManager says whether the parent is a services.exe. The manager itself
// has the last word. svc.IsWindowsService also wants session 0, which Wine does
// not have.
func startedByManager() bool {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	parent := uint32(os.Getppid())
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if entry.ProcessID == parent {
			return strings.EqualFold(windows.UTF16ToString(entry.ExeFile[:]), "services.exe")
		}
	}
	return false
}

type handler struct {
	ctx context.Context //nolint:containedctx // svc.Handler leaves no other way
	run func(context.Context) error
	err error
}

var errStopped = errors.New("the service was stopped")

// Execute implements svc.Handler. An agent that ends by itself ends with a
// failure, so that the recovery actions start it again.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, code uint32) {
	ctx, cancel := context.WithCancelCause(h.ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }()
	status := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	changes <- status
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil && (err == nil || errors.Is(err, errStopped)) {
				return false, 0
			}
			h.err = err
			return true, 1
		case request := <-requests:
			if request.Cmd == svc.Interrogate {
				changes <- request.CurrentStatus
				continue
			}
			changes <- svc.Status{State: svc.StopPending} // nothing else is accepted than to stop
			cancel(errStopped)
		}
	}
}
