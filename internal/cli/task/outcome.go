package task

import (
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// ExitCode is the exit code of a completed task; a state this program does not
// know is unknown, never success.
func ExitCode(t client.Task) int {
	switch t.State {
	case client.TaskSuccess:
		return console.ExitSuccess
	case client.TaskFailed, client.TaskTimedOut:
		return console.ExitFailed
	case client.TaskCanceled:
		return console.ExitCanceled
	}
	return console.ExitUnknown
}

// Worst is the exit code for several outcomes: a failure outweighs all, and
// what is not known outweighs a wait that timed out.
func Worst(codes []int) int {
	for _, code := range []int{console.ExitFailed, console.ExitUnknown, console.ExitTimeout, console.ExitCanceled} {
		if slices.Contains(codes, code) {
			return code
		}
	}
	return console.ExitSuccess
}

// Sentence says how a task stands, for people.
func Sentence(t client.Task) string {
	text := fmt.Sprintf("%s %s: %s", t.ID, t.Description, word(t.State))
	if t.Duration != "" && t.IsCompleted {
		text += " in " + t.Duration
	}
	if t.State == client.TaskSuccess && t.HasWarningsOrErrors {
		text += ", with warnings"
	}
	if t.ErrorMessage != "" {
		text += ". " + t.ErrorMessage
	}
	return text
}

func word(state string) string {
	words := map[string]string{
		client.TaskQueued: "queued", client.TaskExecuting: "running", client.TaskFailed: "failed",
		client.TaskCanceled: "canceled", client.TaskTimedOut: "timed out", client.TaskSuccess: "succeeded",
		client.TaskCancelling: "canceling",
	}
	if w := words[state]; w != "" {
		return w
	}
	return state
}
