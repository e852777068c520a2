// Package node is the noun `node`: the servers that use one database together,
// and draining one of them.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// collection is where the API has the nodes.
const collection = "/api/octopusservernodes"

// Node is a server as the API has it.
type Node struct {
	ID            string `json:"Id"`
	Name          string
	State         string // Online, Draining, Drained, Offline
	Version       string
	Started       string
	LastSeen      string `json:",omitempty"`
	DrainingSince string `json:",omitempty"`
	Rollouts      int
	Sessions      int
}

// Command is `slipway node`.
func Command(c *console.Console) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Aliases: []string{"nodes"}, Short: "Servers that use one database together"}
	cmd.AddCommand(list(c), drain(c))
	return cmd
}

func list(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the servers: which live, are drained, and what they have",
		Example: "  slipway node list\n  slipway node list --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			nodes, err := client.List[Node](cmd.Context(), cl, collection, nil, 0)
			if err != nil {
				return err
			}
			return c.Print(table(nodes))
		},
	}
}

func table(nodes []Node) console.Result {
	result := console.Result{JSON: nodes, Columns: []string{"NAME", "STATE", "VERSION", "ROLLOUTS", "AGENTS", "LAST SEEN"}}
	for i := range nodes {
		n := &nodes[i]
		seen := n.LastSeen
		if at, err := time.Parse(time.RFC3339Nano, seen); err == nil {
			seen = at.Format(time.RFC3339)
		}
		result.Basic = append(result.Basic, n.Name)
		result.Rows = append(result.Rows, []string{
			console.Printable(n.Name), n.State, console.Printable(n.Version), strconv.Itoa(n.Rollouts), strconv.Itoa(n.Sessions), seen,
		})
	}
	return result
}

func drain(c *console.Console) *cobra.Command {
	var back, wait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "drain NAME", Short: "Let a server hand over all it does, before an upgrade or for good",
		Long: "Let a server hand over all it does: it takes no new deployment, other servers go on with those that\n" +
			"run, and its agents connect to them. Scripts on machines go on meanwhile. Where there is no other\n" +
			"server it goes on with what runs, and starts nothing new. A server that was restarted is not drained\n" +
			"any more.",
		Example: "  slipway node drain one --wait\n  slipway node drain one --cancel",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if back && wait {
				return console.Usagef("give either --cancel or --wait")
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			path := collection + "/" + url.PathEscape(args[0])
			var n Node
			if err := cl.Put(cmd.Context(), path, map[string]any{"IsInMaintenanceMode": !back}, &n); err != nil {
				return err
			}
			if wait {
				if n, err = drained(cmd.Context(), cl, path, limit); err != nil {
					return err
				}
			}
			result := table([]Node{n})
			result.Columns, result.Rows, result.JSON = nil, nil, n
			result.Lines = []string{said(&n)}
			return c.Print(result)
		},
	}
	cmd.Flags().BoolVar(&back, "cancel", false, "let it take work again")
	cmd.Flags().BoolVar(&wait, "wait", false, "return once it has nothing left and may be stopped")
	cmd.Flags().DurationVar(&limit, "timeout", 5*time.Minute, "how long --wait waits")
	return cmd
}

func said(n *Node) string {
	name := console.Printable(n.Name)
	switch n.State {
	case "Drained":
		return fmt.Sprintf("The server %s has nothing left and may be stopped.", name)
	case "Draining":
		return fmt.Sprintf("The server %s hands over %d rollouts and lets %d agents go.", name, n.Rollouts, n.Sessions)
	case "Offline":
		return fmt.Sprintf("The server %s does not run.", name)
	}
	return fmt.Sprintf("The server %s takes work.", name)
}

// drained waits until the server has nothing left.
func drained(ctx context.Context, cl *client.Client, path string, limit time.Duration) (n Node, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("not drained in time"))
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := cl.Get(ctx, path, nil, &n); err != nil && ctx.Err() == nil {
			return n, err
		}
		if n.State == "Drained" || n.State == "Offline" {
			return n, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n, fmt.Errorf("%w: %s Is there another server? See `slipway node list`", context.Cause(ctx), said(&n))
		}
	}
}
