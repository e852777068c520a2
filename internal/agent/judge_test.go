package agent_test

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

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
