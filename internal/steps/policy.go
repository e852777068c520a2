package steps

import (
	"fmt"
	"strconv"
	"strings"
)

// Properties that say how patient a step or an action is. The first ones are
// the wire contract's.
const (
	RetryCount   = "Octopus.Action.AutoRetry.MaximumCount"   // tries after a failure
	RetryBackoff = "Octopus.Action.AutoRetry.MinimumBackoff" // seconds before the first of them, doubled each time
	TimeLimit    = "Octopus.Action.ExecutionTimeout.Minutes"
	// Idempotent says that the action may run twice on a machine: an attempt
	// whose end is not known is tried again by itself.
	Idempotent = "Slipway.Action.Idempotent"
	// RebootsExpected says that the action restarts its machine: one whose
	// attempt ended that way goes on with the next action (fault 12).
	RebootsExpected = "Slipway.Action.RebootsExpected"
	// StepTimeLimit limits a step as a whole, over all of its machines.
	StepTimeLimit = "Slipway.Step.ExecutionTimeout.Minutes"
	// FailurePolicy is Stop (also when empty), Continue, or how many machines
	// may fail before the step stops: "3" or "10%".
	FailurePolicy = "Slipway.Step.FailurePolicy"
	// ZoneByZone works on the machines of one zone at a time. A machine's zone is
	// its target tag "zone:<name>".
	ZoneByZone = "Slipway.Step.ZoneByZone"
)

const (
	maxRetries     = 10
	maxMinutes     = 60 * 24 * 365
	defaultBackoff = 15 // seconds
)

// Minutes reads a property that is a number of minutes, as milliseconds; absent
// and 0 mean none.
func Minutes(properties map[string]string, name string) (int64, error) {
	n, err := number(properties, name, maxMinutes)
	return int64(n) * 60_000, err
}

// Retries reads how often an action is tried again and the first pause before
// that, in milliseconds.
func Retries(properties map[string]string) (count int, backoff int64, err error) {
	if count, err = number(properties, RetryCount, maxRetries); err != nil || count == 0 {
		return count, 0, err
	}
	if strings.TrimSpace(properties[RetryBackoff]) == "" {
		return count, defaultBackoff * 1000, nil
	}
	seconds, err := number(properties, RetryBackoff, 600)
	return count, int64(seconds) * 1000, err
}

func number(properties map[string]string, name string, most int) (int, error) {
	text := strings.TrimSpace(properties[name])
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s is %q; set it to a number from 0 to %d", name, text, most)
	}
	return n, nil
}
