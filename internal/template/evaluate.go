package template

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// What one evaluation may cost (abuse 62). The limits are counts, so that an
// evaluation that passes on one machine passes on every machine.
const (
	// MaxDepth is how many values may be expanded inside one another.
	MaxDepth = 32
	// MaxOutput is the size of the result, in bytes.
	MaxOutput = 16 << 20
	// maxWritten bounds the bytes written in all intermediate results.
	maxWritten = 4 * MaxOutput
	// MaxSteps is how many tokens, lookups and filters may be evaluated.
	MaxSteps = 1_000_000
	// maxProblems is how many unresolved tokens and how many unreadable
	// stretches are reported one by one.
	maxProblems = 1000
)

// Result is the answer of an evaluation.
type Result struct {
	Text      string
	Null      bool      // the outermost filter was null: there is no text, not an empty one
	Sensitive bool      // a sensitive value was looked at (abuse 74)
	Problems  []Problem // what was left as it stood, in order; the first thousand of each kind
	// Err is a *ParseError (Text is the template unchanged), a *MissingError
	// (Text has the tokens echoed), or what ended the evaluation without a
	// text: *LoopError, *BudgetError, *UnsupportedError or *FilterError.
	Err error
	// Line and Column of the token at which the evaluation ended, when it did.
	Line, Column int
}

// Problem is a stretch that could not be evaluated.
type Problem struct {
	Line, Column int    // 1-based, in the text given
	Token        string // canonical (configuration.md 1.9)
	Err          error  // a *ParseError, or nil when a variable is missing
}

// Evaluate returns the text with every token replaced. With a *ParseError or a
// *MissingError the text is usable; with any other error it is empty
// (configuration.md 1.1).
func (s *Set) Evaluate(text string) (string, error) {
	r := s.Expand(text)
	return r.Text, r.Err
}

// EvaluateTruthy is true only when there is no error and the text is truthy:
// not empty, "0", "no" or "false" (configuration.md 1.6).
func (s *Set) EvaluateTruthy(text string) bool {
	r := s.Expand(text)
	return r.Err == nil && !r.Null && truthy(r.Text)
}

// Expand evaluates the text and says everything there is to say about it.
func (s *Set) Expand(text string) Result {
	if !strings.Contains(text, "#{") {
		return Result{Text: text}
	}
	tokens, failed := parse(text)
	if failed != nil {
		p := Problem{Line: failed.Line, Column: failed.Column, Err: failed}
		return Result{Text: text, Err: failed, Problems: []Problem{p}, Line: failed.Line, Column: failed.Column}
	}
	return s.run(text, tokens)
}

// Lenient evaluates a file: stretches that are no template stay as they are and
// are reported in Problems with their line, as are unresolved tokens; neither
// sets Err (configuration.md 4.3).
func (s *Set) Lenient(text string) Result {
	if !strings.Contains(text, "#{") {
		return Result{Text: text}
	}
	tokens, unread := parseLenient(text)
	r := s.run(text, tokens)
	if _, missing := errors.AsType[*MissingError](r.Err); missing {
		r.Err = nil
	}
	r.Problems = append(r.Problems, unread...)
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return r
}

func (s *Set) run(text string, tokens []token) Result {
	e := &evaluator{root: s.tree(), clock: s.clock, json: map[string]*jsonValue{}}
	var out strings.Builder
	scope := &scope{binding: e.root}
	err := e.tokens(&out, scope, tokens)
	r := Result{Sensitive: e.sensitive}
	if err != nil {
		r.Err = err
		r.Line, r.Column = position(text, e.at)
		return r
	}
	r.report(text, e.missing)
	if e.null {
		r.Null = true
		return r
	}
	r.Text = out.String()
	return r
}

// report turns what was missing into problems and the error that lists it.
func (r *Result) report(text string, unresolved []missing) {
	places := newLocator(text)
	seen := map[string]bool{}
	var names []string
	for _, m := range unresolved {
		if len(r.Problems) < maxProblems {
			problem := Problem{Token: m.token}
			problem.Line, problem.Column = places.find(m.at)
			r.Problems = append(r.Problems, problem)
		}
		if !seen[m.token] {
			seen[m.token] = true
			names = append(names, m.token)
		}
	}
	if len(names) > 0 {
		r.Err = &MissingError{Tokens: names}
	}
}

func truthy(text string) bool {
	trimmed := strings.TrimSpace(text)
	return text != "" && text != "0" && !strings.EqualFold(trimmed, "no") && !strings.EqualFold(trimmed, "false")
}

// evaluator is the state of one evaluation.
type evaluator struct {
	root      *node
	clock     time.Time
	at        int  // offset of the token of the outermost text being evaluated
	depth     int  // values being expanded
	steps     int  // spent
	written   int  // bytes spent
	null      bool // the text of the current level is null
	literal   bool // a literal was used since this was last cleared
	sensitive bool
	missing   []missing
	json      map[string]*jsonValue
}

type missing struct {
	at    int
	token string
}

// scope is where names are looked up: the tree of all variables, a turn of a
// loop, or the empty scope of a value being expanded. stack holds the symbols
// being walked here, for loop detection.
type scope struct {
	binding *node
	parent  *scope
	stack   []*symbol
}

func (e *evaluator) spend(sc *scope, steps int) error {
	e.steps += steps
	//guard:template-steps abuse 62: a template does so much work and no more; seen by ./internal/template TestBudgets
	if e.steps > MaxSteps {
		return &BudgetError{What: "steps", Limit: MaxSteps, Chain: sc.chain()}
	}
	return nil
}

