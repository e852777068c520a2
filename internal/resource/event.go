package resource

// Actor is who does something, and how he came in.
type Actor struct {
	UserID          string
	Username        string
	IsService       bool
	EstablishedWith string // "API key …", "Session cookie", "" for the server itself
	UserAgent       string
	IPAddress       string
}

// SystemActor is the server acting by itself.
func SystemActor() Actor { return Actor{UserID: "users-system", Username: "system", IsService: true} }

// Event is one entry of the audit (octopus-api.md 2.20). Events are only ever
// added.
type Event struct {
	ID                      string `json:"Id"`
	SpaceID                 string `json:"SpaceId"`
	Category                string
	UserID                  string `json:"UserId"`
	Username                string
	IsService               bool
	IdentityEstablishedWith string
	UserAgent               string
	IPAddress               string `json:"IpAddress"`
	Occurred                Time
	Message                 string
	MessageHTML             string `json:"MessageHtml"`
	MessageReferences       []MessageReference
	RelatedDocumentIDs      []string `json:"RelatedDocumentIds"`
	Comments                *string
	Details                 *string
	ChangeDetails           ChangeDetails
}

// MessageReference says which part of an event's message names a document:
// start and length in characters as JavaScript counts them (UTF-16).
type MessageReference struct {
	ReferencedDocumentID string `json:"ReferencedDocumentId"`
	StartIndex           int
	Length               int
}

// ChangeDetails is what an event changed.
type ChangeDetails struct {
	DocumentContext any
	Differences     []Difference
}

// Difference is one changed place of a document, as in a JSON patch (RFC 6902)
// with the former value beside it.
type Difference struct {
	Op    string `json:"op"`   // add, remove or replace
	Path  string `json:"path"` // a JSON pointer
	Value any    `json:"value,omitempty"`
	From  any    `json:"from,omitempty"`
}

// The event categories that Slipway writes (octopus-api.md 2.20).
const (
	EventCreated             = "Created"
	EventModified            = "Modified"
	EventDeleted             = "Deleted"
	EventDeploymentQueued    = "DeploymentQueued"
	EventDeploymentStarted   = "DeploymentStarted"
	EventDeploymentSucceeded = "DeploymentSucceeded"
	EventDeploymentFailed    = "DeploymentFailed"
	EventDeploymentResumed   = "DeploymentResumed"
	EventGuidedFailure       = "GuidedFailureInterruptionRaised"
	EventManualIntervention  = "ManualInterventionInterruptionRaised"
	EventInterruptionTaken   = "InterruptionResponsibilityTaken"
	EventInterruptionAnswer  = "InterruptionSubmitted"
	EventTaskCanceled        = "TaskCanceled"
	EventTaskQueued          = "TaskQueued"
	EventTaskSucceeded       = "TaskSucceeded"
	EventTaskFailed          = "TaskFailed"
	EventTaskStateChanged    = "TaskStateChanged"
	EventMachineHealthy      = "MachineHealthy"
	EventMachineUnhealthy    = "MachineUnhealthy"
	EventMachineUnavailable  = "MachineUnavailable"
	EventMachineAdded        = "MachineAdded"
	EventMachineDeleted      = "MachineDeleted"
	EventMachineEnabled      = "MachineEnabled"
	EventMachineDisabled     = "MachineDisabled"
	EventLoginSucceeded      = "LoginSucceeded"
	EventLoginFailed         = "LoginFailed"
	EventAPIKeyCreated       = "ApiKeyCreated"
	EventAPIKeyRevoked       = "ApiKeyRevoked"
	EventPackageUploaded     = "PackageUploaded"
	EventPackageDeleted      = "PackageDeleted"
	EventRefused             = "Refused"
)

// EventCategories are all of them, in order.
func EventCategories() []string {
	return []string{
		EventAPIKeyCreated, EventAPIKeyRevoked, EventCreated, EventDeleted, EventDeploymentFailed, EventDeploymentQueued,
		EventDeploymentResumed, EventDeploymentStarted, EventDeploymentSucceeded, EventGuidedFailure, EventInterruptionTaken, EventInterruptionAnswer,
		EventLoginFailed, EventLoginSucceeded,
		EventMachineAdded, EventMachineDeleted, EventMachineDisabled, EventMachineEnabled, EventMachineHealthy,
		EventMachineUnavailable, EventMachineUnhealthy, EventManualIntervention, EventModified, EventPackageDeleted, EventPackageUploaded, EventRefused,
		EventTaskCanceled, EventTaskFailed, EventTaskQueued, EventTaskStateChanged, EventTaskSucceeded,
	}
}
