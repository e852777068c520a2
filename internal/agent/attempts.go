package agent

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// How many ids of forgotten attempts and epochs of rollouts without attempts
// are kept, the latest first. A late copy of an order is as old as a connection
// at most; these reach back over thousands of attempts.
const (
	keepForgotten = 16_384
	keepEpochs    = 4_096
)

// Attempt is what the journal knows of one attempt.
type Attempt struct {
	ID        string
	Rollout   string
	Epoch     int64
	Payload   []byte
	Exclusive bool
	Phase     Phase
	Shim      *proc.Ref        // from Running on
	Result    *agentrpc.Result // in Ended
}

// Phase is where an attempt is.
//
//	            ┌─ Start ──► Starting ──► Running ──┐
//	(unseen) ───┼─ Start, refused ──────────────────┴► Ended ──┐
//	            ├─ Query(close), Cancel ─► Closed ─────────────┴─ Forget ─► Forgotten
//	            └─ Forget ────────────────────────────────────────────────► Forgotten
//
// Starting goes to Ended directly where the job provably did not start.
type Phase uint8

// The phases; Unseen is that of every id without a record.
const (
	Unseen Phase = iota
	Starting
	Running
	Ended
	Closed
	Forgotten
)

// State is the phase in the words of the wire.
func (p Phase) State() agentrpc.AttemptState {
	switch p {
	case Unseen:
		return agentrpc.AttemptState_ATTEMPT_STATE_UNSEEN
	case Starting, Running:
		return agentrpc.AttemptState_ATTEMPT_STATE_RUNNING
	case Ended, Forgotten:
		return agentrpc.AttemptState_ATTEMPT_STATE_ENDED
	case Closed:
		return agentrpc.AttemptState_ATTEMPT_STATE_CLOSED
	default:
		return agentrpc.AttemptState_ATTEMPT_STATE_UNSPECIFIED
	}
}

// forgotten is what is left of an attempt that the server told the agent to
// forget. It may have run: a server that asks again has lost its own record
// (faults 24, 33) and must not take it for one that never started.
func forgotten(id string) *Attempt {
	return &Attempt{ID: id, Phase: Forgotten, Result: &agentrpc.Result{
		Outcome: agentrpc.Outcome_OUTCOME_UNKNOWN, Reason: "the server had this attempt's result and told the agent to forget it",
	}}
}

// Order is what the server says with every call about an attempt.
type Order struct {
	Attempt string
	Rollout string
	Epoch   int64
}

// Decision is what follows from a call: records to make durable, and only then
// the answer.
type Decision struct {
	Records []Record
	Phase   Phase
	Result  *agentrpc.Result
	// Spawn: the shim is to be started, once the records are durable.
	Spawn bool
	// Stop: the shim is to be told to end the attempt.
	Stop bool
}

// StaleError refuses an order of a node that no longer owns the rollout (fault
// 30, 31, invariant I4).
type StaleError struct {
	Rollout      string
	Epoch, Known int64
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("stale epoch: %s has epoch %d here and the order came with %d; another node owns the rollout now",
		e.Rollout, e.Known, e.Epoch)
}

// MismatchError refuses an order that contradicts the attempt's record.
type MismatchError struct{ Attempt, What string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("attempt %s is known here with another %s", e.Attempt, e.What)
}

// OpenError refuses to forget an attempt that has not ended.
type OpenError struct{ Attempt string }

func (e *OpenError) Error() string { return fmt.Sprintf("attempt %s has not ended", e.Attempt) }

// Attempts is the fold of the journal's records and decides about orders. It is
// pure: no I/O, no clock, no goroutine.
type Attempts struct {
	byID   map[string]*Attempt
	epochs map[string]int64
	// The latest last; what falls out at the front is dropped.
	rollouts  []string
	forgotten []string
}

// NewAttempts knows nothing.
func NewAttempts() *Attempts {
	return &Attempts{byID: map[string]*Attempt{}, epochs: map[string]int64{}}
}

// Get gives a copy of the attempt; its phase is Unseen if there is none.
func (a *Attempts) Get(id string) Attempt {
	if at := a.byID[id]; at != nil {
		return *at
	}
	return Attempt{ID: id}
}

// List gives all attempts that were neither closed nor forgotten, by id.
func (a *Attempts) List() []Attempt {
	var list []Attempt
	for _, at := range a.byID {
		if at.Phase == Starting || at.Phase == Running || at.Phase == Ended {
			list = append(list, *at)
		}
	}
	slices.SortFunc(list, func(x, y Attempt) int { return bytes.Compare([]byte(x.ID), []byte(y.ID)) })
	return list
}

// check refuses an order under a lower epoch, or about another rollout's
// attempt.
func (a *Attempts) check(o Order) (*Attempt, error) {
	//guard:epoch-agent I4: an agent refuses the orders of a node that a newer one took over from; seen by ./internal/agent TestLowerEpochIsRefused
	if known := a.epochs[o.Rollout]; o.Epoch < known {
		return nil, &StaleError{Rollout: o.Rollout, Epoch: o.Epoch, Known: known}
	}
	at := a.byID[o.Attempt]
	if at == nil {
		return &Attempt{ID: o.Attempt}, nil
	}
	//guard:one-rollout I1: an attempt belongs to one rollout; seen by ./internal/agent TestOneStartPerAttempt
	if at.Rollout != "" && at.Rollout != o.Rollout {
		return nil, &MismatchError{Attempt: o.Attempt, What: "rollout"}
	}
	return at, nil
}

