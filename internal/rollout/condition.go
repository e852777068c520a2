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
func (t *turn) holds(c Condition, expression string, failed bool, where string, action *Action, m *Member) (run bool, reason string, err error) {
	switch c {
	case ConditionFailure:
		return failed, "runs only after a failure", nil
	case ConditionAlways:
		return true, "", nil
	case ConditionVariable:
		value, err := t.evaluate(expression, action, m)
		return value, fmt.Sprintf("its condition %s is not true", expression), err
	case ConditionSuccess:
	}
	return !failed, where + " failed before it", nil
}

// evaluate answers a condition's expression over the plan's variables and the
// output variables so far. A secret has no value here: an expression that
// needs one is an error, not false.
func (t *turn) evaluate(expression string, action *Action, m *Member) (bool, error) {
	step := &t.p.Steps[t.w.Row.Step]
	if m == nil {
		m = &Member{}
	}
	bag := variableBag{}
	bag.addPlan(t.p, step, action, m)
	bag.addOutputs(t.p, m, t.w.allOutputs())
	set := template.NewSet()
	var secrets []string
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
	err := set.Expand(expression).Err
	if missing := (*template.MissingError)(nil); errors.As(err, &missing) {
		return false, secretNeeded(missing.Tokens, secrets) // an undefined variable is not true
	}
	return err == nil && set.EvaluateTruthy(expression), err
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
