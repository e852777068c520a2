package template

import "strings"

// token is one piece of a parsed template. render writes it the canonical way
// in which an unresolved token is echoed (configuration.md 1.9).
type token interface {
	render(b *strings.Builder)
	offset() int
}

// at is a byte offset into the template's own text.
type at int

func (a at) offset() int { return int(a) }

type (
	// textToken is literal text, escapes already undone.
	textToken struct {
		at
		text string
	}
	// substitution is `#{expr}`.
	substitution struct {
		at
		expr expression
	}
	// conditional is if, or unless with its branches swapped.
	conditional struct {
		at
		cond      condition
		then, alt []token
	}
	// loop is `#{each item in collection}`.
	loop struct {
		at
		item       string
		collection *symbol
		body       []token
	}
	// calculation is `#{calc …}`.
	calculation struct {
		at
		sum calcNode
	}
)

// expression is a *symbol or a *call.
type expression interface{ render(b *strings.Builder) }

// symbol is a dotted and indexed name. Without steps it is the absent argument
// of a filter such as `#{ | NowDate}`.
type symbol struct{ steps []step }

// step is one part of a symbol: an identifier, an index, or an index that is
// itself a symbol to look up first.
type step struct {
	index  bool
	text   string
	lookup *symbol
	origin *symbol // of an index that was looked up: shown instead of what it gave, which may be a secret
	pos    int
}

// call applies a filter.
type call struct {
	input   expression
	filter  string
	options []token
}

// condition compares left with right, or asks whether left is truthy when op is
// empty. A nil expression stands for the quoted text beside it.
type condition struct {
	left, right         expression
	leftText, rightText string
	op                  string
}

func (t *textToken) render(b *strings.Builder) {
	b.WriteString(strings.ReplaceAll(t.text, "#{", "##{"))
}

func (t *substitution) render(b *strings.Builder) {
	b.WriteString("#{")
	t.expr.render(b)
	b.WriteByte('}')
}

func (t *conditional) render(b *strings.Builder) {
	b.WriteString("#{if ")
	t.cond.render(b)
	b.WriteByte('}')
	renderAll(b, t.then)
	if len(t.alt) > 0 {
		b.WriteString("#{else}")
		renderAll(b, t.alt)
	}
	b.WriteString("#{/if}")
}

func (c *condition) render(b *strings.Builder) {
	renderSide(b, c.left, c.leftText)
	if c.op == "" {
		return
	}
	b.WriteString(" " + c.op + " ")
	renderSide(b, c.right, c.rightText)
	b.WriteByte(' ')
}

func renderSide(b *strings.Builder, side expression, text string) {
	if side == nil {
		b.WriteString(`"` + text + `"`)
		return
	}
	side.render(b)
}

func (t *loop) render(b *strings.Builder) {
	b.WriteString("#{each " + t.item + " in ")
	t.collection.render(b)
	b.WriteByte('}')
	renderAll(b, t.body)
	b.WriteString("#{/each}")
}

func (t *calculation) render(b *strings.Builder) {
	b.WriteString("#{")
	t.sum.render(b)
	b.WriteByte('}')
}

func (s *symbol) render(b *strings.Builder) {
	for i, st := range s.steps {
		lookup := st.lookup
		if lookup == nil {
			lookup = st.origin
		}
		switch {
		case lookup != nil:
			b.WriteString("[#{")
			lookup.render(b)
			b.WriteString("}]")
		case st.index:
			b.WriteString("[" + st.text + "]")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(st.text)
		}
	}
}

func (c *call) render(b *strings.Builder) {
	c.input.render(b)
	b.WriteString(" | " + c.filter)
	for _, o := range c.options {
		b.WriteByte(' ')
		if text, ok := o.(*textToken); ok {
			b.WriteString(`"` + text.text + `"`)
			continue
		}
		o.render(b)
	}
}

func renderAll(b *strings.Builder, tokens []token) {
	for _, t := range tokens {
		t.render(b)
	}
}

func rendered(r interface{ render(*strings.Builder) }) string {
	var b strings.Builder
	r.render(&b)
	return b.String()
}

// same says whether two symbols are equal for loop detection: each step's text
// and its position in its own template (configuration.md 1.5).
func (s *symbol) same(o *symbol) bool {
	if len(s.steps) != len(o.steps) {
		return false
	}
	for i := range s.steps {
		a, b := &s.steps[i], &o.steps[i]
		if a.index != b.index || a.text != b.text || a.pos != b.pos || (a.lookup == nil) != (b.lookup == nil) {
			return false
		}
		if a.lookup != nil && !a.lookup.same(b.lookup) {
			return false
		}
	}
	return true
}
