package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// local is what a machine knows about its own agent.
type local struct {
	Home, Name, Mode, Thumbprint string
	Listen                       string   `json:",omitempty"`
	Servers                      []string `json:",omitempty"`
	ServerThumbprints            []string
	ApplicationsDir              string
	// Machine is the server's view, where there is an API key.
	Machine client.Document `json:",omitempty"`
}

func load(c *console.Console, home string) (local, error) {
	config, err := agent.LoadConfig(home)
	if err != nil {
		return local{}, err
	}
	identity, err := agent.Identity(home, config.Name, c.Now(), rand.Reader)
	if err != nil {
		return local{}, err
	}
	return local{
		Home: home, Name: config.Name, Mode: string(config.Mode), Thumbprint: identity.Thumbprint(), Listen: config.Listen,
		Servers: config.Servers, ServerThumbprints: config.ServerThumbprints, ApplicationsDir: config.ApplicationsDir,
	}, nil
}

// machine is the registered machine with this agent's key; a machine that has
// only its name is another one.
func machine(ctx context.Context, cl *client.Client, l local) (client.Document, error) {
	doc, err := kind.Machine().Find(ctx, cl, l.Name)
	if err != nil {
		return nil, err
	}
	var endpoint struct{ Thumbprint string }
	if err := doc.DecodeField("Endpoint", &endpoint); err != nil {
		return nil, err
	}
	if !strings.EqualFold(endpoint.Thumbprint, l.Thumbprint) {
		return nil, resource.Errorf(resource.NotFound, "The machine %q of the server has another key: this agent's was revoked, or never registered.", l.Name)
	}
	return doc, nil
}

func status(c *console.Console) *cobra.Command {
	var home string
	cmd := &cobra.Command{
		Use: "status", Short: "Show this machine's agent, and with an API key how the server sees it",
		Example: "  slipway agent status --format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := load(c, home)
			if err != nil {
				return err
			}
			target, err := c.Target()
			if err != nil {
				return err
			}
			if target.APIKey != "" {
				cl, err := c.Connect(target)
				if err != nil {
					return err
				}
				if l.Machine, err = machine(cmd.Context(), cl, l); err != nil {
					c.Notef("The server's view: %s", console.Printable(err.Error()))
				}
			}
			return c.Print(l.result())
		},
	}
	homeFlag(cmd, &home)
	return cmd
}

func (l local) result() console.Result {
	lines := []string{
		"Name          " + l.Name, "Home          " + l.Home, "Mode          " + l.Mode, "Thumbprint    " + l.Thumbprint,
		"Trusts        " + strings.Join(l.ServerThumbprints, ", "),
	}
	if l.Listen != "" {
		lines = append(lines, "Listens on    "+l.Listen)
	}
	if len(l.Servers) > 0 {
		lines = append(lines, "Connects to   "+strings.Join(l.Servers, ", "))
	}
	if l.Machine != nil {
		lines = append(lines, fmt.Sprintf("Health        %s: %s (%s)", l.Machine.Text("HealthStatus"), l.Machine.Text("StatusSummary"), l.Machine.ID()))
	}
	return console.Result{Lines: lines, Basic: []string{l.Thumbprint}, JSON: l}
}

func deregister(c *console.Console) *cobra.Command {
	var home string
	var yes, keepKey bool
	cmd := &cobra.Command{
		Use: "deregister", Short: "Remove this machine from the server and its key from this machine",
		Example: "  slipway agent deregister --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := load(c, home)
			if err != nil {
				return err
			}
			if err := c.Confirm(yes, "Deregister "+l.Name+"?"); err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := machine(cmd.Context(), cl, l)
			switch {
			case err == nil:
				path, err := cl.Path(cmd.Context(), "machines/"+url.PathEscape(doc.ID()))
				if err != nil {
					return err
				}
				if err := cl.Delete(cmd.Context(), path); err != nil {
					return err
				}
			case resource.CodeOf(err) != resource.NotFound:
				return err
			}
			if !keepKey {
				if err := removeIdentity(home); err != nil {
					return err
				}
			}
			return c.Print(console.Result{
				Lines: []string{"Deregistered " + l.Name + "."}, Basic: []string{l.Name}, JSON: map[string]string{"Name": l.Name, "Id": doc.ID()},
			})
		},
	}
	homeFlag(cmd, &home)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&keepKey, "keep-key", false, "leave key and configuration on this machine")
	return cmd
}
