package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
	"github.com/slipwayhq/slipway/internal/cli/demo/mark"
	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
)

// tokenEnv carries the balancer's token to the demo's processes: an argument
// would show in the process list.
const tokenEnv = "SLIPWAY_DEMO_TOKEN" //nolint:gosec // a name, not a secret

// required declares flags that a part cannot do without.
func required(cmd *cobra.Command, flags map[string]*string) *cobra.Command {
	for name, value := range flags {
		cmd.Flags().StringVar(value, name, "", name)
		// The flag was declared in the line above.
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func markCommand(c *console.Console) *cobra.Command {
	var m mark.Mark
	var folder string
	cmd := &cobra.Command{
		Use: "mark start|end", Short: "Write down that a script starts or ends", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m.Event, m.At, m.Boot, m.PID = mark.Event(args[0]), c.Now(), mark.Boot(), os.Getppid()
			return mark.Write(folder, m)
		},
	}
	return required(cmd, map[string]*string{
		"folder": &folder, "attempt": &m.Attempt, "deployment": &m.Deployment, "action": &m.Action, "machine": &m.Machine,
	})
}

func shopCommand() *cobra.Command {
	var folder, machine, state, stopState string
	serve := &cobra.Command{
		Use: "serve", Short: "Serve the shop", RunE: func(cmd *cobra.Command, _ []string) error {
			site, err := shop.Open(folder, machine)
			if err != nil {
				return err
			}
			return shop.Serve(cmd.Context(), site, state, rand.Text())
		},
	}
	required(serve, map[string]*string{"folder": &folder, "machine": &machine, "state": &state})
	start := &cobra.Command{
		Use: "start", Short: "Start the shop as a daemon, in place of the one that runs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			if err := shop.Stop(ctx, state); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			// Not CommandContext: the shop outlives this command.
			program := exec.Command(self, "demo", "shop", "serve", "--folder", folder, "--machine", machine, "--state", state) //nolint:noctx // a daemon by design
			running, err := shop.Start(ctx, program, state)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The shop serves at %s.\n", running.Address)
			return err
		},
	}
	required(start, map[string]*string{"folder": &folder, "machine": &machine, "state": &state})
	stop := &cobra.Command{
		Use: "stop", Short: "Stop the shop",
		RunE: func(cmd *cobra.Command, _ []string) error { return shop.Stop(cmd.Context(), stopState) },
	}
	required(stop, map[string]*string{"state": &stopState})
	return console.Group("shop", "The demo's web shop", serve, start, stop)
}

// Addresses are where a balancer serves and listens to its API.
type Addresses struct {
	API   string
	Sites map[string]string // URL by name
}

func balancerCommand() *cobra.Command {
	var url, state, machine, release string
	remote := func() balancer.Remote { return balancer.Remote{URL: url, Token: os.Getenv(tokenEnv)} }
	var sites []string
	var file string
	serve := &cobra.Command{
		Use: "serve", Short: "Serve the sites",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveBalancer(cmd.Context(), file, os.Getenv(tokenEnv), sites)
		},
	}
	required(serve, map[string]*string{"state": &file})
	serve.Flags().StringSliceVar(&sites, "site", nil, "a site")
	holding := &cobra.Command{
		Use: "holding SITE on|off", Short: "Turn the holding page on or off", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return remote().SetHolding(cmd.Context(), args[0], args[1] == "on")
		},
	}
	required(holding, map[string]*string{"url": &url})
	in := &cobra.Command{
		Use: "in SITE", Short: "Put a machine's shop into the pool", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			running, ok, err := shop.Current(state)
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("no shop runs here")
			}
			return remote().Add(cmd.Context(), args[0], balancer.Backend{Machine: machine, Address: running.Address, Release: release})
		},
	}
	required(in, map[string]*string{"url": &url, "machine": &machine, "state": &state, "release": &release})
	out := &cobra.Command{
		Use: "out SITE", Short: "Take a machine out of the pool and wait for its last request", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return remote().Drain(cmd.Context(), args[0], machine) },
	}
	required(out, map[string]*string{"url": &url, "machine": &machine})
	return console.Group("balancer", "The demo's load balancer", serve, holding, in, out)
}

func serveBalancer(ctx context.Context, file, token string, sites []string) error {
	if token == "" {
		return errors.New("no token in " + tokenEnv)
	}
	b := balancer.New(sites...)
	handlers := map[string]http.Handler{"": b.API(token)}
	for _, site := range sites {
		handlers[site] = b.Handler(site)
	}
	addresses := Addresses{Sites: map[string]string{}}
	failed := make(chan error, len(handlers))
	for name, handler := range handlers {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("serve balancer: %w", err)
		}
		defer listener.Close()
		url := "http://" + listener.Addr().String()
		if name == "" {
			addresses.API = url
		} else {
			addresses.Sites[name] = url
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- server.Serve(listener) }()
	}
	if err := writeJSON(file, addresses); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve balancer: %w", err)
	}
}

// writeJSON writes a file whole or not at all.
func writeJSON(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return os.Rename(name+".new", name)
}

func migrateCommand() *cobra.Command {
	var database string
	var schema int
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the shop's database to a schema",
		RunE: func(*cobra.Command, []string) error { return shop.Migrate(database, schema) },
	}
	required(cmd, map[string]*string{"database": &database})
	cmd.Flags().IntVar(&schema, "schema", 1, "schema")
	return cmd
}
