package task

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

func watch(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "watch TASK", Short: "Watch a task as it goes on: steps and machines with states, reasons and times",
		Long: "Watch a task as it goes on: steps and machines with states, reasons and times, as the server sends them\n" +
			"the moment they change. It outlives a restart of the server. --format json prints one event a line.\n" +
			"The exit code says how the task ended: 0 success, 1 failed, 5 canceled, 6 not known.",
		Example: "  slipway task watch ServerTasks-1\n  slipway task watch ServerTasks-1 --format json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			f := &follower{c: c, watcher: watcher{c: c, cl: cl, view: newView(c)}, by: map[string]*client.Activity{}, root: &client.Activity{}}
			known, err := f.follow(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.Format != console.JSON {
				if err := c.Print(console.Result{Lines: []string{Sentence(known)}, Basic: []string{known.State}}); err != nil {
					return err
				}
			}
			if code := ExitCode(known); code != console.ExitSuccess {
				return &console.ExitError{Code: code}
			}
			return nil
		},
	}
}

// follower puts a task's stream together and shows it.
type follower struct {
	watcher
	c    *console.Console
	root *client.Activity
	by   map[string]*client.Activity
	task client.Task
	last string
	// noted is the number of the last note: one may come twice.
	noted int64
	over  bool
	err   error
}

// follow reads the stream until the task is over, again whenever it ends before.
func (f *follower) follow(ctx context.Context, id string) (client.Task, error) {
	defer f.view.end()
	for {
		err := f.cl.TaskEvents(ctx, id, f.last, f.see)
		switch {
		case f.err != nil:
			return f.task, f.err
		case f.over:
			return f.task, nil
		case ctx.Err() != nil:
			return f.task, context.Cause(ctx)
		case err != nil:
			if err := f.bear(err); err != nil {
				return f.task, err
			}
		}
		if err := f.c.Pause(ctx, pollEvery); err != nil {
			return f.task, err
		}
	}
}

// see takes one event in.
func (f *follower) see(e client.Event) (enough bool) {
	f.last = e.ID
	if e.Name != "" && f.c.Format == console.JSON {
		f.fail(json.NewEncoder(f.c.Out).Encode(e))
	}
	switch e.Name {
	case "activity":
		f.activity(e.Data)
		return f.err != nil
	case "note":
		f.note(e.Data)
		return f.err != nil
	case "task":
		f.lost = time.Time{}
		f.fail(json.Unmarshal(e.Data, &f.task))
	case "end":
		f.over = true
	}
	if f.task.ID != "" && f.c.Format != console.JSON {
		f.show()
	}
	return f.over || f.err != nil
}

func (f *follower) fail(err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("follow the task: %w", err)
	}
}

// activity puts a step, machine or action into its place.
func (f *follower) activity(data []byte) {
	var a struct {
		client.Activity
		ParentID string `json:"ParentId"`
		Reason   string
	}
	if err := json.Unmarshal(data, &a); err != nil {
		f.fail(err)
		return
	}
	known := f.by[a.ID]
	if known == nil {
		known = &client.Activity{ID: a.ID}
		f.by[a.ID] = known
		parent := f.by[a.ParentID]
		if parent == nil {
			parent = f.root
		}
		parent.Children = append(parent.Children, known)
	}
	known.Name, known.Status, known.Started, known.Ended, known.ProgressMessage = a.Name, a.Status, a.Started, a.Ended, a.Reason
}

// note prints what the server says about the whole, where nothing is redrawn.
func (f *follower) note(data []byte) {
	var n struct {
		Number                int64
		Category, MessageText string
	}
	if err := json.Unmarshal(data, &n); err != nil {
		f.fail(err)
		return
	}
	if n.Number > f.noted && f.c.Format != console.JSON && !f.c.Live() {
		f.c.Notef("%s  %s: %s", f.c.Now().UTC().Format("15:04:05"), strings.ToLower(n.Category), console.Printable(n.MessageText))
	}
	f.noted = max(f.noted, n.Number)
}

func (f *follower) show() {
	details := client.TaskDetails{Task: f.task}
	if len(f.root.Children) > 0 {
		details.ActivityLogs = []*client.Activity{f.root}
	}
	f.view.show(details)
}
