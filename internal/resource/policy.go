package resource

import "time"

// MachinePolicy says how the machines under it are checked, reached and
// cleaned up (octopus-api.md 2.16).
type MachinePolicy struct {
	Document
	Name                               string
	Description                        string
	IsDefault                          bool
	MachineHealthCheckPolicy           MachineHealthCheckPolicy
	MachineConnectivityPolicy          MachineConnectivityPolicy
	MachineCleanupPolicy               MachineCleanupPolicy
	MachineUpdatePolicy                MachineUpdatePolicy
	MachinePackageCacheRetentionPolicy PackageCacheRetentionPolicy
	PollingRequestQueueTimeout         TimeSpan
	ConnectionRetrySleepInterval       TimeSpan
	ConnectionRetryCountLimit          int
	ConnectionRetryTimeLimit           TimeSpan
	ConnectionConnectTimeout           TimeSpan

	PollingRequestMaximumMessageProcessingTimeout TimeSpan
}

// MachineHealthCheckPolicy says when and how machines are checked.
type MachineHealthCheckPolicy struct {
	HealthCheckType             string    // RunScript or OnlyConnectivity
	HealthCheckInterval         *TimeSpan // nil: never by itself
	HealthCheckCron             *string
	HealthCheckCronTimezone     string
	BashHealthCheckPolicy       HealthCheckScript
	PowerShellHealthCheckPolicy HealthCheckScript
}

// HealthCheckScript is the script of one kind of shell.
type HealthCheckScript struct {
	RunType    string // InheritFromDefault, Inline or OnlyConnectivity
	ScriptBody *string
}

// MachineConnectivityPolicy says whether a machine may be away.
type MachineConnectivityPolicy struct {
	MachineConnectivityBehavior string // ExpectedToBeOnline or MayBeOfflineAndCanBeSkipped
}

// MachineCleanupPolicy says whether machines that stay away are removed.
type MachineCleanupPolicy struct {
	DeleteMachinesBehavior        string // DoNotDelete or DeleteUnavailableMachines
	DeleteMachinesElapsedTimeSpan TimeSpan
}

// MachineUpdatePolicy says when agents are upgraded.
type MachineUpdatePolicy struct {
	CalamariUpdateBehavior        string // UpdateOnDeployment, UpdateOnNewMachine or UpdateAlways
	TentacleUpdateBehavior        string // NeverUpdate or Update
	TentacleUpdateAccountID       string `json:"TentacleUpdateAccountId,omitempty"`
	KubernetesAgentUpdateBehavior string // Update, NeverUpdate or Block
}

// PackageCacheRetentionPolicy says what a machine keeps of its packages.
type PackageCacheRetentionPolicy struct {
	Strategy                 string // Default or Quantities
	QuantityOfPackagesToKeep *int
	PackageUnit              *string
	QuantityOfVersionsToKeep *int
	VersionUnit              *string
}

// The values that the fleet acts on.
const (
	CheckRunScript        = "RunScript"
	CheckOnlyConnectivity = "OnlyConnectivity"
	ScriptInline          = "Inline"
	ScriptInherit         = "InheritFromDefault"
	MayBeOffline          = "MayBeOfflineAndCanBeSkipped"
	ExpectedOnline        = "ExpectedToBeOnline"
	DeleteNever           = "DoNotDelete"
	DeleteUnavailable     = "DeleteUnavailableMachines"
)

// MachinePolicyKind declares MachinePolicy.
var MachinePolicyKind = &Kind{
	Name: "MachinePolicy", Noun: "machine policy", IDPrefix: "MachinePolicies", Table: "machine_policy", Route: "machinepolicies",
	NameField: "Name", Permission: "MachinePolicy",
	Fields: []Field{{Path: "IsDefault", Column: "is_default", Type: BoolColumn}},
	Order:  []string{"name_key"},
	Links: map[string]string{
		"Machines": "{Space}/machines?machinePolicyIds={Id}",
		"Workers":  "{Space}/workers?machinePolicyIds={Id}",
		"Template": "{Space}/machinepolicies/template",
	},
	New: func() Doc { return new(MachinePolicy) },
}

