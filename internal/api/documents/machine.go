package documents

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) machines() []api.Route {
	k := resource.MachineKind
	routes := append(a.crud(k, options{}), a.crud(resource.WorkerKind, options{})...)
	routes = append(routes, a.crud(resource.MachinePolicyKind, options{})...)
	return append(routes,
		api.ForKind(http.MethodGet, "/machines/discover", authz.MachineCreate, "Ask an agent who it is", k, api.One, nil, a.discover).With("host", "port", "type", "proxyId"),
		api.Get("/machines/{id}/connection", authz.MachineView, "How a machine was reached last", func(c *api.Call) (Connection, error) { return a.connection(c, k) }),
		api.Get("/workers/{id}/connection", must(resource.WorkerKind, authz.View), "How a worker was reached last", func(c *api.Call) (Connection, error) {
			return a.connection(c, resource.WorkerKind)
		}),
		api.Get("/machineroles/all", authz.MachineView, "The target tags in use", func(c *api.Call) ([]string, error) {
			return a.docs.Roles(c.Context(), c.Caller, c.Space)
		}),
		a.reported("/machines/operatingsystem/names/all", k, "The operating systems of the machines", false),
		a.reported("/machines/operatingsystem/shells/all", k, "The shells of the machines", true),
		a.reported("/workers/operatingsystem/names/all", resource.WorkerKind, "The operating systems of the workers", false),
		a.reported("/workers/operatingsystem/shells/all", resource.WorkerKind, "The shells of the workers", true),
		api.ForKind(http.MethodGet, "/machinepolicies/template", authz.MachinePolicyView, "A machine policy with its defaults", resource.MachinePolicyKind, api.One, nil, policyTemplate),
	)
}

func (a *area) reported(pattern string, k *resource.Kind, summary string, shells bool) api.Route {
	return api.Get(pattern, must(k, authz.View), summary, func(c *api.Call) ([]string, error) {
		if shells {
			return a.docs.Shells(c.Context(), c.Caller, k, c.Space)
		}
		return a.docs.OperatingSystems(c.Context(), c.Caller, k, c.Space)
	})
}

func (a *area) discover(c *api.Call, _ resource.Doc) (any, error) {
	if style := c.Text("type"); style != "" && !strings.EqualFold(style, string(resource.StylePassive)) {
		return nil, resource.Errorf(resource.Invalid, "Machines of type '%.40s' cannot be discovered. Only agents that listen can: %s.", style, resource.StylePassive)
	}
	if c.Has("proxyId") {
		return nil, resource.Errorf(resource.Invalid, "This version has no proxies. Leave proxyId out.")
	}
	port := 10933
	if text := c.Text("port"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, resource.Errorf(resource.Invalid, "'%.20s' is not a port. Please give a number such as 10933.", text)
		}
		port = n
	}
	m, err := a.docs.Discover(c.Context(), c.Caller, c.Space, c.Text("host"), port)
	if err != nil {
		return nil, err
	}
	item := api.ItemOf(m)
	item.Links = api.Links{}
	return item, nil
}

// Connection says how a machine was reached last (octopus-api.md 2.15).
type Connection struct {
	ID                     string `json:"Id"`
	MachineID              string `json:"MachineId"`
	Status                 string
	CurrentTentacleVersion string
	LastChecked            resource.Time
	Logs                   []ConnectionLog
	Links                  api.Links
}

// ConnectionLog is one line of it.
type ConnectionLog struct {
	Category    string
	OccurredAt  resource.Time
	MessageText string
	Detail      *string
}

func (a *area) connection(c *api.Call, k *resource.Kind) (Connection, error) {
	doc, err := a.docs.Get(c.Context(), c.Caller, k, c.Space, c.Param("id"))
	if err != nil {
		return Connection{}, err
	}
	node := nodeOf(doc)
	category := "Info"
	if node.HealthStatus == resource.Unhealthy || node.HealthStatus == resource.HealthUnavailable {
		category = "Error"
	}
	return Connection{
		ID: node.ID, MachineID: node.ID, Status: node.Status, CurrentTentacleVersion: node.AgentVersion, LastChecked: node.HealthCheckedOn,
		Logs:  []ConnectionLog{{Category: category, OccurredAt: node.HealthCheckedOn, MessageText: node.StatusSummary}},
		Links: api.Links{"Self": c.Path(), "Machine": api.PathOf(doc)},
	}, nil
}

func nodeOf(doc resource.Doc) *resource.Node {
	if w, ok := doc.(*resource.Worker); ok {
		return &w.Node
	}
	return &to[resource.Machine](doc).Node
}

const sampleCheck = `# Ends with an error when the machine is not fit for work.
echo "Disk:"; df -h / | tail -n 1
`

func policyTemplate(c *api.Call, _ resource.Doc) (any, error) {
	policy := resource.DefaultMachinePolicy()
	policy.Name, policy.IsDefault, policy.SpaceID = "", false, c.Space
	script := sampleCheck
	policy.MachineHealthCheckPolicy.BashHealthCheckPolicy.ScriptBody = &script
	power := "Get-PSDrive -PSProvider FileSystem | Format-Table Name, Used, Free\n"
	policy.MachineHealthCheckPolicy.PowerShellHealthCheckPolicy.ScriptBody = &power
	item := api.ItemOf(policy)
	item.Links = api.Links{"Self": c.Path()}
	return item, nil
}
