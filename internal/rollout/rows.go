package rollout

// State says where a rollout is.
type State string

// The states of a rollout; the last three are terminal.
const (
	Queued    State = "Queued"
	Running   State = "Running"
	Canceling State = "Canceling"
	Succeeded State = "Succeeded"
	Failed    State = "Failed"
	Canceled  State = "Canceled"
)

// Terminal says that the state never changes again.
func (s State) Terminal() bool { return s == Succeeded || s == Failed || s == Canceled }

// Row is the rollout's own row: what changes as it runs.
type Row struct {
	ID    string
	State State
	// Step is the index of the open step; len(plan.Steps) once all are closed.
	Step int
	// Members is how many machines joined, the worker not among them; NextOrd
	// the order given to the next one.
	Members int
	NextOrd int64
	// Failures counts failed cells, Stopped the steps that were stopped by
	// theirs, Unavailable the members that did not answer, Gone those that left.
	Failures    int
	Stopped     int
	Unavailable int
	Gone        int
	Warnings    int
	// Tracking counts the members that joined while it ran and are not yet
	// through the steps that were closed by then.
	Tracking int
	// OpenCells counts cells that are Waiting, Running or Interrupted.
	OpenCells int
	// Outputs is the number of output variables stored so far: a prefix that an
	// attempt's payload names (design 5.7).
	Outputs int
	// CanceledBy says who asked for the end; CancelAfter is how far the cancel
	// has come through the open cells, CancelDone that it has seen all.
	CanceledBy  string
	CancelAfter *CellKey `json:",omitempty"`
	CancelDone  bool
	Error       string
	// Interruptions counts the questions asked so far.
	Interruptions int
	// DueAt is when the first time limit of an open step ends, unix
	// milliseconds; 0 means never.
	DueAt int64
}

// StepState says where a step is.
type StepState string

// The states of a step.
const (
	StepPending   StepState = "Pending"
	StepOpen      StepState = "Open"
	StepSucceeded StepState = "Succeeded"
	StepFailed    StepState = "Failed"
	StepSkipped   StepState = "Skipped"
	StepCanceled  StepState = "Canceled"
)

// StepRow is one step of one rollout, with the counters that spare Next a scan
// of the members.
type StepRow struct {
	Index int
	State StepState
	// Scope counts the live members in the step's roles.
	Scope int
	// Cursor is the order of the last member that was looked at for admission.
	Cursor int64
	// Exhausted: no member after Cursor is left to admit.
	Exhausted bool
	// Opened is the order of the last member when the step opened: those above
	// came later. Late is the last of them that was let in before its turn.
	Opened int64
	Late   int64
	// Active counts members with an open cell here; Done and Failed those that
	// went through.
	Active int
	Done   int
	Failed int
	// Stopped: more machines failed than the step tolerates, or its time is up;
	// no further member is admitted.
	Stopped bool
	// DueAt is when the step's time is up, unix milliseconds; 0 means never.
	// From then on Ending is set, and EndAfter is the last cell that was ended.
	DueAt    int64
	Ending   bool
	EndAfter *CellKey `json:",omitempty"`
	// Zone is that of the machines that are worked on, in a step by zones.
	Zone string
	// Once holds, per run-once action, the member that runs it; "" and "*" when
	// that one left before it had started, and another is looked for.
	Once      map[int]string `json:",omitempty"`
	StartedAt int64
	EndedAt   int64
	Reason    string // why it was skipped, or the first failure
}

// MemberState says whether a machine takes part.
type MemberState string

// The states of a member; all but Live are terminal.
const (
	MemberLive        MemberState = "Live"
	MemberNotDeployed MemberState = "NotDeployed" // did not answer in time
	MemberSuperseded  MemberState = "Superseded"  // deleted by a person, or gone as its cloud says
	MemberExcluded    MemberState = "Excluded"    // taken out by a person's answer
)

// Member is a machine in a rollout. Its facts are those of the join.
type Member struct {
	ID     string
	Ord    int64
	Name   string
	Roles  []string
	Worker bool
	State  MemberState
	Reason string
	Failed bool // one of its cells failed
	// FailedIn is 1 + the index of the step in which it failed first; 0: none.
	FailedIn int
	// Track is 1 + the index of the closed step that it goes through alone, as
	// one that joined later; 0: it goes with the others.
	Track int
	// Zone is where the machine stands, "" when it says nothing of it.
	Zone string
	// Patience is how long the machine may stay silent, in milliseconds: its
	// policy's connect deadline.
	Patience int64
	Facts    map[string]string `json:",omitempty"` // Octopus.Machine.… built-ins
}

// CellState says where a cell is.
type CellState string

// The states of a cell; Waiting, Running and Interrupted are the open ones.
const (
	CellWaiting     CellState = "Waiting"     // for the machine's slot, or for the pause before a retry
	CellRunning     CellState = "Running"     // an attempt exists
	CellInterrupted CellState = "Interrupted" // for a person's answer
	CellIgnored     CellState = "Ignored"     // did not succeed, and a person said that it does not matter
	CellSucceeded   CellState = "Succeeded"
	CellFailed      CellState = "Failed"
	CellTimedOut    CellState = "TimedOut"
	CellCanceled    CellState = "Canceled"
	CellSkipped     CellState = "Skipped"
	CellUnknown     CellState = "Unknown"
	CellNotDeployed CellState = "NotDeployed" // proved not to have started, and given up
	CellSuperseded  CellState = "Superseded"
)

