package agent

import (
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// CountStart counts and names a start of the agent in a home.
var CountStart = countStart

// WriteJob is how an agent hands a job to a shim.
var WriteJob = writeJob

// Ends of a job before its time.
var (
	CauseCanceled error = &endCause{proc.Stop{Reason: "canceled"}, agentrpc.Outcome_OUTCOME_CANCELED}
	CauseTimedOut error = &endCause{proc.Stop{Reason: "the time limit was reached"}, agentrpc.Outcome_OUTCOME_TIMED_OUT}
)

// Settle makes the job's outcome that of the attempt.
func Settle(outcome agentrpc.Outcome, cause error, left []proc.Ref) *agentrpc.Result {
	return settle(&agentrpc.Result{Outcome: outcome, Receipt: &agentrpc.Receipt{}}, cause, left)
}

// WriteFile makes dir/name have the content, wholly or not at all.
var WriteFile = writeFile

// NewHost is the machine of a real agent with its attempts' folders in dir.
func NewHost(dir string) Host { return folders{dir} }

// FolderOf is the attempt's folder below the agent's home.
func FolderOf(home, attempt string) string {
	return folders{filepath.Join(home, "attempts")}.of(attempt).Path
}
