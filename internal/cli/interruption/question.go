package interruption

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// Question is an interruption as the API has it.
type Question struct {
	ID                  string `json:"Id"`
	Title               string
	Type                string
	TaskID              string `json:"TaskId"`
	MachineID           string `json:"MachineId"`
	Created             string
	Deadline            string `json:",omitempty"`
	IsPending           bool
	ResponsibleUserName string `json:",omitempty"`
	ClosedBecause       string `json:",omitempty"`
	Form                struct {
		Values   map[string]string
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

// Choice is the form's field for the answer, and its values.
func (q *Question) Choice() (field string, values []string) {
	for _, e := range q.Form.Elements {
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

// state says where the question is, for people.
func (q *Question) state() string {
	field, _ := q.Choice()
	switch given := q.Form.Values[field]; {
	case q.IsPending && q.ResponsibleUserName != "":
		return "waits for " + q.ResponsibleUserName
	case q.IsPending:
		return "waits for an answer"
	case given != "":
		return given + ", said " + q.ResponsibleUserName
	default:
		return "not asked any more: " + q.ClosedBecause
	}
}

// Table lists questions.
func Table(list []Question) console.Result {
	result := console.Result{Columns: []string{"ID", "TASK", "QUESTION", "STATE", "CHOICES"}, JSON: list}
	for i := range list {
		q := &list[i]
		choices := ""
		if _, values := q.Choice(); q.IsPending {
			choices = strings.Join(values, ", ")
		}
		result.Rows = append(result.Rows, []string{q.ID, q.TaskID, console.Printable(q.Title), console.Printable(q.state()), choices})
		result.Basic = append(result.Basic, q.ID)
	}
	return result
}

// Submit takes responsibility for a question and answers it.
func Submit(cmd *cobra.Command, c *console.Console, cl *client.Client, q *Question, with, notes string) error {
	field, values := q.Choice()
	for _, value := range values {
		if strings.EqualFold(value, with) {
			with = value
		}
	}
	if len(values) > 0 && !slices.Contains(values, with) {
		return console.Usagef("%q is no choice of %q.%s", with, q.Title, console.DidYouMean(with, values))
	}
	path, err := cl.Path(cmd.Context(), "interruptions")
	if err != nil {
		return err
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
		Lines: []string{fmt.Sprintf("Answered %q with %s.", console.Printable(q.Title), with)},
		Basic: []string{q.ID}, JSON: after,
	})
}
