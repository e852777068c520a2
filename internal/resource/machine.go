package resource

import "strings"

// The values of Machine.HealthStatus and Status (octopus-api.md 2.15).
const (
	HealthUnknown     = "Unknown"
	Healthy           = "Healthy"
	HealthWarnings    = "HasWarnings"
	Unhealthy         = "Unhealthy"
	HealthUnavailable = "Unavailable"

	StatusOnline   = "Online"
	StatusOffline  = "Offline"
	StatusUnknown  = "Unknown"
	StatusDisabled = "Disabled"
)

// Node is what machines and workers have in common: who answers, where, and
// how it last was.
type Node struct {
	Document
	Name                   string
	Slug                   string
	IsDisabled             bool
	MachinePolicyID        string `json:"MachinePolicyId"`
	Endpoint               Endpoint
	Thumbprint             string // mirrors the endpoint's where it has one
	URI                    string `json:"Uri"` // mirrors the endpoint's where it has one
	HealthStatus           string
	HealthCheckedOn        Time   `json:",omitzero"`
	Status                 string // StatusDisabled while IsDisabled
	StatusSummary          string
	HasLatestCalamari      bool
	IsInProcess            bool
	OperatingSystem        string
	ShellName              string
	ShellVersion           string
	Architecture           string `json:",omitempty"`
	AgentVersion           string `json:",omitempty"`
	SkipInitialHealthCheck bool
	// KeySha256 pins the agent's public key: SHA-256 of its SubjectPublicKeyInfo,
	// lower-case hex. Empty until the first connection that the thumbprint
	// vouches for (design 6).
	KeySha256 string `json:",omitempty"`
	// CloudInstance is the machine as its cloud names it, such as
	// "aws/123456789012/eu-west-1/i-0abc"; empty for machines of no cloud.
	CloudInstance string `json:",omitempty"`
}

// Machine is a deployment target: a machine that steps run on by its roles
// (octopus-api.md 2.15).
type Machine struct {
	Node
	EnvironmentIDs                  []string `json:"EnvironmentIds"`
	Roles                           []string
	TenantedDeploymentParticipation string
	TenantIDs                       []string `json:"TenantIds"`
	TenantTags                      []string
}

// Worker runs steps that are not for the machines of a role. Fields are those
// of Machine, with pools instead of environments and roles.
type Worker struct {
	Node
	WorkerPoolIDs []string `json:"WorkerPoolIds"`
}

func nodeFields(more ...Field) []Field {
	return append([]Field{
		{Path: "MachinePolicyId", Column: "machine_policy_id", Ref: "MachinePolicy"},
		{Path: "IsDisabled", Column: "is_disabled", Type: BoolColumn},
		{Path: "HealthStatus", Column: "health_status"},
		{Path: "Endpoint.CommunicationStyle", Column: "communication_style"},
		{Path: "Thumbprint", Column: "thumbprint", Type: FoldColumn},
		{Path: "Uri", Column: "uri", Type: FoldColumn},
		{Path: "KeySha256", Column: "key_sha256"},
		{Path: "CloudInstance", Column: "cloud_instance"},
		{Path: "ShellName", Column: "shell_name"},
		{Path: "OperatingSystem", Column: "operating_system"},
	}, more...)
}

