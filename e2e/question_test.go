//go:build unix

package e2e_test

import (
	"strings"
	"testing"
)

// asks waits until the task asks a question and returns its id.
func (s *stage) asks(task string) (id string) {
	s.t.Helper()
	eventually(s.t, task+" asks", func() bool {
		r := s.cli(s.t, "interruption", "list", "--regarding", task, "--format", "basic")
		id = strings.TrimSpace(r.stdout)
		return r.code == 0 && id != "" && !strings.Contains(id, "\n")
	})
	return id
}

func (s *stage) answers(id, with string) {
	s.t.Helper()
	if r := s.cli(s.t, "interruption", "answer", id, "--with", with, "--notes", "seen by hand"); r.code != 0 {
		s.t.Fatalf("answer %s with %s: %v", id, with, r)
	}
}

// Guided failure in a rolling step, one machine at a time: each failure asks
// for its own machine; a second answer is refused (abuse 95).
func TestFailuresAskForGuidance(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.machine("one")
	s.machine("two")
	s.edit(t, "/api/environments/"+s.environment.ID(), map[string]any{"UseGuidedFailure": true})
	s.steps(
		map[string]any{
			"Name": "Approve", "Condition": "Success", "Properties": map[string]any{}, "Actions": []any{map[string]any{
				"Name": "Approve", "ActionType": "Octopus.Manual", "Packages": []any{},
				"Properties": map[string]any{"Octopus.Action.Manual.Instructions": "Release #{Octopus.Release.Number}: look."},
			}},
		},
		step("Roll", "web", "1", script("Roll", s.mark("starts")+"[ -e '"+s.path("good")+"' ] || exit 7\n")),
	)
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	approve := s.asks(task)
	contains(t, "the question", s.cli(t, "interruption", "show", approve).stdout, "Release 1.0.0: look.", "waits for an answer")
	if r := s.cli(t, "interruption", "answer", approve, "--with", "Retry"); r.code == 0 {
		t.Errorf("a manual step was answered with Retry: %v", r)
	}
	s.answers(approve, "Proceed")
	first := s.asks(task)
	if n := len(s.lines("starts")); n != 1 {
		t.Errorf("%d machines were worked on before the answer, window 1", n)
	}
	if r := s.cli(t, "interruption", "answer", approve, "--with", "Abort"); r.code == 0 {
		t.Errorf("answered twice: %v", r)
	}
	s.answers(first, "Exclude")
	second := s.asks(task)
	s.touch("good")
	s.answers(second, "Retry")
	last := s.finish(task, "Success")
	if !last.HasWarningsOrErrors || len(s.lines("starts")) != 3 {
		t.Errorf("warnings %v, starts %v", last.HasWarningsOrErrors, s.lines("starts"))
	}
	contains(t, "the log", s.logOf(task), "Exclude, said", "left the rollout: excluded by", "Retry, said")
}
