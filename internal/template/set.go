package template

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Value is what a name stands for, with the marks that follow it through an
// evaluation.
type Value struct {
	Text      string
	Null      bool // present without a value: "" in templates, absent for Get
	Literal   bool // never expanded (abuse 63)
	Sensitive bool // taints every result that used it (abuse 74)
}

// Set is an ordered list of variables. Names are case-insensitive; setting one
// again keeps its place (configuration.md 1.1). A Set is not safe for
// concurrent use.
type Set struct {
	entries []entry
	byName  map[string]int // folded name to index in entries
	root    *node          // the tree of all names; nil until needed
	clock   time.Time
}

type entry struct {
	name  string
	value Value
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{byName: map[string]int{}} }

// At sets the time that the NowDate filters give, in the zone they give it in.
// It comes in as a value, so that every evaluation of one attempt agrees;
// without it those filters are unsupported.
func (s *Set) At(now time.Time) { s.clock = now }

// Put sets a variable whose value is a template.
func (s *Set) Put(name, value string) { s.PutValue(name, Value{Text: value}) }

// PutLiteral sets a variable whose value is taken as it is, wherever it is
// used: output of scripts and answers to prompts (abuse 63).
func (s *Set) PutLiteral(name, value string) { s.PutValue(name, Value{Text: value, Literal: true}) }

// PutSensitive sets a variable whose value must not be shown.
func (s *Set) PutSensitive(name, value string) { s.PutValue(name, Value{Text: value, Sensitive: true}) }

// PutValue sets a variable with all its marks.
func (s *Set) PutValue(name string, value Value) {
	key := fold(name)
	if i, ok := s.byName[key]; ok {
		s.entries[i].value = value
		s.root = nil
		return
	}
	s.byName[key] = len(s.entries)
	s.entries = append(s.entries, entry{name: name, value: value})
	if s.root != nil {
		s.root.add(name, value)
	}
}

// Names lists the variables in order.
func (s *Set) Names() []string {
	names := make([]string, len(s.entries))
	for i := range s.entries {
		names[i] = s.entries[i].name
	}
	return names
}

// GetRaw returns the value of the variable with exactly this name, unevaluated.
func (s *Set) GetRaw(name string) (Value, bool) {
	i, ok := s.byName[fold(name)]
	if !ok {
		return Value{}, false
	}
	return s.entries[i].value, true
}

// Get evaluates the variable with exactly this name; ok is false when it is
// absent or null. Result.Err is set as Expand sets it.
func (s *Set) Get(name string) (r Result, ok bool) {
	v, ok := s.GetRaw(name)
	if !ok || v.Null {
		return Result{}, false
	}
	if v.Literal {
		return Result{Text: v.Text, Sensitive: v.Sensitive}, true
	}
	r = s.Expand(v.Text)
	r.Sensitive = r.Sensitive || v.Sensitive
	return r, !r.Null
}

// Require is Get for a value that has to be there: absent, null, empty and
// unresolved are errors.
func (s *Set) Require(name string) (string, error) {
	r, ok := s.Get(name)
	if !ok || (r.Err == nil && r.Text == "") {
		return "", fmt.Errorf("the variable %q has no value", name)
	}
	if r.Err != nil {
		return "", fmt.Errorf("evaluate variable %q: %w", name, r.Err)
	}
	return r.Text, nil
}

// GetFlag reads true or false, in any case; everything else is fallback.
func (s *Set) GetFlag(name string, fallback bool) bool {
	r, _ := s.Get(name)
	switch strings.ToLower(strings.TrimSpace(r.Text)) {
	case "true":
		return true
	case "false":
		return false
	}
	return fallback
}

// GetInt reads a 32-bit number; ok is false when there is none.
func (s *Set) GetInt(name string) (n int, ok bool) {
	r, _ := s.Get(name)
	parsed, err := strconv.ParseInt(strings.TrimSpace(r.Text), 10, 32)
	return int(parsed), err == nil
}

// GetStrings splits at any of the separators, trims and drops empty parts.
func (s *Set) GetStrings(name, separators string) []string {
	r, _ := s.Get(name)
	var parts []string
	for _, part := range strings.FieldsFunc(r.Text, func(c rune) bool { return strings.ContainsRune(separators, c) }) {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// GetPaths is one path per line.
func (s *Set) GetPaths(name string) []string { return s.GetStrings(name, "\r\n") }

// GetIndexes lists the indexes defined under a symbol, in order of definition.
func (s *Set) GetIndexes(collection string) []string {
	sym, ok := parseName(collection)
	if !ok {
		return nil
	}
	n := s.tree()
	for _, st := range sym.steps {
		if n = n.child(st); n == nil {
			return nil
		}
	}
	names := make([]string, len(n.indexes))
	for i, index := range n.indexes {
		names[i] = index.value.Text
	}
	return names
}

func (s *Set) tree() *node {
	if s.root == nil {
		s.root = &node{}
		for _, e := range s.entries {
			s.root.add(e.name, e.value)
		}
	}
	return s.root
}

// fold makes names that differ only in case equal, as for every other name of
// the product.
func fold(name string) string { return strings.ToLower(name) }

// node is one place in the tree of names: children by identifier and, apart
// from them, by index in order of definition (configuration.md 1.4).
type node struct {
	value    Value
	has      bool // value is set
	children map[string]*node
	byIndex  map[string]*node
	indexes  []*node
	parsed   []token     // value as a template, once it was needed
	failed   *ParseError // or why it is none
	ready    bool
}

// add puts a variable where its name leads. Names that are no symbol, and those
// with an index that would have to be looked up, are reachable by Get only.
func (n *node) add(name string, value Value) {
	sym, ok := parseName(name)
	if !ok {
		return
	}
	for _, st := range sym.steps {
		if st.lookup != nil {
			return
		}
	}
	for _, st := range sym.steps {
		n = n.grow(st)
	}
	if value.Null {
		value.Text = ""
	}
	n.value, n.has, n.ready = value, true, false
}

func (n *node) grow(st step) *node {
	if next := n.child(st); next != nil && (!st.index || st.text != "*") {
		return next
	}
	key := fold(st.text)
	if !st.index {
		next := &node{}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		n.children[key] = next
		return next
	}
	if next := n.byIndex[key]; next != nil {
		return next
	}
	next := &node{value: Value{Text: st.text}, has: true}
	if n.byIndex == nil {
		n.byIndex = map[string]*node{}
	}
	n.byIndex[key] = next
	n.indexes = append(n.indexes, next)
	return next
}

// child finds the next place; the index * is the first one.
func (n *node) child(st step) *node {
	if !st.index {
		return n.children[fold(st.text)]
	}
	if st.text == "*" && len(n.indexes) > 0 {
		return n.indexes[0]
	}
	return n.byIndex[fold(st.text)]
}

// template parses the value once.
func (n *node) template() ([]token, *ParseError) {
	if !n.ready {
		n.parsed, n.failed = parse(n.value.Text)
		n.ready = true
	}
	return n.parsed, n.failed
}
