package rollout

// Event is something that happened to a rollout. At is when, in unix
// milliseconds: the only clock Next knows.
type Event struct {
	At   int64
	Kind EventKind

	Join    *Member  `json:",omitempty"` // Joined
	Cell    *CellKey `json:",omitempty"` // SlotGranted
	Attempt string   `json:",omitempty"` // Started, Ended
	End     *End     `json:",omitempty"` // Ended
	Member  string   `json:",omitempty"` // Lost, Back, Gone
	By      string   `json:",omitempty"` // Cancel: who; Gone: why
	Answer  *Answer  `json:",omitempty"` // Answered; Cell says where it was asked
	// Since is when the owner that looks at the clock began, for Timer: time in
	// which no owner ran is nobody's silence (P2).
	Since int64 `json:",omitempty"`
}

// EventKind says what happened.
type EventKind string

// The events.
const (
	// Joined adds a member: before Begin the machines found at the start, later
	// those that come while it runs.
	Joined EventKind = "Joined"
	// Begin opens the first step.
	Begin EventKind = "Begin"
	// Continue goes on with work that was cut into pieces of constant size.
	Continue EventKind = "Continue"
	// SlotGranted gives a waiting cell its machine.
	SlotGranted EventKind = "SlotGranted"
	// Sending says that the attempt's packages are on their way to its machine.
	Sending EventKind = "Sending"
	// Started says that the agent has journaled the attempt.
	Started EventKind = "Started"
	// Ended brings an attempt's outcome.
	Ended EventKind = "Ended"
	// Lost says that a member's machine has no link to any node; Back that it
	// has one again.
	Lost EventKind = "Lost"
	Back EventKind = "Back"
	// Gone says that a person deleted the machine or that its cloud reports it
	// gone, with the reason in By.
	Gone EventKind = "Gone"
	// Timer says that At has passed.
	Timer EventKind = "Timer"
	// Cancel asks for the end.
	Cancel EventKind = "Cancel"
	// Changed says that a machine may have come into scope or left it. It changes
	// nothing by itself: the engine looks, and folds Joined or Gone.
	Changed EventKind = "Changed"
	// Answered brings a person's answer to an interruption.
	Answered EventKind = "Answered"
)

// End is how an attempt ended, as its agent reported it.
type End struct {
	Outcome   Outcome
	ExitCode  int    `json:",omitempty"`
	Reason    string `json:",omitempty"`
	StartedAt int64  `json:",omitempty"`
	EndedAt   int64  `json:",omitempty"`
	LogLength int64  `json:",omitempty"`
	Warnings  bool   `json:",omitempty"`
	// Retry asks for another try of an attempt that provably did not start and
	// may start later: the machine was busy or its disk full. Without it the
	// attempt's cell has failed: a damaged package is damaged the next time too.
	Retry bool `json:",omitempty"`
	// Restarted says that the end is unknown because the machine was restarted
	// while the attempt ran, and for no other reason (fault 12).
	Restarted bool     `json:",omitempty"`
	Receipt   *Receipt `json:",omitempty"`
	Outputs   []Set    `json:",omitempty"`
}

// Receipt is the part of an agent's receipt that decides.
type Receipt struct {
	Attempt       string
	PackageID     string
	Version       string
	PackageSHA256 string
	InstallDir    string
	Files         int
	// Tree is the SHA-256 over the sorted file list.
	Tree string
}

// Set is an output variable that an attempt set.
type Set struct {
	Name   string
	Value  string `json:",omitempty"` // empty for a secret
	Secret bool   `json:",omitempty"`
	// Index is the variable's place in the agent's report, where the engine
	// finds a secret's sealed value.
	Index int `json:",omitempty"`
	// Box is the sealed value, put in by the engine; it is not recorded.
	Box []byte `json:"-"`
}

// Effect is what has to be done once the changes are committed, or, for the
// local ones, within the same transaction.
type Effect struct {
	Kind    EffectKind
	Attempt string   `json:",omitempty"`
	Machine string   `json:",omitempty"` // the executor
	Cell    *CellKey `json:",omitempty"`
	State   State    `json:",omitempty"` // Finish
	GraceMS int64    `json:",omitempty"` // CancelAttempt
	Note    *Note    `json:",omitempty"`
}

// EffectKind says what has to be done.
type EffectKind string

// The effects. The first group is delivered to agents by the gateway; the
// second is carried out by the engine in the turn's own transaction.
const (
	StartAttempt  EffectKind = "Start"
	CancelAttempt EffectKind = "Cancel"
	ForgetAttempt EffectKind = "Forget"

	// WantSlot queues the cell for its machine; SlotGranted comes back.
	WantSlot EffectKind = "WantSlot"
	// FreeSlot gives the machine up, or leaves the queue.
	FreeSlot EffectKind = "FreeSlot"
	// Withdraw takes back an undelivered start; its SentAt was 0.
	Withdraw EffectKind = "Withdraw"
	// Again asks for a Continue event.
	Again EffectKind = "Again"
	// Finish ends the task.
	Finish EffectKind = "Finish"
	// Say is a line of the task's own log.
	Say EffectKind = "Say"
)

// Local says that the engine carries the effect out within the turn.
func (k EffectKind) Local() bool {
	return k != StartAttempt && k != CancelAttempt && k != ForgetAttempt
}

// Note is a line of the task's log that no agent wrote.
type Note struct {
	Category string // Info, Warning, Error
	Step     int    // -1: the rollout as a whole
	Action   int    // -1: the step as a whole
	Member   string `json:",omitempty"`
	Text     string
}