// raise is the record of a new highest epoch, if it is one.
func (a *Attempts) raise(o Order) []Record {
	if o.Epoch <= a.epochs[o.Rollout] {
		return nil
	}
	return []Record{{Kind: RecordEpoch, Rollout: o.Rollout, Epoch: o.Epoch}}
}

// Start decides about a start order. Only an attempt that was never seen is
// spawned, and never while an exclusive one runs if it is exclusive itself:
// that is NotStarted, not a queue (design 5.6).
func (a *Attempts) Start(o Order, payload []byte, exclusive bool) (Decision, error) {
	at, err := a.check(o)
	if err != nil {
		return Decision{}, err
	}
	//guard:seen-once I1: an attempt that the journal knows is answered, not started again; less `at.Phase != Unseen`, with `at.Phase != Unseen && at.Phase != Ended`
	if at.Phase != Unseen {
		//guard:one-payload I9: an attempt has one payload; seen by ./internal/agent TestOneStartPerAttempt
		if at.Payload != nil && !bytes.Equal(at.Payload, payload) {
			return Decision{}, &MismatchError{Attempt: o.Attempt, What: "payload"}
		}
		return Decision{Records: a.raise(o), Phase: at.Phase, Result: at.Result}, nil
	}
	//guard:exclusive I8: an agent never runs two exclusive attempts at once
	if holder := a.holder(); exclusive && holder != "" {
		return a.Refuse(o, payload, fmt.Sprintf("busy: %s runs on this machine and neither may run beside the other", holder))
	}
	return Decision{
		Records: []Record{{
			Kind: RecordStarting, Attempt: o.Attempt, Rollout: o.Rollout, Epoch: o.Epoch,
			Payload: payload, Exclusive: exclusive,
		}},
		Phase: Starting, Spawn: true,
	}, nil
}

// Refuse ends an attempt that was never seen as NotStarted.
func (a *Attempts) Refuse(o Order, payload []byte, reason string) (Decision, error) {
	result := &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_NOT_STARTED, Reason: reason}
	text, err := proto.Marshal(result)
	if err != nil {
		return Decision{}, fmt.Errorf("encode result of %s: %w", o.Attempt, err)
	}
	return Decision{
		Records: []Record{{
			Kind: RecordEnded, Attempt: o.Attempt, Rollout: o.Rollout, Epoch: o.Epoch, Payload: payload, Result: text,
		}},
		Phase: Ended, Result: result,
	}, nil
}

// holder is the exclusive attempt that runs, "" if none does.
func (a *Attempts) holder() string {
	for id, at := range a.byID {
		if at.Exclusive && (at.Phase == Starting || at.Phase == Running) {
			return id
		}
	}
	return ""
}

// Query decides about a question; with closing, an attempt that was never seen
// gets a tombstone.
func (a *Attempts) Query(o Order, closing bool) (Decision, error) {
	at, err := a.check(o)
	if err != nil {
		return Decision{}, err
	}
	if at.Phase == Unseen && closing {
		return a.close(o), nil
	}
	return Decision{Records: a.raise(o), Phase: at.Phase, Result: at.Result}, nil
}

// Cancel decides about a cancellation. One that overtook its start leaves a
// tombstone (fault 18).
func (a *Attempts) Cancel(o Order) (Decision, error) {
	at, err := a.check(o)
	if err != nil {
		return Decision{}, err
	}
	if at.Phase == Unseen {
		return a.close(o), nil
	}
	stop := at.Phase == Starting || at.Phase == Running
	return Decision{Records: a.raise(o), Phase: at.Phase, Result: at.Result, Stop: stop}, nil
}

func (a *Attempts) close(o Order) Decision {
	return Decision{
		//guard:tombstone I1, I2: what is said not to have started never starts later; less `[]Record{{Kind: RecordClosed, Attempt: o.Attempt, Rollout: o.Rollout, Epoch: o.Epoch}}`, with `nil`
		Records: []Record{{Kind: RecordClosed, Attempt: o.Attempt, Rollout: o.Rollout, Epoch: o.Epoch}},
		Phase:   Closed,
	}
}

// Forget decides about ids whose results the server has committed. One that
// was never seen is forgotten all the same: it is over.
func (a *Attempts) Forget(ids []string) (Decision, error) {
	var d Decision
	for _, id := range ids {
		switch a.Get(id).Phase {
		//guard:forget I1: what runs is not forgotten; seen by ./internal/agent TestTombstones
		case Starting, Running:
			return Decision{}, &OpenError{Attempt: id}
		case Forgotten:
		case Unseen, Ended, Closed:
			d.Records = append(d.Records, Record{Kind: RecordForgotten, Attempt: id})
		}
	}
	return d, nil
}

// Runs decides that a shim has claimed the attempt; nothing if it is no longer
// Starting.
func (a *Attempts) Runs(id string, shim proc.Ref) Decision {
	if a.Get(id).Phase != Starting {
		return Decision{}
	}
	return Decision{Records: []Record{{Kind: RecordRunning, Attempt: id, Shim: &shim}}}
}

// Ends decides about a result; nothing if the attempt has one (invariant I7).
func (a *Attempts) Ends(id string, result *agentrpc.Result) (Decision, error) {
	//guard:one-result I7: the first result of an attempt is its result; seen by ./internal/agent TestOneStartPerAttempt
	if p := a.Get(id).Phase; p != Starting && p != Running {
		return Decision{}, nil
	}
	text, err := proto.Marshal(result)
	if err != nil {
		return Decision{}, fmt.Errorf("encode result of %s: %w", id, err)
	}
	return Decision{Records: []Record{{Kind: RecordEnded, Attempt: id, Result: text}}}, nil
}