// MachineKind declares Machine.
var MachineKind = &Kind{
	Name: "Machine", Noun: "machine", IDPrefix: "Machines", Table: "machine", Route: "machines",
	NameField: "Name", Slug: true, Permission: "Machine",
	Fields: nodeFields(
		Field{Path: "EnvironmentIds", List: true, Ref: "Environment"},
		Field{Path: "Roles", List: true, Type: FoldColumn},
		Field{Path: "TenantIds", List: true},
		Field{Path: "TenantTags", List: true, Type: FoldColumn},
	),
	Order: []string{"name_key"},
	Filters: map[string]string{
		"roles": "Roles", "isDisabled": "IsDisabled", "healthStatuses": "HealthStatus",
		"commStyles": "Endpoint.CommunicationStyle", "tenantIds": "TenantIds", "tenantTags": "TenantTags",
		"environmentIds": "EnvironmentIds", "thumbprint": "Thumbprint", "shellNames": "ShellName",
		"deploymentTargetTypes": "Endpoint.CommunicationStyle", "machinePolicyIds": "MachinePolicyId",
	},
	Links: map[string]string{
		"Connection":          "{Self}/connection",
		"TasksTemplate":       "{Self}/tasks{?skip,take,type}",
		"DeploymentsTemplate": "{Self}/deployments{?skip,take}",
		"Web":                 "/app#/{SpaceId}/infrastructure/machines/{Id}",
	},
	New: func() Doc { return new(Machine) },
}

// WorkerKind declares Worker.
var WorkerKind = &Kind{
	Name: "Worker", Noun: "worker", IDPrefix: "Workers", Table: "worker", Route: "workers",
	NameField: "Name", Slug: true, Permission: "Worker",
	Fields: nodeFields(Field{Path: "WorkerPoolIds", List: true, Ref: "WorkerPool"}),
	Order:  []string{"name_key"},
	Filters: map[string]string{
		"isDisabled": "IsDisabled", "healthStatuses": "HealthStatus", "commStyles": "Endpoint.CommunicationStyle",
		"workerPoolIds": "WorkerPoolIds", "thumbprint": "Thumbprint", "shellNames": "ShellName",
	},
	Links: map[string]string{
		"Connection":    "{Self}/connection",
		"TasksTemplate": "{Self}/tasks{?skip,take,type}",
		"Web":           "/app#/{SpaceId}/infrastructure/workers/{Id}",
	},
	New: func() Doc { return new(Worker) },
}

// Kind implements Doc.
func (m *Machine) Kind() *Kind { return MachineKind }

// Kind implements Doc.
func (w *Worker) Kind() *Kind { return WorkerKind }

// SlugField implements Slugged.
func (n *Node) SlugField() *string { return &n.Slug }

// EachSecret implements Secretive.
func (n *Node) EachSecret(visit func(string, *Sensitive)) {
	visit("Endpoint/"+endpointPassword, &n.Endpoint.Password)
}

func (n *Node) setDefaults() {
	n.Endpoint.setDefaults()
	if n.Endpoint.Thumbprint != "" {
		n.Thumbprint = n.Endpoint.Thumbprint
	}
	if n.Endpoint.URI != "" {
		n.URI = n.Endpoint.URI
	}
	def(&n.HealthStatus, HealthUnknown)
	n.Status = n.status()
	def(&n.StatusSummary, "This machine has not been checked yet.")
}

func (n *Node) status() string {
	switch {
	case n.IsDisabled:
		return StatusDisabled
	case n.HealthStatus == Healthy, n.HealthStatus == HealthWarnings, n.HealthStatus == Unhealthy:
		return StatusOnline
	case n.HealthStatus == HealthUnavailable:
		return StatusOffline
	}
	return StatusUnknown
}

func (n *Node) validate(noun string) error {
	if err := CheckName(noun, n.Name, MaxName); err != nil {
		return err
	}
	if n.MachinePolicyID == "" {
		return invalid("MachinePolicyId", "Please choose a machine policy for this %s.", noun)
	}
	err := oneOf("HealthStatus", n.HealthStatus, HealthUnknown, Healthy, HealthWarnings, Unhealthy, HealthUnavailable)
	return first(err, n.Endpoint.validate())
}

// SetDefaults implements Defaulter.
func (m *Machine) SetDefaults(func() string) {
	m.setDefaults()
	m.EnvironmentIDs = list(m.EnvironmentIDs)
	m.Roles = trimmed(m.Roles)
	m.TenantIDs = list(m.TenantIDs)
	m.TenantTags = list(m.TenantTags)
	def(&m.TenantedDeploymentParticipation, Untenanted)
}

