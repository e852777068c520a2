package process

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// steps are the process's steps as documents: an edit keeps what this program
// does not know.
func (l loaded) steps() ([]client.Document, error) {
	var steps []client.Document
	if err := json.Unmarshal(l.doc["Steps"], &steps); err != nil {
		return nil, fmt.Errorf("read steps: %w", err)
	}
	return steps, nil
}

// property reads a property of a step or action; a sensitive one is "".
func property(doc client.Document, name string) string {
	var properties client.Document
	if json.Unmarshal(doc["Properties"], &properties) != nil {
		return ""
	}
	return properties.Text(name)
}

func actions(step client.Document) []client.Document {
	var list []client.Document
	if json.Unmarshal(step["Actions"], &list) != nil {
		return nil
	}
	return list
}

func printSteps(c *console.Console, doc client.Document) error {
	steps, err := loaded{doc: doc}.steps()
	if err != nil {
		return err
	}
	result := console.Result{Columns: []string{"STEP", "NAME", "ROLES", "WINDOW", "CONDITION", "DOES"}, JSON: steps}
	for i, step := range steps {
		result.Rows = append(result.Rows, []string{
			fmt.Sprint(i + 1), step.Text("Name"), property(step, "Octopus.Action.TargetRoles"),
			property(step, "Octopus.Action.MaxParallelism"), condition(step), does(step),
		})
		result.Basic = append(result.Basic, step.Text("Name"))
	}
	return c.Print(result)
}

func condition(step client.Document) string {
	if expression := property(step, "Octopus.Step.ConditionVariableExpression"); step.Text("Condition") == "Variable" {
		return expression
	}
	return step.Text("Condition")
}

func does(step client.Document) string {
	list := actions(step)
	parts := make([]string, len(list))
	for i, action := range list {
		what := strings.TrimPrefix(action.Text("ActionType"), "Octopus.")
		if id := property(action, "Octopus.Action.Package.PackageId"); id != "" {
			what = id
		}
		if parts[i] = what; len(list) > 1 {
			parts[i] = action.Text("Name") + " (" + what + ")"
		}
	}
	return strings.Join(parts, ", ")
}

func listSteps(c *console.Console, project *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the steps",
		Example: "  slipway process step list --project Shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			l, err := load(cmd.Context(), cl, *project)
			if err != nil {
				return err
			}
			return printSteps(c, l.doc)
		},
	}
}

func deleteStep(c *console.Console, project *string) *cobra.Command {
	return &cobra.Command{
		Use: "delete STEP", Aliases: []string{"rm"}, Short: "Delete a step with its actions",
		Example: "  slipway process step delete \"Migrate the database\" --project Shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			l, err := load(cmd.Context(), cl, *project)
			if err != nil {
				return err
			}
			steps, err := l.steps()
			if err != nil {
				return err
			}
			at, err := find(steps, args[0])
			if err != nil {
				return err
			}
			if err := l.doc.Set("Steps", slices.Delete(steps, at, at+1)); err != nil {
				return err
			}
			saved, err := l.save(cmd.Context(), cl)
			if err != nil {
				return err
			}
			return printSteps(c, saved)
		},
	}
}

// find is the index of the step with that name or slug.
func find(steps []client.Document, name string) (int, error) {
	var names []string
	for i, step := range steps {
		if strings.EqualFold(step.Text("Name"), name) || strings.EqualFold(step.Text("Slug"), name) {
			return i, nil
		}
		names = append(names, step.Text("Name"))
	}
	return 0, resource.Errorf(resource.NotFound, "There is no step %q.%s", name, console.DidYouMean(name, names))
}
