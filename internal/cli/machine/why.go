package machine

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// explained is the truth about a machine, as the server tells it.
type explained struct {
	Name         string
	IsDisabled   bool
	HealthStatus string
	Link         struct{ State, Since string }
	Runs         []struct{ ProjectName, EnvironmentName, ReleaseVersion, Text string }
	Waits        []struct{ Text string }
	History      []struct{ TaskID, Description, State, At, Text string }
}

// Why is `slipway why`.
func Why(c *console.Console) *cobra.Command {
	k := kind.Machine()
	return &cobra.Command{
		Use: "why NAME|ID", Short: "Say what a machine runs, since when, by which task, and what it waits for",
		Long: "Say what a machine runs, since when and by which task, and what keeps it from running anything else:\n" +
			"the release it is owed, the task that works on it, a lock, a window, an answer, its agent, its health;\n" +
			"and why it was skipped or superseded in the last rollouts.",
		Example: "  slipway why web-01\n  slipway why web-01 --format json",
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: k.Complete(c),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			doc, err := k.Find(cmd.Context(), cl, args[0])
			if err != nil {
				return err
			}
			path, err := cl.Path(cmd.Context(), "machines/"+url.PathEscape(doc.ID())+"/why")
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Get(cmd.Context(), path, nil, &raw); err != nil {
				return err
			}
			var e explained
			if err := raw.Decode(&e); err != nil {
				return err
			}
			return c.Print(e.result(raw))
		},
	}
}

func (e *explained) result(raw client.Document) console.Result {
	head := fmt.Sprintf("%s: %s", e.Name, e.HealthStatus)
	if e.IsDisabled {
		head += ", disabled"
	}
	if e.Link.State == "Connected" {
		head += ", connected since " + short(e.Link.Since)
	}
	result := console.Result{Lines: []string{head, "", "Runs:"}, JSON: raw}
	for _, r := range e.Runs {
		result.Lines = append(result.Lines, "  "+r.Text)
		result.Basic = append(result.Basic, r.ProjectName+" "+r.EnvironmentName+" "+r.ReleaseVersion)
	}
	if len(e.Runs) == 0 {
		result.Lines = append(result.Lines, "  Nothing that was proved.")
	}
	result.Lines = append(result.Lines, "", "Waits for:")
	for _, w := range e.Waits {
		result.Lines = append(result.Lines, "  "+w.Text)
	}
	if len(e.Waits) == 0 {
		result.Lines = append(result.Lines, "  Nothing.")
	}
	if len(e.History) > 0 {
		result.Lines = append(result.Lines, "", "Took part in:")
	}
	for _, p := range e.History {
		result.Lines = append(result.Lines, fmt.Sprintf("  %s  %s  %s  %s: %s", short(p.At), p.TaskID, p.Description, p.State, p.Text))
	}
	return result
}

// short is a moment without its fractions of a second, as it came otherwise.
func short(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return t.UTC().Format(time.RFC3339)
}
