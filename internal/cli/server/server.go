// Package server is `slipway server`: running a server, as a process or as a
// service, and showing the thumbprint that agents trust.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/service"
	"github.com/slipwayhq/slipway/internal/server"
)

// serverService is the name of the server's service where none is given.
const serverService = "slipway-server"

// flags are how a server is started; install passes them on.
type flags struct {
	data, database, blobs, listen, agents, metrics, node, cert, key string
	moved, insecure, noWorker                                       bool
	log                                                             console.LogFlags
}

// Command is `slipway server`.
func Command(c *console.Console) *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use: "server", Short: "Run a server",
		Long: "Run a server: SQLite and files in --data, the API on --listen, polling agents on --agents. With\n" +
			"--database postgres://… and --blobs s3://…, any number of servers are one: see docs/nodes.md. At the\n" +
			"first start an administrator is made, with the key in SLIPWAY_ADMIN_API_KEY and the password in\n" +
			"SLIPWAY_ADMIN_PASSWORD; without either a key is made and printed, once.\n\n" +
			"Stopping or killing the server stops no deployment: scripts go on, and the next start takes their\n" +
			"results in.",
		Example: "  slipway server --data ./slipway\n" +
			"  slipway server --data /var/lib/slipway --listen :443 --tls-cert cert.pem --tls-key key.pem\n" +
			"  slipway server --node one --database 'postgres://slipway@db/slipway?sslmode=verify-full' --blobs s3://slipway",
		RunE: func(cmd *cobra.Command, _ []string) error {
			work := func(ctx context.Context) error { return f.run(ctx, c) }
			if ran, err := agent.RunService(cmd.Context(), serverService, work); ran || err != nil {
				return err
			}
			return work(cmd.Context())
		},
	}
	f.bind(cmd)
	cmd.AddCommand(install(c), uninstall(c), thumbprint(c))
	return cmd
}

// dataFlag declares --data; where it is not given, data is the default by the
// time the command runs.
func dataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", "", "folder of the server's data (default: the system's own, or one in your configuration folder)")
	cmd.PreRun = func(*cobra.Command, []string) {
		if *data == "" {
			*data = defaultData()
		}
	}
}

func (f *flags) bind(cmd *cobra.Command) {
	dataFlag(cmd, &f.data)
	cmd.Flags().StringVar(&f.database, "database", "", "PostgreSQL database of one or several servers, postgres://user@host:5432/name?sslmode=verify-full; also\nin SLIPWAY_DATABASE, which no list of processes shows (default: SQLite in --data)")
	cmd.Flags().BoolVar(&f.moved, "blobs-moved", false, "the packages, artifacts and logs of --database were copied to --blobs: use them there from now on")
	cmd.Flags().StringVar(&f.blobs, "blobs", "", "S3-compatible storage for packages, artifacts and finished logs, s3://bucket/prefix?region=…&endpoint=…, with the\ncredentials that the AWS SDK finds (default: a folder in --data)")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the API")
	cmd.Flags().StringVar(&f.agents, "agents", ":10943", "address that polling agents connect to")
	cmd.Flags().StringVar(&f.metrics, "metrics", "", "address of /metrics for Prometheus, on loopback (default: nowhere)")
	cmd.Flags().StringVar(&f.node, "node", "", "name of this node, the same at each start (default: the host name)")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file with the API's certificate")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file with the certificate's key")
	cmd.Flags().BoolVar(&f.insecure, "insecure-http", false, "allow plain HTTP on an address that other machines reach")
	cmd.Flags().BoolVar(&f.noWorker, "no-worker", false, "do not run steps on the server")
	f.log.Bind(cmd)
}

func (f *flags) run(ctx context.Context, c *console.Console) (err error) {
	logger, err := f.log.Logger(c.Err)
	if err != nil {
		return err
	}
	if f.node == "" {
		f.node = hostname()
	}
	if f.database == "" {
		f.database = c.Env("SLIPWAY_DATABASE")
	}
	config := server.Config{
		Data: f.data, Database: f.database, MoveBlobs: f.moved, Blobs: f.blobs, Listen: f.listen, Agents: f.agents, Metrics: f.metrics, Node: f.node,
		TLSCert: f.cert, TLSKey: f.key, InsecureHTTP: f.insecure,
		AdminKey: c.Env("SLIPWAY_ADMIN_API_KEY"), AdminPassword: c.Env("SLIPWAY_ADMIN_PASSWORD"),
		Version: c.Version, Logger: logger, Out: c.Out, Now: c.Now,
	}
	if !f.noWorker {
		config.Worker = worker{c: c}
	}
	s, err := server.New(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }() //nolint:contextcheck // it closes after ctx has ended
	scheme := "http"
	if f.cert != "" {
		scheme = "https"
	}
	c.Notef("Slipway %s serves %s://%s. Agents trust %s.", c.Version, scheme, s.Addr(), s.Thumbprint())
	return s.Run(ctx)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return name
}

// defaultData is the system's folder for the superuser, one of his own for
// anybody else.
func defaultData() string {
	if dir := systemData(); dir != "" {
		return dir
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "slipway-data"
	}
	return filepath.Join(dir, "slipway", "server")
}

func thumbprint(c *console.Console) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "thumbprint", Short: "Show the server's thumbprint, which an agent's --trust wants",
		Example: "  slipway server thumbprint --data ./slipway --format basic",
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat(data); err != nil {
				return console.Usagef("there is no server in %s: %w", data, err)
			}
			identity, err := server.Identity(data, c.Now())
			if err != nil {
				return err
			}
			text := identity.Thumbprint()
			return c.Print(console.Result{Lines: []string{text}, Basic: []string{text}, JSON: map[string]string{"Thumbprint": text}})
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func install(c *console.Console) *cobra.Command {
	f := &flags{}
	var name string
	var firewall bool
	cmd := &cobra.Command{
		Use: "install", Short: "Start the server now and at each boot, as a service",
		Example: "  slipway server install --data /var/lib/slipway --listen :443 --tls-cert cert.pem --tls-key key.pem",
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := f.service(name)
			if err != nil {
				return err
			}
			if err := service.Install(cmd.Context(), spec, firewall); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("The service %s runs.", name)}, Basic: []string{name}, JSON: map[string]string{"Service": name},
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&name, "service", serverService, "name of the service")
	cmd.Flags().BoolVar(&firewall, "open-firewall", false, "open the API's and the agents' ports in this machine's firewall")
	return cmd
}

func uninstall(c *console.Console) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Stop the server's service and remove it; its data stay",
		Example: "  slipway server uninstall",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := service.Uninstall(cmd.Context(), name); err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("The service %s is removed.", name)}, Basic: []string{name}, JSON: map[string]string{"Service": name},
			})
		},
	}
	cmd.Flags().StringVar(&name, "service", serverService, "name of the service")
	return cmd
}
