package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// unit is the systemd service. KillMode=process leaves shims and scripts alone
// when the agent is stopped, restarted or upgraded (fault 46), OOMPolicy when a
// script was killed for memory (fault 47); Delegate lets the agent make a cgroup
// for each attempt.
const unit = `[Unit]
Description=Slipway agent
Documentation=https://github.com/slipwayhq/slipway
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=%s agent run --home %s
Restart=always
RestartSec=2
KillMode=process
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitCORE=0

[Install]
WantedBy=multi-user.target
`

func (i *Installer) unitPath() string { return "etc/systemd/system/" + i.Name + ".service" }

// Install writes the systemd unit, enables and starts it. Installing again
// brings the unit up to date and restarts the agent.
func (i *Installer) Install(ctx context.Context) error {
	if err := i.check(); err != nil {
		return err
	}
	if err := i.place(i.unitPath(), fmt.Sprintf(unit, systemdQuote(i.Program), systemdQuote(i.Home))); err != nil {
		return fmt.Errorf("install the agent's service: %w", err)
	}
	err := i.all(ctx, []string{"systemctl", "daemon-reload"}, []string{"systemctl", "enable", i.Name}, []string{"systemctl", "restart", i.Name})
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
	path := filepath.Join(i.Root, i.unitPath())
	if _, err := os.Stat(path); err != nil {
		return removed(err)
	}
	if err := i.all(ctx, []string{"systemctl", "disable", "--now", i.Name}); err != nil {
		return fmt.Errorf("remove the agent's service: %w", err)
	}
	if err := removed(os.Remove(path)); err != nil {
		return fmt.Errorf("remove the agent's service: %w", err)
	}
	return i.all(ctx, []string{"systemctl", "daemon-reload"})
}

// systemdQuote makes any path one word of ExecStart, see systemd.service(5).
func systemdQuote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`, "\n", `\n`).Replace(text) + `"`
}

// openFirewall asks the firewall that runs, ufw or firewalld.
func (i *Installer) openFirewall(ctx context.Context, port int) (note string, err error) {
	number := strconv.Itoa(port) + "/tcp"
	if _, err := i.LookPath("ufw"); err == nil {
		if out, err := i.Command(ctx, "ufw", "status"); err == nil && strings.Contains(out, "Status: active") {
			return "", i.all(ctx, []string{"ufw", "allow", number, "comment", "Slipway agent"})
		}
	}
	if _, err := i.LookPath("firewall-cmd"); err == nil {
		if out, err := i.Command(ctx, "firewall-cmd", "--state"); err == nil && strings.TrimSpace(out) == "running" {
			return "", i.all(ctx,
				[]string{"firewall-cmd", "--permanent", "--add-port=" + number},
				[]string{"firewall-cmd", "--add-port=" + number})
		}
	}
	return byHand(port), nil
}
