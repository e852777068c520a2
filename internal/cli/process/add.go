package process

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// placement is where a new action goes: into a step of its own, or as a
// further action of an existing step.
type placement struct {
	name, condition, window, into, before string
	roles                                 []string
	once, together                        bool
}

func (p *placement) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&p.roles, "role", nil, "run on the machines with these roles (none: on the server's worker)")
	f.StringVar(&p.window, "window", "", "on how many machines at once: a number or a percentage (default: all)")
	f.StringVar(&p.condition, "condition", "success", "run on: success, failure, always, or a variable expression #{…}")
	f.BoolVar(&p.once, "run-once", false, "run on one machine of the roles only")
	f.BoolVar(&p.together, "with-previous", false, "start together with the step before")
	f.StringVar(&p.into, "into", "", "add it to this step, after its actions, instead of making a step")
	f.StringVar(&p.before, "before", "", "put the new step before this one (default: last)")
}

// place adds the action to the steps.
func (p *placement) place(steps []client.Document, action map[string]any) ([]client.Document, error) {
	if p.into != "" {
		return p.placeInto(steps, action)
	}
	step, err := p.step(action)
	if err != nil {
		return nil, err
	}
	at := len(steps)
	if p.before != "" {
		if at, err = find(steps, p.before); err != nil {
			return nil, err
		}
	}
	return slices.Insert(steps, at, step), nil
}

func (p *placement) placeInto(steps []client.Document, action map[string]any) ([]client.Document, error) {
	if len(p.roles) > 0 || p.window != "" || p.before != "" || p.together {
		return nil, console.Usagef("--role, --window, --before and --with-previous belong to the step; --into names one that has them")
	}
	at, err := find(steps, p.into)
	if err != nil {
		return nil, err
	}
	list := actions(steps[at])
	all := make([]any, 0, len(list)+1)
	for _, existing := range list {
		all = append(all, existing)
	}
	return steps, steps[at].Set("Actions", append(all, action))
}

func (p *placement) step(action map[string]any) (client.Document, error) {
	properties := map[string]string{}
	if len(p.roles) > 0 {
		properties["Octopus.Action.TargetRoles"] = strings.Join(p.roles, ",")
	}
	if p.window != "" {
		properties["Octopus.Action.MaxParallelism"] = p.window
	}
	fields := map[string]any{"Name": p.name, "Condition": "Success", "StartTrigger": "StartAfterPrevious", "Actions": []any{action}}
	switch condition := strings.ToLower(p.condition); {
	case strings.Contains(p.condition, "#{"):
		fields["Condition"] = "Variable"
		properties["Octopus.Step.ConditionVariableExpression"] = p.condition
	case condition == "success", condition == "failure", condition == "always":
		fields["Condition"] = strings.ToUpper(condition[:1]) + condition[1:]
	default:
		return nil, console.Usagef("--condition must be success, failure, always or an expression such as #{Migrate}, not %q", p.condition)
	}
	if p.together {
		fields["StartTrigger"] = "StartWithPrevious"
	}
	fields["Properties"] = properties
	step := client.Document{}
	for field, value := range fields {
		if err := step.Set(field, value); err != nil {
			return nil, err
		}
	}
	return step, nil
}

// action makes the action that is placed.
func (p *placement) action(actionType string, properties map[string]string, packages ...map[string]any) map[string]any {
	if p.once {
		properties["Slipway.Action.RunOnce"] = "True"
	}
	if packages == nil {
		packages = []map[string]any{}
	}
	return map[string]any{"Name": p.name, "ActionType": actionType, "Properties": properties, "Packages": packages}
}

// add is what both verbs do once they have their action.
func add(cmd *cobra.Command, c *console.Console, project string, p *placement, action map[string]any) error {
	cl, err := c.Client()
	if err != nil {
		return err
	}
	l, err := load(cmd.Context(), cl, project)
	if err != nil {
		return err
	}
	steps, err := l.steps()
	if err != nil {
		return err
	}
	if steps, err = p.place(steps, action); err != nil {
		return err
	}
	if err := l.doc.Set("Steps", steps); err != nil {
		return err
	}
	saved, err := l.save(cmd.Context(), cl)
	if err != nil {
		return err
	}
	return printSteps(c, saved)
}
