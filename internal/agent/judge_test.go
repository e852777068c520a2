package agent_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// fault 37, 38
func TestSettle(t *testing.T) {
	t.Parallel()
	const (
		succeeded = agentrpc.Outcome_OUTCOME_SUCCEEDED
		failed    = agentrpc.Outcome_OUTCOME_FAILED
		canceled  = agentrpc.Outcome_OUTCOME_CANCELED
		timedOut  = agentrpc.Outcome_OUTCOME_TIMED_OUT
		unknown   = agentrpc.Outcome_OUTCOME_UNKNOWN
	)
	left := []proc.Ref{{PID: 7}}
	for name, c := range map[string]struct {
		outcome agentrpc.Outcome
		cause   error
		left    []proc.Ref
		want    agentrpc.Outcome
	}{
		"succeeded":                     {succeeded, nil, nil, succeeded},
		"failed":                        {failed, nil, nil, failed},
		"canceled":                      {failed, agent.CauseCanceled, nil, canceled},
		"timed out":                     {canceled, agent.CauseTimedOut, nil, timedOut},
		"succeeded before the cancel":   {succeeded, agent.CauseCanceled, nil, succeeded},
		"unknown, then canceled":        {unknown, agent.CauseCanceled, nil, unknown},
		"canceled, processes left":      {canceled, agent.CauseCanceled, left, unknown},
		"succeeded, yet processes left": {succeeded, agent.CauseTimedOut, left, unknown},
	} {
		result := agent.Settle(c.outcome, c.cause, c.left)
		if result.GetOutcome() != c.want || (result.GetReceipt() != nil) != (c.cause == nil || c.want == c.outcome && c.left == nil) {
			t.Errorf("%s: %v, want %v", name, result, c.want)
		}
		if c.left != nil && !strings.HasSuffix(result.GetReason(), "processes outlived their kill: 7") { // fault 38: listed
			t.Errorf("%s: what is left is not listed: %v", name, result)
		}
	}
}

// fault 9 to 14, 46
func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		goesOn     = agentrpc.Outcome_OUTCOME_UNSPECIFIED
		unknown    = agentrpc.Outcome_OUTCOME_UNKNOWN
		notStarted = agentrpc.Outcome_OUTCOME_NOT_STARTED
	)
	claimed := &agent.Marker{Shim: &proc.Ref{PID: 7, Start: 1, Boot: "now"}}
	revoked := &agent.Marker{Revoked: true}
	for name, c := range map[string]struct {
		e    agent.Evidence
		want agentrpc.Outcome
	}{
		"on its way":                {agent.Evidence{Folder: true, Phase: agent.Starting, Boot: "now"}, goesOn},
		"claimed by us":             {agent.Evidence{Folder: true, Phase: agent.Starting, Marker: revoked, Boot: "now"}, notStarted},
		"runs":                      {agent.Evidence{Folder: true, Phase: agent.Starting, Marker: claimed, Alive: true, Boot: "now"}, goesOn},
		"shim gone":                 {agent.Evidence{Folder: true, Phase: agent.Running, Marker: claimed, Boot: "now"}, unknown},
		"machine restarted":         {agent.Evidence{Folder: true, Phase: agent.Running, Marker: claimed, Boot: "later"}, unknown},
		"ended, shim still there":   {agent.Evidence{Folder: true, Phase: agent.Running, Marker: claimed, Alive: true, Result: succeeded(), Boot: "now"}, agentrpc.Outcome_OUTCOME_SUCCEEDED},
		"ended before a restart":    {agent.Evidence{Folder: true, Phase: agent.Running, Marker: claimed, Result: succeeded(), Boot: "later"}, agentrpc.Outcome_OUTCOME_SUCCEEDED},
		"folder removed":            {agent.Evidence{Phase: agent.Starting, Boot: "now"}, unknown},
		"marker removed while runs": {agent.Evidence{Folder: true, Phase: agent.Running, Boot: "now"}, unknown},
	} {
		result := agent.Judge(c.e)
		if result.GetOutcome() != c.want {
			t.Errorf("%s: %v, want %v", name, result, c.want)
		}
		if result != nil && c.want != agentrpc.Outcome_OUTCOME_SUCCEEDED && result.GetReason() == "" {
			t.Errorf("%s: no reason for people", name)
		}
	}
}

// host is the machine of one attempt whose keeper never came to its marker.
type host struct {
	agent.Host

	revoked bool
}

func (h *host) Gather(string, agent.Phase) (agent.Evidence, error) {
	e := agent.Evidence{Folder: true, Phase: agent.Starting, Boot: "b"}
	if h.revoked {
		e.Marker = &agent.Marker{Revoked: true}
	}
	return e, nil
}

func (h *host) Revoke(string) error { h.revoked = true; return nil }

// fault 9: an attempt whose keeper never came is shut, so that it comes to
// nothing later, and only then has not started.
func TestAKeeperThatNeverCame(t *testing.T) {
	t.Parallel()
	h, j := &host{}, open(t, newFakeDisk())
	must(t)(start(j, order("a", 1), nil, false))
	core := agent.NewCore(j, h)
	w := &agent.Watched{Attempt: "a", Phase: agent.Starting}
	if err := core.Look(w, false); err != nil || h.revoked || w.Phase != agent.Starting {
		t.Errorf("I2: while its keeper may be on its way: revoked %v, phase %d, %v", h.revoked, w.Phase, err)
	}
	if err := core.Look(w, true); err != nil {
		t.Fatal(err)
	}
	at := core.Get("a")
	if !h.revoked || w.Phase != agent.Ended || at.Result.GetOutcome() != agentrpc.Outcome_OUTCOME_NOT_STARTED {
		t.Errorf("I2, I13: revoked %v, and the attempt is %+v", h.revoked, at)
	}
}
