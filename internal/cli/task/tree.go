package task

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// The states of an activity (octopus-api.md 2.14).
const (
	pending  = "Pending"
	running  = "Running"
	success  = "Success"
	failed   = "Failed"
	skipped  = "Skipped"
	warned   = "SuccessWithWarning"
	canceled = "Canceled"
)

// Frame is what a tree is drawn into. Width and Height are in characters; 0
// means no limit.
type Frame struct {
	Width, Height int
	Color         bool
	Now           time.Time
}

// Render draws a task's steps and machines, one line each. What does not fit
// the height is summed up: first the children of steps that are over, then the
// machines that are done or have not begun, so that what runs and what failed
// stays in sight.
func Render(d client.TaskDetails, f Frame) []string {
	lines := []string{f.head(d)}
	steps := stepsOf(d)
	budget := 0
	if f.Height > 0 {
		budget = max(f.Height-1-len(steps), 0)
	}
	for _, step := range steps {
		lines = append(lines, f.line(1, step, tally(step)))
		shown := pick(step.Children, budget, f.Height > 0)
		if f.Height > 0 {
			budget -= len(shown)
		}
		for _, child := range shown {
			lines = append(lines, f.line(2, child, last(child)))
		}
	}
	if f.Height > 0 && len(lines) > f.Height {
		more := len(lines) - f.Height + 1
		lines = append(lines[:f.Height-1], fmt.Sprintf("  … %d more", more))
	}
	return lines
}

// stepsOf are the activities below the task's own: the steps.
func stepsOf(d client.TaskDetails) []*client.Activity {
	if len(d.ActivityLogs) == 1 && len(d.ActivityLogs[0].Children) > 0 {
		return d.ActivityLogs[0].Children
	}
	return d.ActivityLogs
}

// pick chooses at most budget of a step's machines, the most telling first, in
// their own order.
func pick(children []*client.Activity, budget int, limited bool) []*client.Activity {
	if !limited || len(children) <= budget {
		return children
	}
	keep := make(map[*client.Activity]bool, budget)
	for _, wanted := range [][]string{{failed}, {running}, {warned, canceled}, {pending}, {success, skipped}} {
		for _, child := range children {
			if len(keep) < budget && among(child.Status, wanted) {
				keep[child] = true
			}
		}
	}
	var shown []*client.Activity
	for _, child := range children {
		if keep[child] {
			shown = append(shown, child)
		}
	}
	return shown
}

func among(status string, wanted []string) bool { return slices.Contains(wanted, status) }

func (f Frame) head(d client.TaskDetails) string {
	text := d.Task.ID + "  " + d.Task.Description + "  " + word(d.Task.State)
	if d.Task.WaitsFor != "" && !d.Task.IsCompleted {
		text += ", waits for " + d.Task.WaitsFor
	}
	if d.Task.HasPendingInterruptions {
		text += ", waits for an answer"
	}
	if d.Progress.ProgressPercentage > 0 && !d.Task.IsCompleted {
		text += fmt.Sprintf("  %d %%", d.Progress.ProgressPercentage)
	}
	if spent := f.spent(d.Task.StartTime, d.Task.CompletedTime); spent != "" {
		text += "  " + spent
	}
	return f.fit(console.Printable(text))
}

func (f Frame) line(depth int, a *client.Activity, note string) string {
	text := strings.Repeat("  ", depth) + mark(a.Status) + " " + oneLine(a.Name)
	if spent := f.spent(a.Started, a.Ended); spent != "" {
		text += "  " + spent
	}
	if note != "" {
		text += "  " + oneLine(note)
	}
	text = f.fit(text)
	if code := color(a.Status); f.Color && code != "" {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}

func oneLine(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(console.Printable(text), "\n", " "), "\t", " ")
}

// fit cuts a line at the width: a wrapped line would break the redraw.
func (f Frame) fit(text string) string {
	if f.Width <= 0 || utf8.RuneCountInString(text) <= f.Width {
		return text
	}
	return string([]rune(text)[:max(f.Width-1, 0)]) + "…"
}

func (f Frame) spent(started, ended string) string {
	from, err := time.Parse(time.RFC3339Nano, started)
	if err != nil {
		return ""
	}
	to, err := time.Parse(time.RFC3339Nano, ended)
	if err != nil {
		to = f.Now
	}
	if to.Before(from) {
		return ""
	}
	return to.Sub(from).Round(time.Second).String()
}

func mark(status string) string {
	switch status {
	case running:
		return "▸"
	case success:
		return "✓"
	case failed:
		return "✗"
	case skipped:
		return "-"
	case warned:
		return "!"
	case canceled:
		return "⊘"
	}
	return "·"
}

func color(status string) string {
	switch status {
	case running:
		return "36"
	case success:
		return "32"
	case failed:
		return "31"
	case warned, canceled:
		return "33"
	case skipped, pending:
		return "2"
	}
	return ""
}

// tally counts a step's machines: "3 of 8, 1 failed".
func tally(step *client.Activity) string {
	if len(step.Children) == 0 {
		return last(step)
	}
	var done, bad int
	for _, child := range step.Children {
		switch child.Status {
		case success, skipped, warned:
			done++
		case failed, canceled:
			bad++
		}
	}
	text := fmt.Sprintf("%d of %d", done, len(step.Children))
	if bad > 0 {
		text += fmt.Sprintf(", %d failed", bad)
	}
	return text
}

// last is what an activity says about itself: what it does while it runs, why
// once it did not succeed.
func last(a *client.Activity) string {
	if a.Status == success {
		return ""
	}
	for _, child := range a.Children {
		if child.Status != a.Status || a.Status == pending {
			continue
		}
		return strings.TrimSuffix(child.Name+": "+last(child), ": ")
	}
	if a.ProgressMessage != "" || a.Status != failed {
		return a.ProgressMessage
	}
	for _, e := range slices.Backward(a.LogElements) {
		if e.Category == "Error" || e.Category == "Fatal" {
			return e.MessageText
		}
	}
	return ""
}