func (e *evaluator) write(out *strings.Builder, sc *scope, text string) error {
	e.written += len(text)
	//guard:template-output abuse 62: a template gives so much text and no more; seen by ./internal/template TestBudgets
	if out.Len()+len(text) > MaxOutput || e.written > maxWritten {
		return &BudgetError{What: "output bytes", Limit: MaxOutput, Chain: sc.chain()}
	}
	out.WriteString(text)
	return nil
}

func (e *evaluator) miss(token string) {
	e.missing = append(e.missing, missing{at: e.at, token: token})
}

func (e *evaluator) tokens(out *strings.Builder, sc *scope, tokens []token) error {
	for _, t := range tokens {
		if e.depth == 0 {
			e.at = t.offset()
		}
		if err := e.spend(sc, 1); err != nil {
			return err
		}
		if err := e.token(out, sc, t); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluator) token(out *strings.Builder, sc *scope, t token) error {
	switch t := t.(type) {
	case *textToken:
		return e.write(out, sc, t.text)
	case *substitution:
		return e.substitution(out, sc, t)
	case *conditional:
		return e.conditional(out, sc, t)
	case *loop:
		return e.loop(out, sc, t)
	case *calculation:
		return e.calculation(out, sc, t)
	}
	return &UnsupportedError{Construct: rendered(t)}
}

func (e *evaluator) substitution(out *strings.Builder, sc *scope, t *substitution) error {
	text, ok, err := e.value(sc, t.expr)
	if err != nil {
		return err
	}
	if ok {
		return e.write(out, sc, text)
	}
	if c, isCall := t.expr.(*call); isCall && c.filter == "null" {
		e.null = true
		return nil
	}
	echo := rendered(t)
	e.miss(echo)
	return e.write(out, sc, echo)
}

// value computes an expression; ok is false when it has none.
func (e *evaluator) value(sc *scope, x expression) (string, bool, error) {
	switch x := x.(type) {
	case *symbol:
		return e.lookup(sc, x)
	case *call:
		return e.call(sc, x)
	}
	return "", false, nil
}

func (e *evaluator) call(sc *scope, c *call) (string, bool, error) {
	input, has, err := e.value(sc, c.input)
	if err != nil {
		return "", false, err
	}
	options := make([]string, len(c.options))
	for i, o := range c.options {
		if options[i], err = e.option(sc, o); err != nil {
			return "", false, err
		}
	}
	if err := e.spend(sc, 1+len(input)/1024); err != nil {
		return "", false, err
	}
	return e.apply(c.filter, input, has, options)
}

func (e *evaluator) option(sc *scope, t token) (string, error) {
	var out strings.Builder
	err := e.token(&out, &scope{binding: &node{}, parent: sc}, t)
	return out.String(), err
}

func (e *evaluator) conditional(out *strings.Builder, sc *scope, t *conditional) error {
	left, ok, err := e.operand(sc, t.cond.left, t.cond.leftText)
	if err != nil {
		return err
	}
	if !ok {
		return e.echoConditional(out, sc, t, t.cond.left)
	}
	holds := truthy(left)
	if t.cond.op != "" {
		right, ok, err := e.operand(sc, t.cond.right, t.cond.rightText)
		if err != nil {
			return err
		}
		if !ok {
			return e.echoConditional(out, sc, t, t.cond.right)
		}
		holds = (left == right) == (t.cond.op == "==")
	}
	if holds {
		return e.inner(out, sc, t.then)
	}
	return e.inner(out, sc, t.alt)
}

// inner evaluates the body of a block.
func (e *evaluator) inner(out *strings.Builder, sc *scope, tokens []token) error {
	before := e.at
	err := e.tokens(out, sc, tokens)
	if err == nil {
		e.at = before
	}
	return err
}

func (e *evaluator) echoConditional(out *strings.Builder, sc *scope, t *conditional, side expression) error {
	e.miss(rendered(side))
	return e.write(out, sc, rendered(t))
}

// operand is a side of a condition: a missing symbol counts as "", a filter
// without a result does not.
func (e *evaluator) operand(sc *scope, side expression, text string) (string, bool, error) {
	if side == nil {
		return text, true, nil
	}
	text, ok, err := e.value(sc, side)
	if _, isSymbol := side.(*symbol); isSymbol {
		ok = true
	}
	return text, ok, err
}

func (e *evaluator) calculation(out *strings.Builder, sc *scope, t *calculation) error {
	n, ok, err := t.sum.value(func(sym *symbol) (string, bool, error) { return e.lookup(sc, sym) })
	if err != nil {
		return err
	}
	if !ok {
		return e.write(out, sc, rendered(t))
	}
	return e.write(out, sc, number(n))
}

// The variables of a loop's turn (configuration.md 1.7).
const (
	eachIndex = "Octopus.Template.Each.Index"
	eachFirst = "Octopus.Template.Each.First"
	eachLast  = "Octopus.Template.Each.Last"
)

func (e *evaluator) loop(out *strings.Builder, sc *scope, t *loop) error {
	items, err := e.items(sc, t.collection)
	if err != nil {
		return err
	}
	for i, item := range items {
		locals := &node{}
		locals.add(eachIndex, Value{Text: number(float64(i))})
		locals.add(eachFirst, Value{Text: boolText(i == 0)})
		locals.add(eachLast, Value{Text: boolText(i == len(items)-1)})
		locals.children[fold(t.item)] = item
		if err := e.spend(sc, 4); err != nil {
			return err
		}
		if err := e.inner(out, &scope{binding: locals, parent: sc}, t.body); err != nil {
			return err
		}
	}
	return nil
}

func boolText(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
