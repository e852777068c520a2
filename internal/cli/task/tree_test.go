package task_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/task"
	"github.com/slipwayhq/slipway/internal/client"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 42, 0, time.UTC) }

func rollout(steps ...*client.Activity) client.TaskDetails {
	return client.TaskDetails{
		Task: client.Task{
			ID: "ServerTasks-7", Description: "Deploy Shop 1.2.0 to Production", State: client.TaskExecuting,
			StartTime: "2026-05-01T12:00:00.000+00:00",
		},
		ActivityLogs: []*client.Activity{{ID: "root", Name: "Deploy", Status: "Running", Children: steps}},
	}
}

func step(name, status string, machines ...*client.Activity) *client.Activity {
	return &client.Activity{ID: name, Name: name, Status: status, Children: machines}
}

func TestRenderShowsStepsAndMachines(t *testing.T) {
	t.Parallel()
	broken := step("web-02", "Failed")
	broken.LogElements = []client.LogElement{
		{Category: "Error", MessageText: "first"}, {Category: "Error", MessageText: "exit code 7"}, {Category: "Info", MessageText: "bye"},
	}
	busy := step("web-03", "Running")
	busy.ProgressMessage, busy.Started = "installing", "2026-05-01T12:00:30.000+00:00"
	waiting := step("web-04", "Pending")
	waiting.ProgressMessage = "waits for the machine: another task works on it"
	got := task.Render(rollout(
		step("Step 1: Migrate", "Success", step("db-01", "Success")),
		step("Step 2: Web", "Running", step("web-01", "SuccessWithWarning"), broken, busy, waiting,
			step("web-05", "Running", step("Drain", "Success"), step("Deploy", "Running"), step("Verify", "Pending")),
			step("web-06", "Failed", step("Drain", "Success"), broken)),
		step("Step 3: Holding page off", "Pending"),
	), task.Frame{Now: now()})
	want := []string{
		"ServerTasks-7  Deploy Shop 1.2.0 to Production  running  42s",
		"  ✓ Step 1: Migrate  1 of 1",
		"    ✓ db-01",
		"  ▸ Step 2: Web  1 of 6, 2 failed",
		"    ! web-01",
		"    ✗ web-02  exit code 7",
		"    ▸ web-03  12s  installing",
		"    · web-04  waits for the machine: another task works on it",
		"    ▸ web-05  Deploy",
		"    ✗ web-06  web-02: exit code 7",
		"  · Step 3: Holding page off",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRenderFitsTheTerminal: ten thousand machines in a small window, where
// what failed and what runs stays in sight.
func TestRenderFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var machines []*client.Activity
	for i := range 10_000 {
		status := "Success"
		switch {
		case i == 7777:
			status = "Failed"
		case i == 8888:
			status = "Running"
		}
		machines = append(machines, step(fmt.Sprintf("web-%05d.with-a-long-name.example.com", i), status))
	}
	for height := 3; height < 30; height++ {
		lines := task.Render(rollout(step("Step 1", "Success"), step("Step 2", "Running", machines...)),
			task.Frame{Width: 40, Height: height, Now: now()})
		if len(lines) > height {
			t.Errorf("%d lines in a window of %d", len(lines), height)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > 40 {
				t.Errorf("line is wider than 40: %q", line)
			}
		}
		text := strings.Join(lines, "\n")
		if height > 5 && (!strings.Contains(text, "web-07777") || !strings.Contains(text, "web-08888")) {
			t.Errorf("height %d hides what matters:\n%s", height, text)
		}
	}
}

// TestRenderCannotBeSteered: names and messages come from others; none may
// move the cursor, break a line or hide text.
func TestRenderCannotBeSteered(t *testing.T) {
	t.Parallel()
	evil := step("web\x1b[2J\nroot# \u202eexe", "Failed")
	evil.LogElements = []client.LogElement{{Category: "Error", MessageText: "a\r\x1b]0;title\x07\tb"}}
	d := rollout(step("Step 1", "Failed", evil))
	d.Task.Description = "Deploy \x9b2J"
	for _, line := range task.Render(d, task.Frame{Now: now()}) {
		if strings.ContainsAny(line, "\x1b\r\n\a\t\u009b\u202e") {
			t.Errorf("line steers the terminal: %q", line)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]int{
		client.TaskSuccess: console.ExitSuccess, client.TaskFailed: console.ExitFailed, client.TaskTimedOut: console.ExitFailed,
		client.TaskCanceled: console.ExitCanceled, "": console.ExitUnknown, "Brilliant": console.ExitUnknown,
		client.TaskExecuting: console.ExitUnknown,
	} {
		if got := task.ExitCode(client.Task{State: state}); got != want {
			t.Errorf("%q: %d, want %d", state, got, want)
		}
	}
	for _, tc := range []struct {
		codes []int
		want  int
	}{
		{nil, 0},
		{[]int{0, 0}, 0},
		{[]int{0, 5}, 5},
		{[]int{5, 4}, 4},
		{[]int{4, 6, 5}, 6},
		{[]int{6, 4, 1}, 1},
	} {
		if got := task.Worst(tc.codes); got != tc.want {
			t.Errorf("Worst(%v) = %d, want %d", tc.codes, got, tc.want)
		}
	}
}