// Kind implements Doc.
func (p *MachinePolicy) Kind() *Kind { return MachinePolicyKind }

// DefaultMachinePolicy is the policy that a new space starts with, and the
// template of new ones.
func DefaultMachinePolicy() *MachinePolicy {
	interval := TimeSpan(time.Hour)
	p := &MachinePolicy{Name: "Default Machine Policy", IsDefault: true}
	p.MachineHealthCheckPolicy.HealthCheckInterval = &interval
	p.SetDefaults(nil)
	return p
}

// SetDefaults implements Defaulter: all nested policies and time spans have to
// be there, or clients cannot read the list (octopus-api.md 2.16).
func (p *MachinePolicy) SetDefaults(func() string) {
	h := &p.MachineHealthCheckPolicy
	def(&h.HealthCheckType, CheckRunScript)
	def(&h.HealthCheckCronTimezone, "UTC")
	def(&h.BashHealthCheckPolicy.RunType, ScriptInherit)
	def(&h.PowerShellHealthCheckPolicy.RunType, ScriptInherit)
	def(&p.MachineConnectivityPolicy.MachineConnectivityBehavior, ExpectedOnline)
	def(&p.MachineCleanupPolicy.DeleteMachinesBehavior, DeleteNever)
	def(&p.MachineUpdatePolicy.CalamariUpdateBehavior, "UpdateOnDeployment")
	def(&p.MachineUpdatePolicy.TentacleUpdateBehavior, "NeverUpdate")
	def(&p.MachineUpdatePolicy.KubernetesAgentUpdateBehavior, "NeverUpdate")
	def(&p.MachinePackageCacheRetentionPolicy.Strategy, "Default")
	for span, value := range map[*TimeSpan]time.Duration{
		&p.PollingRequestQueueTimeout:                    2 * time.Minute,
		&p.PollingRequestMaximumMessageProcessingTimeout: 10 * time.Minute,
		&p.ConnectionRetrySleepInterval:                  time.Second,
		&p.ConnectionRetryTimeLimit:                      5 * time.Minute,
		&p.ConnectionConnectTimeout:                      time.Minute,
	} {
		if *span == 0 {
			*span = TimeSpan(value)
		}
	}
	if p.ConnectionRetryCountLimit == 0 {
		p.ConnectionRetryCountLimit = 5
	}
}

// Validate implements Doc.
func (p *MachinePolicy) Validate() error {
	h := &p.MachineHealthCheckPolicy
	err := first(CheckName("machine policy", p.Name, MaxName), CheckText("Description", p.Description),
		oneOf("HealthCheckType", h.HealthCheckType, CheckRunScript, CheckOnlyConnectivity),
		h.BashHealthCheckPolicy.validate("BashHealthCheckPolicy"),
		h.PowerShellHealthCheckPolicy.validate("PowerShellHealthCheckPolicy"),
		oneOf("MachineConnectivityBehavior", p.MachineConnectivityPolicy.MachineConnectivityBehavior, ExpectedOnline, MayBeOffline),
		oneOf("DeleteMachinesBehavior", p.MachineCleanupPolicy.DeleteMachinesBehavior, DeleteNever, DeleteUnavailable))
	if err != nil {
		return err
	}
	if h.HealthCheckInterval != nil && *h.HealthCheckInterval < 0 {
		return invalid("HealthCheckInterval", "HealthCheckInterval cannot be negative.")
	}
	if p.ConnectionConnectTimeout < 0 || p.ConnectionRetryTimeLimit < 0 || p.ConnectionRetrySleepInterval < 0 || p.ConnectionRetryCountLimit < 0 {
		return invalid("ConnectionConnectTimeout", "Time spans and limits of a machine policy cannot be negative.")
	}
	return nil
}

func (s HealthCheckScript) validate(field string) error {
	if s.ScriptBody != nil {
		if err := CheckText(field, *s.ScriptBody); err != nil {
			return err
		}
	}
	return oneOf(field+".RunType", s.RunType, ScriptInherit, ScriptInline, CheckOnlyConnectivity)
}
