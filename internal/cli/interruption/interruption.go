package interruption

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// Command is `slipway interruption`.
func Command(c *console.Console) *cobra.Command {
	cmd := &cobra.Command{Use: "interruption", Aliases: []string{"interruptions"}, Short: "Questions that tasks wait on: failures, manual steps"}
	cmd.AddCommand(list(c), show(c), answer(c))
	return cmd
}

func list(c *console.Console) *cobra.Command {
	var regarding string
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the questions that wait for an answer, latest first",
		Example: "  slipway interruption list\n  slipway interruption list --regarding ServerTasks-1 --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			path, err := cl.Path(cmd.Context(), "interruptions")
			if err != nil {
				return err
			}
			query := url.Values{}
			if !all {
				query.Set("pendingOnly", "true")
			}
			if regarding != "" {
				query.Set("regarding", regarding)
			}
			found, err := client.List[Question](cmd.Context(), cl, path, query, limit)
			if err != nil {
				return err
			}
			return c.Print(Table(found))
		},
	}
	cmd.Flags().StringVar(&regarding, "regarding", "", "only those about this task, deployment, project, environment or machine (its id)")
	cmd.Flags().BoolVar(&all, "all", false, "also those that were answered or withdrawn")
	cmd.Flags().IntVar(&limit, "limit", 30, "at most so many (0: all)")
	return cmd
}

func show(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Aliases: []string{"get"}, Short: "Show a question with its instructions",
		Example: "  slipway interruption show Interruptions-1-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			q, err := find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			result := Table([]Question{*q})
			result.JSON = q
			lines := []string{console.Printable(q.Title), q.TaskID + ", " + console.Printable(q.state()), "", console.Printable(q.Form.Values["Instructions"])}
			if notes := q.Form.Values["Notes"]; notes != "" {
				lines = append(lines, "", "Notes: "+console.Printable(notes))
			}
			if q.Deadline != "" {
				lines = append(lines, "", "Deadline: "+q.Deadline)
			}
			result.Columns, result.Rows, result.Lines = nil, nil, lines
			return c.Print(result)
		},
	}
}

func answer(c *console.Console) *cobra.Command {
	var with, notes string
	cmd := &cobra.Command{
		Use: "answer ID", Short: "Take responsibility for a question and answer it",
		Long: "Take responsibility for a question and answer it. A failure is answered with Retry, Ignore, Exclude\n" +
			"(the machine leaves the rollout and does not count as deployed) or Fail; a manual step with Proceed\n" +
			"or Abort. The first answer wins.",
		Example: "  slipway interruption answer Interruptions-1-1 --with Retry --notes \"The disk is free again\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			q, err := find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return Submit(cmd, c, cl, q, with, notes)
		},
	}
	cmd.Flags().StringVar(&with, "with", "", "the answer: one of the choices shown")
	cmd.Flags().StringVar(&notes, "notes", "", "why, for the audit log")
	// The flag was declared above.
	_ = cmd.MarkFlagRequired("with")
	return cmd
}

func find(ctx context.Context, cl *client.Client, id string) (*Question, error) {
	path, err := cl.Path(ctx, "interruptions")
	if err != nil {
		return nil, err
	}
	q := &Question{}
	return q, cl.Get(ctx, path+"/"+url.PathEscape(id), nil, q)
}
