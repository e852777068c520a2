package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// WaitFlags are the flags of every command that can wait for its task.
type WaitFlags struct {
	Wait            bool
	Timeout         time.Duration
	CancelOnTimeout bool
}

// Bind declares --wait and its companions.
func (w *WaitFlags) Bind(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.Wait, "wait", "w", false, "wait for the end and exit with its outcome")
	w.bindLimits(cmd)
}

func (w *WaitFlags) bindLimits(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.Timeout, "wait-timeout", 0, "stop waiting after this long, e.g. 30m (0: never); exit code 4")
	cmd.Flags().BoolVar(&w.CancelOnTimeout, "cancel-on-timeout", false, "cancel what still runs when the wait times out")
}

// Finish prints what was started and, where asked, waits for its end. started
// is printed at once, except as JSON, which is one document per run: then the
// tasks' last states take its place.
func (w *WaitFlags) Finish(ctx context.Context, c *console.Console, cl *client.Client, ids []string, started console.Result) error {
	if !w.Wait {
		return c.Print(started)
	}
	if c.Format != console.JSON {
		if err := c.Print(started); err != nil {
			return err
		}
	}
	return w.Run(ctx, c, cl, ids)
}

// Run waits for the tasks and ends with their outcome as exit code.
func (w *WaitFlags) Run(ctx context.Context, c *console.Console, cl *client.Client, ids []string) error {
	waiting := ctx
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(ctx, w.Timeout, errWaited)
		defer cancel()
	}
	watch := &watcher{c: c, cl: cl, every: pollEvery, tail: lastLines, view: newView(c)}
	tasks := make([]client.Task, 0, len(ids))
	codes := make([]int, 0, len(ids))
	for _, id := range ids {
		known, err := watch.wait(waiting, id)
		if known.ID == "" {
			known.ID = id
		}
		code, err := w.judge(ctx, c, cl, known, err)
		if err != nil {
			return err
		}
		tasks, codes = append(tasks, known), append(codes, code)
	}
	if err := printOutcomes(c, tasks); err != nil {
		return err
	}
	if code := Worst(codes); code != console.ExitSuccess {
		return &console.ExitError{Code: code}
	}
	return nil
}

// judge turns the end of one wait into an exit code.
func (w *WaitFlags) judge(ctx context.Context, c *console.Console, cl *client.Client, t client.Task, err error) (int, error) {
	switch {
	case err == nil && t.IsCompleted:
		return ExitCode(t), nil
	case err == nil:
		c.Notef("%s waits for a decision: how a script ended is not known. Look at it with `slipway task log %s`,"+
			" decide with `slipway task answer %s`, then `slipway task wait %s`.", t.ID, t.ID, t.ID, t.ID)
		return console.ExitUnknown, nil
	case errors.Is(err, errWaited) && w.CancelOnTimeout:
		if _, err := cl.CancelTask(ctx, t.ID); err != nil {
			return 0, fmt.Errorf("cancel %s: %w", t.ID, err)
		}
		c.Notef("The wait timed out; %s is being canceled.", t.ID)
		return console.ExitTimeout, nil
	case errors.Is(err, errWaited):
		c.Notef("The wait timed out; %s goes on. Wait again with `slipway task wait %s`.", t.ID, t.ID)
		return console.ExitTimeout, nil
	case errors.Is(err, context.Canceled):
		return 0, &console.ExitError{
			Code: console.ExitUnknown,
			Err:  fmt.Errorf("interrupted; %s goes on. Wait again with `slipway task wait %s`, or stop it with `slipway task cancel %s`", t.ID, t.ID, t.ID),
		}
	}
	return 0, err
}

func printOutcomes(c *console.Console, tasks []client.Task) error {
	result := console.Result{JSON: tasks}
	for _, t := range tasks {
		result.Lines = append(result.Lines, Sentence(t))
		// The ids were printed when the tasks were started.
	}
	return c.Print(result)
}
