package rollout

import (
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/template"
)

// holds decides a condition: failed says whether what it looks back on (named
// by where) has failed. reason says why it does not hold. action and m are nil
// for a step.
func (t *turn) holds(c Condition, expression string, failed bool, where string, step int, action *Action, m *Member) (run bool, reason string, err error) {
	switch c {
	case ConditionFailure:
		return failed, "runs only after a failure", nil
	case ConditionAlways:
		return true, "", nil
	case ConditionVariable:
		value, err := t.evaluate(expression, step, action, m)
		return value, fmt.Sprintf("its condition %s is not true", expression), err
	case ConditionSuccess:
	}
	return !failed, where + " failed before it", nil
}

// evaluate answers a condition's expression over the plan's variables, the
// output variables and the outcome so far. A secret has no value here: an
// expression that needs one is an error, not false.
func (t *turn) evaluate(expression string, step int, action *Action, m *Member) (bool, error) {
	set, secrets := t.values(step, action, m)
	err := set.Expand(expression).Err
	if missing := (*template.MissingError)(nil); errors.As(err, &missing) {
		return false, secretNeeded(missing.Tokens, secrets) // an undefined variable is not true
	}
	return err == nil && set.EvaluateTruthy(expression), err
}

// expand fills a text for people in; what has no value, a secret among it,
// stays as it was written.
func (t *turn) expand(text string, step int, action *Action, m *Member) string {
	set, _ := t.values(step, action, m)
	return set.Expand(text).Text
}

// values are what the server may evaluate: everything but secrets, whose names
// it returns.
func (t *turn) values(step int, action *Action, m *Member) (set *template.Set, secrets []string) {
	if m == nil {
		m = &Member{}
	}
	bag := variableBag{}
	bag.addPlan(t.p, &t.p.Steps[step], action, m)
	bag.addOutputs(t.p, m, t.w.allOutputs())
	t.addOutcome(bag)
	set = template.NewSet()
	for _, v := range bag.sorted() {
		switch {
		case v.Secret != nil:
			secrets = append(secrets, v.Name)
		case v.Literal:
			set.PutLiteral(v.Name, v.Value)
		default:
			set.Put(v.Name, v.Value)
		}
	}
	return set, secrets
}

// addOutcome puts how the rollout has gone so far, under the names that the
// field's processes use: Octopus.Deployment.Error is there when a step failed.
func (t *turn) addOutcome(bag variableBag) {
	for i := range t.p.Steps[:min(t.p.together(max(t.w.Row.Step, 0)), len(t.p.Steps))] {
		row, name := t.w.step(i), t.p.Steps[i].Name
		prefix := "Octopus.Step[" + name + "].Status."
		bag.literal(prefix+"Code", statusCode(row.State))
		if row.Failed == 0 && row.State != StepFailed {
			continue
		}
		bag.literal(prefix+"Error", row.Reason)
		bag.literal(prefix+"ErrorDetail", row.Reason)
		if _, has := bag["octopus.deployment.error"]; !has {
			bag.literal("Octopus.Deployment.Error", row.Reason)
			bag.literal("Octopus.Deployment.ErrorDetail", "Step "+name+": "+row.Reason)
		}
	}
}

// statusCode is a step's state as expressions compare it.
func statusCode(s StepState) string {
	switch s {
	case StepOpen:
		return "Running"
	case StepPending, StepSucceeded, StepFailed, StepSkipped, StepCanceled:
	}
	return string(s)
}

// secretNeeded is the error of an expression that looked at a secret.
func secretNeeded(tokens, secrets []string) error {
	for _, token := range tokens {
		for _, name := range secrets {
			if strings.EqualFold(strings.Trim(token, "#{} "), name) {
				return fmt.Errorf("it needs the sensitive variable %q; use a variable that is not sensitive", name)
			}
		}
	}
	return nil
}
