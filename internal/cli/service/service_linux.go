package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

const unitDir = "/etc/systemd/system"

// Install writes the unit, enables it and starts it.
func Install(ctx context.Context, s *Spec, openFirewall bool) error {
	if err := s.validate(); err != nil {
		return err
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return resource.Errorf(resource.PreconditionFailed, "This machine does not run systemd. Start `%s %s` by what starts your other services.", s.Program, strings.Join(s.Args, " "))
	}
	name := filepath.Join(unitDir, s.Name+".service")
	if err := os.WriteFile(name, []byte(unit(s)), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	if err := systemctl(ctx, "enable", "--now", s.Name+".service"); err != nil {
		return err
	}
	if !openFirewall {
		return nil
	}
	return open(ctx, s.Ports)
}

// Uninstall stops the service and removes its unit.
func Uninstall(ctx context.Context, name string) error {
	if err := (&Spec{Name: name}).validate(); err != nil {
		return err
	}
	file := filepath.Join(unitDir, name+".service")
	if _, err := os.Stat(file); err != nil {
		return resource.Errorf(resource.NotFound, "The service %s is not installed.", name)
	}
	if err := systemctl(ctx, "disable", "--now", name+".service"); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("remove %s: %w", file, err)
	}
	return systemctl(ctx, "daemon-reload")
}

func systemctl(ctx context.Context, args ...string) error { return command(ctx, "systemctl", args...) }

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// open opens the ports in whichever of the two usual firewalls is there; a
// machine without either has none to open.
func open(ctx context.Context, ports []int) error {
	var errs []error
	for _, port := range ports {
		spec := strconv.Itoa(port) + "/tcp"
		switch {
		case has("firewall-cmd"):
			errs = append(errs, command(ctx, "firewall-cmd", "--permanent", "--add-port="+spec), command(ctx, "firewall-cmd", "--add-port="+spec))
		case has("ufw"):
			errs = append(errs, command(ctx, "ufw", "allow", spec))
		}
	}
	return errors.Join(errs...)
}

func has(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// unit is the systemd unit of a service. KillMode=process: stopping or
// upgrading the server must not end the scripts of its worker (P2).
func unit(s *Spec) string {
	words := make([]string, 0, len(s.Args)+1)
	for _, word := range append([]string{s.Program}, s.Args...) {
		words = append(words, quote(word))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\nAfter=network-online.target\nWants=network-online.target\n\n", strings.ReplaceAll(s.Description, "%", "%%"))
	fmt.Fprintf(&b, "[Service]\nExecStart=%s\nRestart=always\nRestartSec=2\nKillMode=process\nLimitNOFILE=65536\nLimitCORE=0\n", strings.Join(words, " "))
	for _, pair := range s.Env {
		fmt.Fprintf(&b, "Environment=%s\n", quote(pair))
	}
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quote writes a word as systemd reads it: quoted, with specifiers and
// variables taken literally.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`
}
