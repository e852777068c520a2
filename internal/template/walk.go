package template

import (
	"errors"
	"slices"
	"strings"
)

// lookup finds a symbol's text.
func (e *evaluator) lookup(sc *scope, sym *symbol) (string, bool, error) {
	n, err := e.walk(sc, sym)
	if err != nil || n == nil || !n.has {
		return "", false, err
	}
	return n.value.Text, true, nil
}

// walk finds a symbol and expands its value; nil when it is missing
// (configuration.md 1.4). Meeting a symbol again while it is being walked here
// or in any scope around is the loop error of 1.5.
func (e *evaluator) walk(sc *scope, sym *symbol) (*node, error) {
	if err := e.spend(sc, 1); err != nil {
		return nil, err
	}
	for s := sc; s != nil; s = s.parent {
		for _, active := range s.stack {
			if active.same(sym) {
				return nil, &LoopError{Symbol: rendered(sym), Chain: append(sc.chain(), rendered(sym))}
			}
		}
	}
	sc.stack = append(sc.stack, sym)
	defer func() { sc.stack = sc.stack[:len(sc.stack)-1] }()

	resolved, err := e.resolveIndexes(sc, sym)
	if err != nil || resolved == nil {
		return nil, err
	}
	n := sc.binding
	for _, st := range resolved.steps {
		next := n.child(st)
		if next == nil {
			if next, err = e.property(sc, n, st); err != nil {
				return nil, err
			}
		}
		if next == nil {
			if sc.parent == nil {
				return nil, nil
			}
			return e.walk(sc.parent, resolved)
		}
		n = next
	}
	if !n.has {
		return n, nil
	}
	return e.expand(sc, n)
}

// resolveIndexes looks up the indexes that are symbols; nil when one is missing.
func (e *evaluator) resolveIndexes(sc *scope, sym *symbol) (*symbol, error) {
	resolved := sym
	for i, st := range sym.steps {
		if st.lookup == nil {
			continue
		}
		text, ok, err := e.lookup(sc, st.lookup)
		if err != nil || !ok {
			return nil, err
		}
		if resolved == sym {
			resolved = &symbol{steps: append([]step(nil), sym.steps...)}
		}
		resolved.steps[i] = step{index: true, text: text, origin: st.lookup, pos: -1}
	}
	return resolved, nil
}

// expand evaluates a found value as a template in the scope that found it. A
// value that is no template is a literal; one that is null stays as it is.
func (e *evaluator) expand(sc *scope, n *node) (*node, error) {
	e.sensitive = e.sensitive || n.value.Sensitive
	if n.value.Literal {
		e.literal = true
		return &node{value: n.value, has: true}, nil
	}
	if !strings.Contains(n.value.Text, "#{") {
		return &node{value: n.value, has: true}, nil
	}
	tokens, failed := n.template()
	if failed != nil {
		return &node{value: n.value, has: true}, nil //nolint:nilerr // what is no template stays a text (configuration.md 1.4)
	}
	text, literal, err := e.nested(sc, tokens)
	if err != nil {
		return nil, err
	}
	if text == nil {
		text = &n.value.Text
	}
	return &node{value: Value{Text: *text, Literal: literal}, has: true}, nil
}

// nested evaluates a value's tokens one level down. It returns nil for a null
// text, and whether a literal went into it.
func (e *evaluator) nested(sc *scope, tokens []token) (*string, bool, error) {
	//guard:template-depth abuse 62: values refer to each other so deep and no deeper; less `e.depth >= MaxDepth`, with `e.depth >= 1000*MaxDepth`; seen by ./internal/template TestBudgets
	if e.depth >= MaxDepth {
		return nil, false, &BudgetError{What: "nesting", Limit: MaxDepth, Chain: sc.chain()}
	}
	e.depth++
	outerNull, outerLiteral := e.null, e.literal
	e.null, e.literal = false, false
	var out strings.Builder
	err := e.tokens(&out, &scope{binding: &node{}, parent: sc}, tokens)
	null, literal := e.null, e.literal
	e.null, e.literal = outerNull, outerLiteral || literal
	e.depth--
	if err != nil || null {
		return nil, literal, err
	}
	text := out.String()
	return &text, literal, nil
}

// property reads a step out of a value that is JSON (configuration.md 1.8). Its
// loop errors mean "no such property"; unresolved tokens are reported where the
// property itself is evaluated.
func (e *evaluator) property(sc *scope, n *node, st step) (*node, error) {
	if !n.has || strings.TrimSpace(n.value.Text) == "" {
		return nil, nil
	}
	reported := len(e.missing)
	value, err := e.expand(sc, n)
	if _, loop := errors.AsType[*LoopError](err); loop {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parsed, err := e.parseJSON(sc, value.value.Text)
	if err != nil || parsed == nil {
		return nil, err
	}
	text, ok := parsed.property(st.text)
	if !ok {
		return nil, nil
	}
	if !value.value.Literal {
		e.missing = e.missing[:reported]
	}
	return &node{value: Value{Text: text, Literal: value.value.Literal, Sensitive: n.value.Sensitive}, has: true}, nil
}

// items resolves a loop's collection (configuration.md 1.7).
func (e *evaluator) items(sc *scope, collection *symbol) ([]*node, error) {
	n, err := e.walk(sc, collection)
	if err != nil || n == nil {
		return nil, err
	}
	if len(n.indexes) > 0 {
		return n.indexes, nil
	}
	if !n.has {
		return nil, nil
	}
	item := func(text string) *node {
		return &node{value: Value{Text: text, Literal: n.value.Literal, Sensitive: n.value.Sensitive}, has: true}
	}
	parsed, err := e.parseJSON(sc, n.value.Text)
	if err != nil {
		return nil, err
	}
	var items []*node
	switch {
	case parsed != nil && parsed.kind == jsonArray:
		for _, v := range parsed.values {
			items = append(items, item(v.text()))
		}
	case parsed != nil && parsed.kind == jsonObject:
		for i, key := range parsed.keys {
			pair := item(key)
			pair.children = map[string]*node{"key": item(key), "value": item(parsed.values[i].text())}
			items = append(items, pair)
		}
	default:
		for part := range strings.SplitSeq(n.value.Text, ",") {
			items = append(items, item(part))
		}
	}
	return items, e.spend(sc, len(items))
}

// parseJSON reads text as JSON, once per text; nil when it is none.
func (e *evaluator) parseJSON(sc *scope, text string) (*jsonValue, error) {
	if v, ok := e.json[text]; ok {
		return v, nil
	}
	if err := e.spend(sc, 1+len(text)/256); err != nil {
		return nil, err
	}
	v := parseJSON(text)
	e.json[text] = v
	return v, nil
}

// chain names the symbols being walked in this scope and those around it,
// outermost first.
func (sc *scope) chain() []string {
	var names []string
	for s := sc; s != nil; s = s.parent {
		for _, symbol := range slices.Backward(s.stack) {
			name := rendered(symbol)
			if len(names) == 0 || names[len(names)-1] != name {
				names = append(names, name)
			}
		}
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return names
}
