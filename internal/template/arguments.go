package template

import "slices"

// Arguments lists the names a template refers to, in order of appearance
// without repeats, so that a page can say what is still missing. Names inside a
// loop's body that belong to the loop are left out. It fails with a
// *ParseError.
func Arguments(text string) ([]string, error) {
	tokens, failed := parse(text)
	if failed != nil {
		return nil, failed
	}
	a := &arguments{}
	a.tokens(tokens)
	return a.names, nil
}

type arguments struct {
	names []string
	loops []string // folded names of the loop variables around
}

func (a *arguments) tokens(tokens []token) {
	for _, t := range tokens {
		switch t := t.(type) {
		case *substitution:
			a.expression(t.expr)
		case *conditional:
			a.expression(t.cond.left)
			a.expression(t.cond.right)
			a.tokens(t.then)
			a.tokens(t.alt)
		case *loop:
			a.symbol(t.collection)
			a.loops = append(a.loops, fold(t.item), fold("Octopus"))
			a.tokens(t.body)
			a.loops = a.loops[:len(a.loops)-2]
		case *calculation:
			a.calc(t.sum)
		}
	}
}

func (a *arguments) expression(x expression) {
	switch x := x.(type) {
	case *symbol:
		a.symbol(x)
	case *call:
		a.expression(x.input)
		a.tokens(x.options)
	}
}

func (a *arguments) calc(n calcNode) {
	switch n := n.(type) {
	case *calcName:
		a.symbol(n.sym)
	case *calcPair:
		a.calc(n.left)
		a.calc(n.right)
	}
}

func (a *arguments) symbol(s *symbol) {
	if len(s.steps) == 0 {
		return
	}
	for _, st := range s.steps {
		if st.lookup != nil {
			a.symbol(st.lookup)
		}
	}
	name := rendered(s)
	if !slices.Contains(a.loops, fold(s.steps[0].text)) && !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
}
