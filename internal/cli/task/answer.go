package task

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// interruption is a question that a task waits on (octopus-api.md 2.21).
type interruption struct {
	ID        string `json:"Id"`
	Title     string
	IsPending bool
	Form      struct {
		Elements []struct {
			Name    string
			Control struct {
				Type    string
				Text    string
				Buttons []struct{ Text, Value string }
			}
		}
	}
	Links map[string]string
}

// choice is the element with the buttons, and their values.
func (i interruption) choice() (name string, values []string) {
	for _, e := range i.Form.Elements {
		if e.Control.Type != "SubmitButtonGroup" {
			continue
		}
		for _, b := range e.Control.Buttons {
			values = append(values, b.Value)
		}
		return e.Name, values
	}
	return "Result", nil
}

func answer(c *console.Console) *cobra.Command {
	var with, notes string
	cmd := &cobra.Command{
		Use: "answer TASK", Short: "Show the questions a task waits on, and answer one",
		Long: "Show the questions a task waits on: a manual step, a failure with guidance, or a script whose end is\n" +
			"not known. With --with, take responsibility for the question and answer it.",
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
			open, err := client.List[interruption](cmd.Context(), cl, path, url.Values{"regarding": {args[0]}, "pendingOnly": {"true"}}, 0)
			if err != nil {
				return err
			}
			if with == "" {
				return printQuestions(c, open)
			}
			return submit(cmd, c, cl, path, args[0], open, with, notes)
		},
	}
	cmd.Flags().StringVar(&with, "with", "", "the answer: one of the choices shown")
	cmd.Flags().StringVar(&notes, "notes", "", "why, for the audit log")
	return cmd
}

func printQuestions(c *console.Console, open []interruption) error {
	result := console.Result{Columns: []string{"ID", "QUESTION", "CHOICES"}, JSON: open}
	for _, q := range open {
		_, values := q.choice()
		result.Rows = append(result.Rows, []string{q.ID, q.Title, strings.Join(values, ", ")})
		result.Basic = append(result.Basic, q.ID)
	}
	return c.Print(result)
}

func submit(cmd *cobra.Command, c *console.Console, cl *client.Client, path, task string, open []interruption, with, notes string) error {
	if len(open) == 0 {
		return resource.Errorf(resource.NotFound, "%s waits on no question.", task)
	}
	q := open[0]
	field, values := q.choice()
	for _, value := range values {
		if strings.EqualFold(value, with) {
			with = value
		}
	}
	if len(values) > 0 && !slices.Contains(values, with) {
		return console.Usagef("%q is no choice of %q.%s", with, q.Title, console.DidYouMean(with, values))
	}
	base := path + "/" + url.PathEscape(q.ID)
	if err := cl.Put(cmd.Context(), base+"/responsible", struct{}{}, nil); err != nil {
		return fmt.Errorf("take responsibility for %s: %w", q.ID, err)
	}
	var after json.RawMessage
	if err := cl.Post(cmd.Context(), base+"/submit", map[string]string{field: with, "Notes": notes}, &after); err != nil {
		return fmt.Errorf("answer %s: %w", q.ID, err)
	}
	return c.Print(console.Result{
		Lines: []string{fmt.Sprintf("Answered %q with %s.", q.Title, with)},
		Basic: []string{q.ID}, JSON: after,
	})
}
