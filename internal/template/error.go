package template

import (
	"fmt"
	"strings"
)

// ParseError says where a template stops being one. The text is then used
// unchanged.
type ParseError struct {
	Line, Column int // 1-based; the column counts characters
	Reason       string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("the template cannot be read: %s (line %d, column %d)", e.Reason, e.Line, e.Column)
}

// MissingError lists the tokens that had no value, in order, each rendered
// canonically. They stay in the text as they were.
type MissingError struct{ Tokens []string }

func (e *MissingError) Error() string {
	return "The following tokens were unable to be evaluated: '" + strings.Join(e.Tokens, "', '") + "'"
}

// LoopError names the cycle of variables that refer to each other
// (configuration.md 1.5, abuse 62). Nothing was evaluated.
type LoopError struct {
	Symbol string
	Chain  []string // outermost first, ends with Symbol
}

func (e *LoopError) Error() string {
	return fmt.Sprintf("An attempt to parse the variable symbol %q appears to have resulted in a self referencing loop (%s). "+
		"Ensure that recursive loops do not exist in the variable values.", e.Symbol, strings.Join(e.Chain, " -> "))
}

// BudgetError says which limit an evaluation went over (abuse 62). Nothing was
// evaluated.
type BudgetError struct {
	What  string // "nesting", "steps" or "output bytes"
	Limit int
	Chain []string // the variables being expanded at that moment, outermost first
}

func (e *BudgetError) Error() string {
	text := fmt.Sprintf("evaluating the template takes more than %d %s", e.Limit, e.What)
	if len(e.Chain) > 0 {
		text += " (in " + strings.Join(e.Chain, " -> ") + ")"
	}
	return text
}

// UnsupportedError names a construct that the language has and this version
// does not evaluate. A step that uses it fails by that name instead of writing
// something else.
type UnsupportedError struct{ Construct string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the template uses %s, which is not supported yet", e.Construct)
}

// FilterError says that a filter cannot work on its input, for example bad
// base64.
type FilterError struct {
	Filter string
	Err    error
}

func (e *FilterError) Error() string { return fmt.Sprintf("filter %s: %v", e.Filter, e.Err) }

func (e *FilterError) Unwrap() error { return e.Err }
