package task

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

func logCommand(c *console.Console) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "log TASK", Aliases: []string{"logs"}, Short: "Print a task's log; --follow prints on until the task is over",
		Long: "Print a task's log. With --follow, new lines are printed until the task is over, each with the\n" +
			"machine it comes from, and the exit code says how it ended.",
		Example: "  slipway task log ServerTasks-1\n  slipway task log ServerTasks-1 --follow",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			switch {
			case follow:
				return followLog(cmd.Context(), c, cl, args[0])
			case c.Format == console.JSON:
				details, err := cl.TaskDetails(cmd.Context(), args[0], 0)
				if err != nil {
					return err
				}
				return c.Print(console.Result{JSON: details})
			}
			return cl.TaskLog(cmd.Context(), args[0], &cleaner{c: c})
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "print new lines until the task is over")
	return cmd
}

// cleaner keeps a log from steering the terminal it is printed to; into a file
// or a pipe the bytes go as they are.
type cleaner struct{ c *console.Console }

func (w *cleaner) Write(p []byte) (int, error) {
	if !w.c.Terminal.IsTerminal(w.c.Out) {
		return w.c.Out.Write(p)
	}
	if _, err := fmt.Fprint(w.c.Out, console.Printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// followLog prints the lines of all activities as they come.
func followLog(ctx context.Context, c *console.Console, cl *client.Client, id string) error {
	view := &tail{out: &cleaner{c: c}, printed: map[string]int{}}
	watch := &watcher{c: c, cl: cl, every: pollEvery, view: view}
	known, err := watch.wait(ctx, id)
	if err != nil {
		return err
	}
	if view.err != nil {
		return view.err
	}
	if code := ExitCode(known); code != console.ExitSuccess {
		c.Notef("%s", console.Printable(Sentence(known)))
		return &console.ExitError{Code: code}
	}
	return nil
}

// tail is a view that prints log lines it has not printed.
type tail struct {
	out     *cleaner
	printed map[string]int
	err     error
}

func (t *tail) show(d client.TaskDetails) {
	for _, a := range d.ActivityLogs {
		t.activity("", a)
	}
}

func (t *tail) activity(path string, a *client.Activity) {
	name := strings.TrimPrefix(path+" / "+oneLine(a.Name), " / ")
	key := a.ID + "\x00" + name
	for _, e := range a.LogElements[min(t.printed[key], len(a.LogElements)):] {
		level := ""
		if e.Category == "Error" || e.Category == "Fatal" || e.Category == "Warning" {
			level = strings.ToLower(e.Category) + ": "
		}
		if _, err := fmt.Fprintf(t.out, "%s | %s%s\n", name, level, strings.TrimRight(e.MessageText, "\r\n")); err != nil && t.err == nil {
			t.err = fmt.Errorf("print log: %w", err)
		}
	}
	t.printed[key] = max(t.printed[key], len(a.LogElements))
	for _, child := range a.Children {
		t.activity(name, child)
	}
}

func (t *tail) end() {}
