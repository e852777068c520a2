package system

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// nodePrefix is what a node's id begins with; its name follows.
const nodePrefix = "OctopusServerNodes-"

func (a *area) nodes() []api.Route {
	return []api.Route{
		api.Get("/octopusservernodes", authz.ConfigureServer, "The servers that use the database together", a.listNodes).Paged().With("ids", "partialName").At(route.Global),
		api.Get("/octopusservernodes/summary", authz.ConfigureServer, "The servers in short", a.nodeSummary).At(route.Global),
		api.Get("/octopusservernodes/{id}", authz.ConfigureServer, "Get a server", a.node).At(route.Global),
		api.Put("/octopusservernodes/{id}", authz.ConfigureServer, "Drain a server (IsInMaintenanceMode), or let it take work again", a.drain).At(route.Global),
	}
}

// The states of a node.
const (
	nodeOnline   = "Online"
	nodeDraining = "Draining" // it still has work, or agents
	nodeDrained  = "Drained"  // it may be stopped
	nodeOffline  = "Offline"
)

// Node is one of the servers that use the database together. Drained ones have
// IsInMaintenanceMode, as Octopus calls it.
type Node struct {
	ID                  string `json:"Id"`
	Name                string
	State               string // Online, Draining, Drained or Offline
	Version             string
	IsOffline           bool
	IsInMaintenanceMode bool
	// MaxConcurrentTasks is 0: there is no limit.
	MaxConcurrentTasks int
	Started            string
	LastSeen           string `json:",omitempty"`
	DrainingSince      string `json:",omitempty"`
	// Rollouts is how many rollouts that run the server drives, and Sessions to
	// how many agents it is linked.
	Rollouts int
	Sessions int
	Links    api.Links
}

func nodeOf(n *documents.Node) Node {
	out := Node{
		ID: nodePrefix + n.Name, Name: n.Name, Version: n.Version, IsOffline: !n.Alive, IsInMaintenanceMode: n.Draining > 0,
		Started: moment(n.StartedAt), LastSeen: moment(n.LastSeen), DrainingSince: moment(n.Draining), Rollouts: n.Rollouts, Sessions: n.Sessions,
		Links: api.Links{"Self": "/api/octopusservernodes/" + nodePrefix + url.PathEscape(n.Name)},
	}
	switch {
	case !n.Alive:
		out.State = nodeOffline
	case n.Draining == 0:
		out.State = nodeOnline
	case n.Rollouts+n.Sessions > 0:
		out.State = nodeDraining
	default:
		out.State = nodeDrained
	}
	return out
}

func moment(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
}

func (a *area) allNodes(c *api.Call) ([]Node, error) {
	list, err := a.Docs.Nodes(c.Context(), c.Caller)
	items := make([]Node, 0, len(list))
	for i := range list {
		items = append(items, nodeOf(&list[i]))
	}
	return items, err
}

func (a *area) listNodes(c *api.Call) (api.Collection[Node], error) {
	items, err := a.allNodes(c)
	ids, part := c.List("ids"), strings.ToLower(c.Text("partialName"))
	items = slices.DeleteFunc(items, func(n Node) bool {
		return len(ids) > 0 && !slices.Contains(ids, n.ID) || !strings.Contains(strings.ToLower(n.Name), part)
	})
	return api.SliceOf(c, "OctopusServerNode", items), err
}

// NodeSummary is all servers in short.
type NodeSummary struct {
	Nodes []Node
	Links api.Links
}

func (a *area) nodeSummary(c *api.Call) (NodeSummary, error) {
	items, err := a.allNodes(c)
	return NodeSummary{Nodes: items, Links: api.Links{"Self": "/api/octopusservernodes/summary"}}, err
}

// nodeName is the name in the route's id, with or without its prefix.
func nodeName(c *api.Call) string {
	id := c.Param("id")
	if len(id) > len(nodePrefix) && strings.EqualFold(id[:len(nodePrefix)], nodePrefix) {
		return id[len(nodePrefix):]
	}
	return id
}

func (a *area) node(c *api.Call) (Node, error) {
	n, err := a.Docs.Node(c.Context(), c.Caller, nodeName(c))
	return nodeOf(&n), err
}

// NodeChange is what can be changed of a server.
type NodeChange struct {
	// IsInMaintenanceMode drains it: it takes no new deployment, hands over those
	// that run, and lets its agents go to other servers.
	IsInMaintenanceMode *bool
}

func (a *area) drain(c *api.Call, in NodeChange) (Node, error) {
	if in.IsInMaintenanceMode == nil {
		return Node{}, resource.Errorf(resource.Invalid, "Say with IsInMaintenanceMode whether the server is to be drained.")
	}
	if err := a.Docs.Drain(c.Context(), c.Caller, nodeName(c), *in.IsInMaintenanceMode); err != nil {
		return Node{}, err
	}
	return a.node(c)
}
