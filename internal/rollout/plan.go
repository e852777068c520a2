package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/slipwayhq/slipway/internal/variables"
)

// Rules is the version of Next that this build runs. A node takes only
// rollouts whose plan names rules it has (design 5.1).
const Rules = 1

// Kind says what a rollout is for.
type Kind string

// The kinds of rollout.
const (
	Deploy  Kind = "Deploy"      // a release to an environment
	CatchUp Kind = "AutoDeploy"  // the current release to machines that came later
	Script  Kind = "AdHocScript" // one script on chosen machines
)

// Ref names a document as it was when the plan was frozen.
type Ref struct{ ID, Name string }

// Plan is the frozen part of a rollout: nothing in it changes once it is
// stored, and Hash covers all of it. It holds references to secrets, never
// values (design 5.7).
type Plan struct {
	Rules       int
	Kind        Kind
	Task        string // ServerTasks-1: also the rollout's id
	Space       Ref
	Project     Ref
	Environment Ref
	Tenant      Ref
	Release     Ref // Name is the version
	Deployment  Ref
	Channel     Ref
	Worker      Ref // runs what "run on server" asks for

	Steps     []Step
	Variables []variables.Candidate // as the release froze them
	BuiltIns  map[string]string     // Octopus.… variables that do not depend on machine or action

	// Specific, when not empty, and Excluded are machine ids and narrow the
	// scope that roles and environment give.
	Specific []string `json:",omitempty"`
	Excluded []string `json:",omitempty"`
	// SkipUnavailable ends the rollout in success with a warning when machines
	// did not answer; they are listed as not deployed all the same.
	SkipUnavailable bool `json:",omitempty"`
	// FailWithoutTargets fails the rollout when a step finds no machine in its
	// roles; otherwise that is a warning.
	FailWithoutTargets bool `json:",omitempty"`

	// RollBack queues a deployment of the release before when this one fails.
	RollBack bool `json:",omitempty"`
	// Guided asks people what to do about an attempt that did not succeed,
	// instead of failing its machine.
	Guided bool `json:",omitempty"`
	// AskUnknown asks people about an attempt whose end is not known even where
	// the rollout is not Guided (P2); otherwise such a machine has failed.
	AskUnknown bool `json:",omitempty"`
	// AnswerWithin ends the wait for an answer about a failure after so many
	// milliseconds: the machine has failed then. 0 waits for ever.
	AnswerWithin int64 `json:",omitempty"`

	resolve sync.Once // derived from Variables when first needed
	values  *variables.Resolver
}

func (p *Plan) resolver() *variables.Resolver {
	p.resolve.Do(func() { p.values = variables.NewResolver(p.Variables) })
	return p.values
}

// Step is one step of the process: its actions run one after the other on
// each machine of its roles, on as many machines at once as Window lets.
type Step struct {
	ID        string
	Name      string
	Number    int // from 1, as people count
	Condition Condition
	// Expression is evaluated for ConditionVariable, over the plan's variables
	// and the output variables so far.
	Expression string   `json:",omitempty"`
	Roles      []string `json:",omitempty"` // none: runs once, on the server's worker
	Window     Window
	Actions    []Action
	// WithPrevious opens the step together with the one before it: both run at
	// the same time, and both look at the outcome of what was before them.
	WithPrevious bool `json:",omitempty"`
	// Tolerate is how many of its machines may fail before the step stops.
	Tolerate Tolerance `json:",omitzero"`
	// Limit ends the step after so many milliseconds; 0 never does.
	Limit int64 `json:",omitempty"`
	// Zonal works on the machines of one zone at a time, in the order of the
	// zones' names; machines without a zone come first.
	Zonal bool `json:",omitempty"`
}

// Condition says when a step or an action runs.
type Condition string