// Open says that the cell still waits for something.
func (s CellState) Open() bool {
	return s == CellWaiting || s == CellRunning || s == CellInterrupted
}

// CellKey names a cell within its rollout.
type CellKey struct {
	Step   int
	Action int
	Member string
}

// Less orders keys by step, action and member.
func (k CellKey) Less(o CellKey) bool {
	if k.Step != o.Step {
		return k.Step < o.Step
	}
	if k.Action != o.Action {
		return k.Action < o.Action
	}
	return k.Member < o.Member
}

// Filter narrows open cells; empty fields match all.
type Filter struct{ Member, Executor string }

// Cell is one action on one member.
type Cell struct {
	CellKey
	State   CellState
	Tries   int    // attempts made so far
	Attempt string // the latest one
	// Executor is the machine that runs the attempts: the member, or the worker
	// on its behalf. Patience is how long that machine may stay silent, in
	// milliseconds.
	Executor string
	Patience int64
	Reason   string
	// DueAt is when a Timer event looks at the cell, unix milliseconds; 0 means
	// never: a pause before a retry, the deadline of an answer, or, while it
	// runs, the earlier of SilentAt and LimitAt.
	DueAt int64
	// SilentAt is the end of a silent machine's patience, LimitAt the end of the
	// attempt's time; 0 means never.
	SilentAt int64
	LimitAt  int64
	// Ending: the attempt was asked to end because its time is up.
	Ending bool
	// Held counts the tries in a row that did not start, Retried those after a
	// failure since a person last answered. Ran: one of them may have started.
	Held    int
	Retried int
	Ran     bool
	// Interruption is the number of the question it waits for; 0 is none.
	Interruption int
	StartedAt    int64
	EndedAt      int64
}

// aim makes the timer look at a running cell when the first of its times is up.
func (c *Cell) aim() {
	c.DueAt = c.SilentAt
	if c.LimitAt != 0 && (c.DueAt == 0 || c.LimitAt < c.DueAt) {
		c.DueAt = c.LimitAt
	}
}

// quiet drops all times at which the timer would look at the cell.
func (c *Cell) quiet() { c.DueAt, c.SilentAt, c.LimitAt, c.Ending = 0, 0, 0, false }

// Outcome is how an attempt ended (design 5.8).
type Outcome string

// The outcomes. NotStarted is proved; Unknown means started, end not known.
const (
	OutcomeNone       Outcome = ""
	OutcomeSucceeded  Outcome = "Succeeded"
	OutcomeFailed     Outcome = "Failed"
	OutcomeCanceled   Outcome = "Canceled"
	OutcomeTimedOut   Outcome = "TimedOut"
	OutcomeNotStarted Outcome = "NotStarted"
	OutcomeUnknown    Outcome = "Unknown"
)

// Attempt is one try at a cell. Its row is committed before the first byte of
// its payload leaves the server.
type Attempt struct {
	ID       string
	Cell     CellKey
	Executor string // the machine that runs it: the member, or the worker
	Try      int
	// Outputs and PayloadHash fix what is sent: see Payload.
	Outputs     int
	PayloadHash string
	CreatedAt   int64
	// SentAt is set by the deliverer before the first byte goes out; while it
	// is 0 the attempt is provably not started.
	SentAt    int64
	StartedAt int64
	EndedAt   int64
	Outcome   Outcome
	ExitCode  int
	Reason    string
	LogLength int64
	Warnings  bool
}

// Output is an output variable that an action set.
type Output struct {
	N      int // its place in the rollout, from 1
	Step   int
	Action int
	Member string
	// MemberName is the machine's name, part of the variable's own.
	MemberName string
	Name       string
	Value      string // empty for a secret
	Secret     bool   // its value is sealed in Box
	Box        []byte `json:"-"`
	// Source is "<attempt>/<index>": where the value came from, and what its
	// sealing is bound to.
	Source string
}

// Rows gives Next the rows it asks for. A Rows that meets an error returns
// zero values from then on and its owner discards the turn.
type Rows interface {
	Step(index int) StepRow
	Member(id string) (Member, bool)
	// Members are up to n members with an order above after, ascending. An order
	// changes only to one above all others.
	Members(after int64, n int) []Member
	Cell(key CellKey) (Cell, bool)
	// OpenCells are up to n open cells above after, in order of CellKey.
	OpenCells(of Filter, after *CellKey, n int) []Cell
	// DueCells are up to n open cells with DueAt set and not after at, in order
	// of DueAt and CellKey.
	DueCells(at int64, n int) []Cell
	Attempt(id string) (Attempt, bool)
	// Outputs are the first n output variables.
	Outputs(n int) []Output
}
