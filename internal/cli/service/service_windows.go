package service

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Install makes the service, lets the manager restart it when it ends, and
// starts it.
func Install(ctx context.Context, s *Spec, openFirewall bool) (err error) {
	if err := s.validate(); err != nil {
		return err
	}
	manager, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("reach the service manager (run this as administrator): %w", err)
	}
	defer func() { err = errors.Join(err, manager.Disconnect()) }()
	created, err := manager.CreateService(s.Name, s.Program, mgr.Config{
		DisplayName: s.Description, StartType: mgr.StartAutomatic, DelayedAutoStart: false,
	}, s.Args...)
	if err != nil {
		return fmt.Errorf("create service %s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, created.Close()) }()
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 2 * time.Second}
	if err := created.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, uint32((24 * time.Hour).Seconds())); err != nil {
		return fmt.Errorf("set recovery of service %s: %w", s.Name, err)
	}
	if err := created.Start(); err != nil {
		return fmt.Errorf("start service %s: %w", s.Name, err)
	}
	if !openFirewall {
		return nil
	}
	return open(ctx, s)
}

// open adds a rule of the service's name to the firewall.
func open(ctx context.Context, s *Spec) error {
	for _, port := range s.Ports {
		out, err := exec.CommandContext(ctx, "netsh", "advfirewall", "firewall", "add", "rule", "name="+s.Name,
			"dir=in", "action=allow", "protocol=TCP", "localport="+strconv.Itoa(port)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("open port %d: %w: %s", port, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// Uninstall stops the service and removes it.
func Uninstall(_ context.Context, name string) (err error) {
	manager, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("reach the service manager (run this as administrator): %w", err)
	}
	defer func() { err = errors.Join(err, manager.Disconnect()) }()
	s, err := manager.OpenService(name)
	if err != nil {
		return fmt.Errorf("open service %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Control(svc.Stop); err != nil {
		if state, qerr := s.Query(); qerr != nil || state.State != svc.Stopped {
			return fmt.Errorf("stop service %s: %w", name, errors.Join(err, qerr))
		}
	}
	if err := s.Delete(); err != nil {
		return fmt.Errorf("delete service %s: %w", name, err)
	}
	return nil
}
