package task

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/interruption"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

func answer(c *console.Console) *cobra.Command {
	var with, notes string
	cmd := &cobra.Command{
		Use: "answer TASK", Short: "Show the questions a task waits on, and answer one",
		Long: "Show the questions a task waits on: a manual step, a failure with guidance, or a script whose end is\n" +
			"not known. With --with, take responsibility for the question and answer it; where a task waits on\n" +
			"several, answer each with `slipway interruption answer`.",
		Example: "  slipway task answer ServerTasks-1\n  slipway task answer ServerTasks-1 --with Proceed --notes \"Checked by hand\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			path, err := cl.Path(cmd.Context(), "interruptions")
			if err != nil {
				return err
			}
			open, err := client.List[interruption.Question](cmd.Context(), cl, path, url.Values{"regarding": {args[0]}, "pendingOnly": {"true"}}, 0)
			if err != nil {
				return err
			}
			if with == "" {
				return c.Print(interruption.Table(open))
			}
			only, err := theOnly(args[0], open)
			if err != nil {
				return err
			}
			return interruption.Submit(cmd, c, cl, only, with, notes)
		},
	}
	cmd.Flags().StringVar(&with, "with", "", "the answer: one of the choices shown")
	cmd.Flags().StringVar(&notes, "notes", "", "why, for the audit log")
	return cmd
}

// theOnly is the question that an answer without an id is for: none is taken
// for another machine's.
func theOnly(task string, open []interruption.Question) (*interruption.Question, error) {
	switch len(open) {
	case 0:
		return nil, resource.Errorf(resource.NotFound, "%s waits on no question.", task)
	case 1:
		return &open[0], nil
	}
	var ids []string
	for i := range open {
		ids = append(ids, open[i].ID)
	}
	return nil, console.Usagef("%s waits on %d questions; answer each by its id with `slipway interruption answer`: %s", task, len(open), strings.Join(ids, ", "))
}
