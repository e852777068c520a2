package task

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Command is `slipway task`.
func Command(c *console.Console) *cobra.Command {
	k := kind.Task()
	cmd := k.Group("What the server does and has done",
		list(c, k), get(c), wait(c), watch(c), logCommand(c), receipts(c), answer(c), prioritize(c), cancel(c))
	cmd.Aliases = []string{"tasks"}
	return cmd
}

func list(c *console.Console, k kind.Kind) *cobra.Command {
	var active bool
	var states []string
	var project, environment, name string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tasks, newest first",
		Example: "  slipway task list --active\n  slipway task list --project Shop --state Failed --limit 10",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if active {
				query.Set("active", "true")
			}
			for param, value := range map[string]string{"states": strings.Join(states, ","), "name": name} {
				if value != "" {
					query.Set(param, value)
				}
			}
			for param, of := range map[string]struct {
				k   kind.Kind
				ref string
			}{"project": {kind.Project(), project}, "environment": {kind.Environment(), environment}} {
				if of.ref == "" {
					continue
				}
				doc, err := of.k.Find(cmd.Context(), cl, of.ref)
				if err != nil {
					return err
				}
				query.Set(param, doc.ID())
			}
			return k.ListAll(cmd, c, cl, query, limit)
		},
	}
	cmd.Flags().BoolVar(&active, "active", false, "only those that are not over")
	cmd.Flags().StringSliceVar(&states, "state", nil, "only in these states: Queued, Executing, Success, Failed, Canceled, TimedOut, Cancelling")
	cmd.Flags().StringVar(&name, "kind", "", "only of this kind, e.g. Deploy or Health")
	cmd.Flags().StringVarP(&project, "project", "p", "", "only of this project")
	cmd.Flags().StringVarP(&environment, "environment", "e", "", "only of this environment")
	cmd.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	return cmd
}

func get(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "get TASK", Aliases: []string{"view", "show"}, Short: "Show a task with its steps and machines",
		Example: "  slipway task get ServerTasks-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			details, err := cl.TaskDetails(cmd.Context(), args[0], lastLines)
			if err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: append(Render(details, Frame{Now: c.Now()}), errorLine(details.Task)...),
				Basic: []string{details.Task.State}, JSON: details.Task,
			})
		},
	}
}

func errorLine(t client.Task) []string {
	if t.ErrorMessage == "" {
		return nil
	}
	return []string{t.ErrorMessage}
}

func wait(c *console.Console) *cobra.Command {
	var flags WaitFlags
	cmd := &cobra.Command{
		Use: "wait TASK…", Short: "Wait for tasks and exit with their outcome",
		Long: "Wait for tasks and exit with their outcome: 0 all succeeded, 1 one failed, 4 the wait timed out,\n" +
			"5 one was canceled, 6 how one ended is not known. Task ids are also read from standard input when\n" +
			"the only argument is -.",
		Example: "  slipway task wait ServerTasks-1 --wait-timeout 30m\n" +
			"  slipway release deploy --project Shop --version 1.2.0 --environment Test --format basic | slipway task wait -",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := ids(c, args)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			return flags.Run(cmd.Context(), c, cl, ids)
		},
	}
	flags.bindLimits(cmd)
	return cmd
}

func ids(c *console.Console, args []string) ([]string, error) {
	if len(args) != 1 || args[0] != "-" {
		return args, nil
	}
	text, err := c.Secret("Task ids")
	if err != nil {
		return nil, err
	}
	list := strings.Fields(text)
	if len(list) == 0 {
		return nil, console.Usagef("no task ids on standard input")
	}
	return list, nil
}

func cancel(c *console.Console) *cobra.Command {
	var flags WaitFlags
	cmd := &cobra.Command{
		Use: "cancel TASK", Short: "Cancel a task: its scripts are ended, then the task is over",
		Example: "  slipway task cancel ServerTasks-1 --wait",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			before, err := cl.Task(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if before.IsCompleted {
				return resource.Errorf(resource.PreconditionFailed, "%s is over already: %s.", before.ID, word(before.State))
			}
			after, err := cl.CancelTask(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if flags.Wait {
				return canceledIsSuccess(flags.Run(cmd.Context(), c, cl, args))
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("%s is being canceled.", before.ID)},
				Basic: []string{before.ID}, JSON: after,
			})
		},
	}
	flags.Bind(cmd)
	return cmd
}

func prioritize(c *console.Console) *cobra.Command {
	var priority int
	cmd := &cobra.Command{
		Use: "prioritize TASK", Aliases: []string{"prioritise"}, Short: "Put a queued task before others",
		Long: "Put a queued task before all others, or with --priority before those of a lower one. The queue\n" +
			"begins the highest first, and the older of two. Tasks have 0 unless something else was asked for.",
		Example: "  slipway task prioritize ServerTasks-1\n  slipway task prioritize ServerTasks-1 --priority -5",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			var wanted *int
			if cmd.Flags().Changed("priority") {
				wanted = &priority
			}
			after, err := cl.PrioritizeTask(cmd.Context(), args[0], wanted)
			if err != nil {
				return err
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("%s has the priority %d and waits for %s", after.ID, after.Priority, after.WaitsFor)},
				Basic: []string{after.ID}, JSON: after,
			})
		},
	}
	cmd.Flags().IntVar(&priority, "priority", 0, "the highest is first (default: higher than all that are queued)")
	return cmd
}

// canceledIsSuccess: whoever cancels and waits got what he asked for.
func canceledIsSuccess(err error) error {
	if exit, ok := err.(*console.ExitError); ok && exit.Code == console.ExitCanceled { //nolint:errorlint // Run returns it bare
		return nil
	}
	return err
}
