package mark_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/demo/mark"
)

func at(second int) time.Time { return time.Unix(int64(1_000+second), 0).UTC() }

func line(event mark.Event, attempt, action, machine string, second int) mark.Mark {
	return mark.Mark{Event: event, Attempt: attempt, Deployment: "Deployments-1", Action: action, Machine: machine, At: at(second)}
}

func TestDoubleStartsAreCounted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		marks []mark.Mark
		want  int
	}{
		"none": {nil, 0},
		"once each": {[]mark.Mark{
			line(mark.Start, "a1", "Drain", "web-1", 1), line(mark.End, "a1", "Drain", "web-1", 2),
			line(mark.Start, "a2", "Drain", "web-2", 1), line(mark.Start, "a3", "Deploy", "web-1", 3),
		}, 0},
		"the same attempt": {[]mark.Mark{
			line(mark.Start, "a1", "Drain", "web-1", 1), line(mark.Start, "a1", "Drain", "web-1", 2),
		}, 1},
		"another attempt at the same action": {[]mark.Mark{
			line(mark.Start, "a1", "Drain", "web-1", 1), line(mark.Start, "a2", "Drain", "web-1", 9),
		}, 1},
		"the same attempt elsewhere": {[]mark.Mark{
			line(mark.Start, "a1", "Drain", "web-1", 1), line(mark.Start, "a1", "Deploy", "web-2", 9),
		}, 1},
		"without attempt ids": {[]mark.Mark{
			line(mark.Start, "", "Drain", "web-1", 1), line(mark.Start, "", "Drain", "web-2", 9),
		}, 0},
	} {
		if got := mark.StartedTwice(tc.marks); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestRunningMeansEnclosed: only a script whose own times lie on both sides of
// the kill counts as running through it.
func TestRunningMeansEnclosed(t *testing.T) {
	t.Parallel()
	marks := []mark.Mark{
		line(mark.Start, "a1", "Verify", "web-1", 1),
		line(mark.Start, "a2", "Verify", "web-2", 2),
		line(mark.Start, "a3", "Verify", "web-3", 3), // never ends
		line(mark.End, "a1", "Verify", "web-1", 6),
		line(mark.End, "a2", "Verify", "web-2", 4),
		line(mark.Start, "a4", "Verify", "web-4", 7), line(mark.End, "a4", "Verify", "web-4", 8),
	}
	if got := mark.Running(marks, at(5)); got != 1 {
		t.Errorf("%d enclose second 5, want 1", got)
	}
	if open := mark.Unfinished(marks); len(open) != 1 || open[0].Attempt != "a3" {
		t.Errorf("unfinished: %v", open)
	}
}

func TestMarksOfManyScriptsStayWhole(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if marks, err := mark.Read(folder); err != nil || marks != nil {
		t.Fatalf("%v, %v", marks, err)
	}
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if err := mark.Write(folder, line(mark.Start, "a", "Drain", "web-1", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if marks, err := mark.Read(folder); err != nil || len(marks) != 50 {
		t.Errorf("%d marks, %v", len(marks), err)
	}
	// A torn line is an error: what was counted without it would flatter.
	file, err := os.OpenFile(filepath.Join(folder, "marks.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"Event":"sta`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := mark.Read(folder); err == nil {
		t.Error("a torn line was overlooked")
	}
}