// trimmed drops empty and repeated entries (compared folded), keeping order.
func trimmed(in []string) []string {
	out := make([]string, 0, len(in))
	seen := map[string]bool{}
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" && !seen[Fold(s)] {
			seen[Fold(s)] = true
			out = append(out, s)
		}
	}
	return out
}

// HasRole says whether the machine has one of the roles; roles are compared
// folded.
func (m *Machine) HasRole(roles ...string) bool {
	for _, have := range m.Roles {
		for _, want := range roles {
			if Fold(have) == Fold(want) {
				return true
			}
		}
	}
	return false
}

// Validate implements Doc.
func (m *Machine) Validate() error {
	if err := m.validate("machine"); err != nil {
		return err
	}
	if len(m.EnvironmentIDs) == 0 {
		return invalid("EnvironmentIds", "Please put this machine into at least one environment.")
	}
	if len(m.Roles) == 0 {
		return invalid("Roles", "Please give this machine at least one target tag (role).")
	}
	for _, role := range m.Roles {
		if err := CheckName("target tag", role, MaxName); err != nil {
			return err
		}
		if strings.Contains(role, ",") {
			return invalid("Roles", "The target tag '%s' has a comma, which separates tags elsewhere. Please remove it.", role)
		}
	}
	return oneOf("TenantedDeploymentParticipation", m.TenantedDeploymentParticipation, Untenanted, TenantedOrUntenanted, Tenanted)
}

// SetDefaults implements Defaulter.
func (w *Worker) SetDefaults(func() string) {
	w.setDefaults()
	w.WorkerPoolIDs = list(w.WorkerPoolIDs)
}

// Validate implements Doc.
func (w *Worker) Validate() error {
	if err := w.validate("worker"); err != nil {
		return err
	}
	if len(w.WorkerPoolIDs) == 0 {
		return invalid("WorkerPoolIds", "Please put this worker into at least one worker pool.")
	}
	return nil
}

// WorkerPool gathers workers (octopus-api.md, worker pools).
type WorkerPool struct {
	Document
	Name           string
	Slug           string
	Description    string
	WorkerPoolType string // StaticWorkerPool
	WorkerType     string `json:",omitempty"`
	IsDefault      bool
	SortOrder      int
	CanAddWorkers  bool
}

// WorkerPoolKind declares WorkerPool.
var WorkerPoolKind = &Kind{
	Name: "WorkerPool", Noun: "worker pool", IDPrefix: "WorkerPools", Table: "worker_pool", Route: "workerpools",
	NameField: "Name", Slug: true, Permission: "Worker",
	Fields: []Field{
		{Path: "IsDefault", Column: "is_default", Type: BoolColumn},
		{Path: "SortOrder", Column: "sort_order", Type: IntColumn},
	},
	Order: []string{"sort_order", "name_key"},
	Links: map[string]string{"Workers": "{Self}/workers{?skip,take,partialName}"},
	New:   func() Doc { return new(WorkerPool) },
}

// Kind implements Doc.
func (p *WorkerPool) Kind() *Kind { return WorkerPoolKind }

// SlugField implements Slugged.
func (p *WorkerPool) SlugField() *string { return &p.Slug }

// SetDefaults implements Defaulter.
func (p *WorkerPool) SetDefaults(func() string) {
	def(&p.WorkerPoolType, "StaticWorkerPool")
	p.CanAddWorkers = p.WorkerPoolType == "StaticWorkerPool"
}

// Validate implements Doc.
func (p *WorkerPool) Validate() error {
	return first(CheckName("worker pool", p.Name, MaxName), CheckText("Description", p.Description),
		oneOf("WorkerPoolType", p.WorkerPoolType, "StaticWorkerPool", "DynamicWorkerPool"))
}