// The conditions of octopus-api.md 2.6. For a step they look at the rollout so
// far, for an action at the step's earlier actions on the same machine.
const (
	ConditionSuccess  Condition = "Success"
	ConditionFailure  Condition = "Failure"
	ConditionAlways   Condition = "Always"
	ConditionVariable Condition = "Variable"
)

// Action is one action of a step.
type Action struct {
	ID         string
	Name       string
	Number     string // "2" or "2.1"
	Type       string
	Condition  Condition
	Expression string            `json:",omitempty"`
	Properties map[string]string `json:",omitempty"`
	// Secrets are properties whose value is sensitive: name to reference.
	Secrets  map[string]SecretRef `json:",omitempty"`
	Packages []Package            `json:",omitempty"`
	// OnServer runs the action on the worker, on behalf of the machine.
	OnServer bool `json:",omitempty"`
	// RunOnce lets it succeed once per rollout, on one member (design 5.2).
	RunOnce bool `json:",omitempty"`
	// Skip is why the action does not run in this rollout; empty when it does.
	Skip string `json:",omitempty"`
	// Receipt says that success needs a receipt for Packages[0] (design P1).
	Receipt bool `json:",omitempty"`
	// Retries is how often a failed or timed-out attempt is tried again by
	// itself; Backoff is the first pause before that, in milliseconds, doubled
	// each time.
	Retries int   `json:",omitempty"`
	Backoff int64 `json:",omitempty"`
	// Idempotent says that the action may run twice: an attempt whose end is not
	// known is tried again by itself (design 5.8).
	Idempotent bool `json:",omitempty"`
	// RebootsExpected says that the action may restart its machine: an attempt
	// that this has ended counts as done, and the next action goes on (fault 12).
	// It has no say over a package's receipt.
	RebootsExpected bool `json:",omitempty"`
	// Limit ends an attempt so many milliseconds after its start; 0 never does.
	Limit int64 `json:",omitempty"`
	// Manual asks people instead of running anything.
	Manual *Manual `json:",omitempty"`
}

// Manual is the question of a manual intervention.
type Manual struct {
	Instructions string   // a template over the variables that are not sensitive
	Teams        []string `json:",omitempty"` // ids of the responsible ones
	// Within is the deadline in milliseconds from the question; 0 is none.
	// After it the answer counts as Abort.
	Within int64 `json:",omitempty"`
}

// Package is a package the action needs, pinned by digest at the release.
type Package struct {
	Name      string // "" is the primary one
	PackageID string
	Version   string
	SHA256    string
	Size      int64
	Extension string
	Extract   bool
}

// Window limits how many machines a step works on at once. The zero Window
// does not.
type Window struct {
	Number  int `json:",omitempty"`
	Percent int `json:",omitempty"`
}

// ParseWindow reads Octopus.Action.MaxParallelism: "", "3" or "25%".
func ParseWindow(text string) (Window, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Window{}, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n < 1 || (percent && n > 100) {
		return Window{}, fmt.Errorf("window %q: want a number of machines from 1, or 1%% to 100%%", text)
	}
	if percent {
		return Window{Percent: n}, nil
	}
	return Window{Number: n}, nil
}

// Size is how many of n machines may be worked on at once. A percentage is
// rounded down, so that the share is never exceeded, but is at least one.
func (w Window) Size(n int) int {
	switch {
	case w.Number > 0:
		return w.Number
	case w.Percent > 0:
		return max(1, n*w.Percent/100)
	default:
		return max(1, n)
	}
}

// Says puts in words how many of n machines are worked on at once; "" is all of
// them.
func (w Window) Says(n int) string {
	size := w.Size(n)
	switch {
	case w.Percent > 0 && n*w.Percent < 100:
		return fmt.Sprintf("%d %% of %d machines is less than one: %d at a time", w.Percent, n, size)
	case w.Percent > 0 && n*w.Percent%100 != 0:
		return fmt.Sprintf("%d %% of %d machines, rounded down: %d at a time", w.Percent, n, size)
	case w.Percent > 0:
		return fmt.Sprintf("%d %% of %d machines: %d at a time", w.Percent, n, size)
	case w.Number > 0:
		return fmt.Sprintf("%d at a time", size)
	}
	return ""
}

