package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/cli/console"
)

func install(c *console.Console) *cobra.Command {
	var home, name string
	var firewall bool
	cmd := &cobra.Command{
		Use: "install", Short: "Start the agent now and at each boot, as a service",
		Long: "Start the agent now and at each boot: as a systemd unit on Linux, as a service on Windows. Register\n" +
			"the machine first. Stopping or upgrading the service does not stop scripts that run.",
		Example: "  slipway agent install\n  slipway agent install --open-firewall",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := agent.LoadConfig(home)
			if err != nil {
				return err
			}
			installer, err := installerOf(home, name)
			if err != nil {
				return err
			}
			if err := installer.Install(cmd.Context()); err != nil {
				return err
			}
			if firewall && config.Mode == agent.Listening {
				if err := openPort(cmd.Context(), c, installer, config.Listen); err != nil {
					return err
				}
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("The service %s runs.", name)}, Basic: []string{name}, JSON: map[string]string{"Service": name},
			})
		},
	}
	homeFlag(cmd, &home)
	cmd.Flags().StringVar(&name, "service", agent.ServiceName, "name of the service")
	cmd.Flags().BoolVar(&firewall, "open-firewall", false, "open the port of a listening agent in this machine's firewall")
	return cmd
}

func installerOf(home, name string) (*agent.Installer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if home, err = filepath.Abs(home); err != nil {
		return nil, fmt.Errorf("find the agent's home: %w", err)
	}
	return &agent.Installer{Program: program, Home: home, Name: name}, nil
}

func openPort(ctx context.Context, c *console.Console, installer *agent.Installer, listen string) error {
	_, text, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("read the agent's port: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("read the agent's port: %w", err)
	}
	note, err := installer.OpenFirewall(ctx, port)
	if note != "" {
		c.Notef("%s", note)
	}
	return err
}

func uninstall(c *console.Console) *cobra.Command {
	var home, name string
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Stop the agent's service and remove it; the machine stays registered",
		Example: "  slipway agent uninstall",
		RunE: func(cmd *cobra.Command, _ []string) error {
			installer, err := installerOf(home, name)
			if err != nil {
				return err
			}
			if err := installer.Uninstall(cmd.Context()); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("The service %s is removed.", name)}, Basic: []string{name}, JSON: map[string]string{"Service": name},
			})
		},
	}
	homeFlag(cmd, &home)
	cmd.Flags().StringVar(&name, "service", agent.ServiceName, "name of the service")
	return cmd
}
