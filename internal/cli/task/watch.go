package task

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// errWaited ends a wait whose time is over.
var errWaited = errors.New("the wait timed out")

// pollEvery is how often a task's details are read while it runs.
const pollEvery = time.Second

// lostAfter is how long a wait goes on without an answer of the server: a
// server that restarts or moves to another node is back sooner.
const lostAfter = 2 * time.Minute

// lastLines is how much of each log a tree reads: enough to name an error.
const lastLines = 20

// watcher waits for tasks and shows how they proceed.
type watcher struct {
	c     *console.Console
	cl    *client.Client
	every time.Duration
	tail  int // lines of each log the view wants; 0: all
	view  view
	lost  time.Time // since when the server does not answer; zero: it does
}

// view shows a new state of a task.
type view interface {
	show(details client.TaskDetails)
	// end leaves the last state on the screen.
	end()
}

func newView(c *console.Console) view {
	switch {
	case c.Quiet:
		return silent{}
	case c.Live():
		return &live{c: c}
	}
	return &plain{c: c, seen: map[string]string{}}
}

// wait reads the task until it is over and returns its last known state. The
// error is errWaited, the cause of the context's end, or what the server said.
func (w *watcher) wait(ctx context.Context, id string) (client.Task, error) {
	defer w.view.end()
	var known client.Task
	for {
		details, err := w.cl.TaskDetails(ctx, id, w.tail)
		switch {
		case ctx.Err() != nil:
			return known, context.Cause(ctx)
		case err != nil:
			if err := w.bear(err); err != nil {
				return known, err
			}
		default:
			w.lost = time.Time{}
			known = details.Task
			w.view.show(details)
			if known.IsCompleted {
				return known, nil
			}
			if undecided(known) {
				return known, nil
			}
		}
		if err := w.c.Pause(ctx, w.every); err != nil {
			return known, err
		}
	}
}

// bear lets a wait outlive a server that is away for a while.
func (w *watcher) bear(err error) error {
	if resource.CodeOf(err) != resource.Unavailable {
		return err
	}
	now := w.c.Now()
	if w.lost.IsZero() {
		w.lost = now
		w.c.Notef("%s. Waiting for it to come back.", console.Printable(err.Error()))
	}
	if now.Sub(w.lost) < lostAfter {
		return nil
	}
	return &console.ExitError{Code: console.ExitUnknown, Err: err}
}

// undecided says whether the task cannot go on because the end of a script is
// not known and a person has to decide (P2).
func undecided(t client.Task) bool {
	if !t.HasPendingInterruptions {
		return false
	}
	for _, kind := range t.PendingInterruptionTypes {
		if strings.Contains(strings.ToLower(kind), "unknown") {
			return true
		}
	}
	return false
}

type silent struct{}

func (silent) show(client.TaskDetails) {}
func (silent) end()                    {}

// live redraws the tree in place.
type live struct {
	c     *console.Console
	drawn int
}

func (l *live) show(d client.TaskDetails) {
	width, height, ok := l.c.Terminal.Size()
	if !ok {
		width, height = 80, 24
	}
	frame := Frame{Width: width, Height: max(height-1, 3), Color: l.c.Color(), Now: l.c.Now()}
	lines := Render(d, frame)
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[K" + line + "\n")
	}
	// What is left of a longer tree goes away.
	b.WriteString("\x1b[J")
	fmt.Fprint(l.c.Err, b.String())
	l.drawn = len(lines)
}

func (l *live) end() { l.drawn = 0 }

// plain writes one line per change, for pipes and build logs.
type plain struct {
	c    *console.Console
	seen map[string]string
}

func (p *plain) show(d client.TaskDetails) {
	p.change(d.Task.ID, d.Task.ID+" "+d.Task.Description, word(d.Task.State))
	for _, step := range stepsOf(d) {
		p.activity(d.Task.ID, "", step)
	}
}

func (p *plain) activity(task, parent string, a *client.Activity) {
	name := strings.TrimPrefix(parent+" / "+oneLine(a.Name), " / ")
	if a.Status != pending {
		state := strings.ToLower(a.Status)
		if note := last(a); a.Status == failed && note != "" {
			state += ": " + oneLine(note)
		}
		p.change(task+a.ID+name, name, state)
	}
	for _, child := range a.Children {
		p.activity(task, name, child)
	}
}

func (p *plain) change(key, name, state string) {
	if p.seen[key] != state {
		p.seen[key] = state
		fmt.Fprintf(p.c.Err, "%s  %s: %s\n", p.c.Now().UTC().Format("15:04:05"), console.Printable(name), state)
	}
}

func (p *plain) end() {}