// Verified says that a batch is verified: as many machines as the step's window
// admits have gone through it.
func (s *Step) Verified(row *StepRow) bool {
	return row.Done-row.Failed >= s.Window.Size(row.Scope)
}

// zoneTag begins the target tag that names a machine's zone.
const zoneTag = "zone:"

// ZoneOf is the zone in a machine's target tags.
func ZoneOf(tags []string) string {
	for _, tag := range tags {
		if len(tag) > len(zoneTag) && strings.EqualFold(tag[:len(zoneTag)], zoneTag) {
			return tag[len(zoneTag):]
		}
	}
	return ""
}

// Tolerance is how many machines of a step may fail before it stops. The zero
// Tolerance tolerates none.
type Tolerance struct {
	All     bool `json:",omitempty"`
	Number  int  `json:",omitempty"`
	Percent int  `json:",omitempty"`
}

// ParseTolerance reads Slipway.Step.FailurePolicy: "" or "Stop", "Continue",
// or how many may fail, "3" or "10%".
func ParseTolerance(text string) (Tolerance, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "", "stop":
		return Tolerance{}, nil
	case "continue":
		return Tolerance{All: true}, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n < 0 || (percent && n > 100) {
		return Tolerance{}, fmt.Errorf("failure policy %q: want Stop, Continue, a number of machines or 0%% to 100%%", text)
	}
	if percent {
		return Tolerance{Percent: n}, nil
	}
	return Tolerance{Number: n}, nil
}

// Allows says whether the step goes on when failed of n machines have failed. A
// percentage is exact: 1 % of 150 machines tolerates one, not two.
func (t Tolerance) Allows(failed, n int) bool {
	switch {
	case t.All:
		return true
	case t.Percent > 0:
		return failed*100 <= n*t.Percent
	default:
		return failed <= t.Number
	}
}

// together is the index behind the last step that opens together with the one
// at first.
func (p *Plan) together(first int) int {
	end := first + 1
	for end < len(p.Steps) && p.Steps[end].WithPrevious {
		end++
	}
	return end
}

// Hash is the SHA-256 of the plan, lower-case hex: what was approved is what
// runs (P6, invariant I9).
func (p *Plan) Hash() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("rollout: a plan always marshals: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// EveryMachine is the role that all machines in the plan's scope have: for
// scripts, whose machines are chosen one by one.
const EveryMachine = "*"

// Covers says whether the step works on a member with these roles.
func (s *Step) Covers(m *Member) bool {
	if len(s.Roles) == 0 {
		return m.Worker
	}
	if m.Worker {
		return false
	}
	for _, role := range s.Roles {
		if role == EveryMachine {
			return true
		}
		for _, has := range m.Roles {
			if strings.EqualFold(role, has) {
				return true
			}
		}
	}
	return false
}

// Limited says that the rollout is for chosen machines only: it does not
// change what the environment's machines are to run.
func (p *Plan) Limited() bool { return len(p.Specific) > 0 || len(p.Excluded) > 0 }

// NeedsWorker says whether a step runs on the worker itself rather than on or
// on behalf of machines.
func (p *Plan) NeedsWorker() bool {
	for i := range p.Steps {
		if len(p.Steps[i].Roles) == 0 {
			return true
		}
	}
	return false
}

// Roles are the roles that any step works on, in order of first mention.
func (p *Plan) Roles() []string {
	var roles []string
	seen := map[string]bool{}
	for i := range p.Steps {
		for _, role := range p.Steps[i].Roles {
			if key := strings.ToLower(role); !seen[key] {
				seen[key] = true
				roles = append(roles, role)
			}
		}
	}
	return roles
}
