package template

import (
	"strconv"
	"strings"
)

const (
	elseTag    = "#{else}"
	elseifHead = "#{elseif"
)

// conditional := open ('if'|'unless') cond '}' body elseif* else? close
func (p *parser) conditional(pos int) (token, int, bool) {
	word := "if"
	next, ok := p.head(pos, word)
	if !ok {
		word = "unless"
		if next, ok = p.head(pos, word); !ok {
			return nil, next, false
		}
	}
	c := &conditional{at: at(pos)}
	next, ok = p.branches(c, next, word)
	if !ok {
		return nil, next, false
	}
	if word == "unless" {
		c.then, c.alt = c.alt, c.then
	}
	return c, next, true
}

// branches reads from the condition up to and with the closing tag.
func (p *parser) branches(c *conditional, pos int, word string) (int, bool) {
	if !p.enter() {
		return pos, false
	}
	defer p.leave()
	next, ok := p.guarded(c, pos)
	if !ok {
		return next, false
	}
	if word == "if" && p.elseif(next) {
		nested := &conditional{at: at(next)}
		next, ok = p.branches(nested, p.space(next+len(elseifHead)), word)
		c.alt = []token{nested}
		return next, ok
	}
	if p.has(next, elseTag) {
		c.alt, next = p.list(next+len(elseTag), nil)
	}
	closing := "#{/" + word + "}"
	if !p.has(next, closing) {
		return next, false
	}
	return next + len(closing), true
}

// guarded reads a condition, its '}' and the body behind it.
func (p *parser) guarded(c *conditional, pos int) (int, bool) {
	cond, next, ok := p.condition(pos)
	if !ok {
		return next, false
	}
	c.cond = cond
	c.then, next = p.list(next, func(pos int) bool { return p.has(pos, elseTag) || p.elseif(pos) })
	return next, true
}

func (p *parser) elseif(pos int) bool {
	return p.has(pos, elseifHead) && p.space(pos+len(elseifHead)) > pos+len(elseifHead)
}

// condition tries, in this order and each up to its '}': expr op expr, quoted
// op expr, expr op quoted, expr.
func (p *parser) condition(pos int) (condition, int, bool) {
	failed := pos
	for _, form := range []struct{ left, right byte }{{'e', 'e'}, {'q', 'e'}, {'e', 'q'}, {'e', 0}} {
		var c condition
		next, ok := p.side(pos, form.left, &c.left, &c.leftText)
		if ok && form.right != 0 {
			if next, ok = p.operator(next, &c.op); ok {
				next, ok = p.side(next, form.right, &c.right, &c.rightText)
			}
		}
		if ok && p.has(next, "}") {
			return c, next + 1, true
		}
		failed = max(failed, next)
	}
	return condition{}, failed, false
}

func (p *parser) side(pos int, form byte, expr *expression, text *string) (next int, ok bool) {
	pos = p.space(pos)
	if form == 'q' {
		*text, next, ok = p.quoted(pos)
	} else {
		*expr, next, ok = p.expr(pos)
	}
	if ok {
		next = p.space(next)
	}
	return next, ok
}

func (p *parser) operator(pos int, op *string) (int, bool) {
	pos = p.space(pos)
	if !p.has(pos, "==") && !p.has(pos, "!=") {
		return pos, false
	}
	*op = p.text[pos : pos+2]
	return pos + 2, true
}

// each := open 'each' ident 'in' symbol '}' template '#{/each}'
func (p *parser) each(pos int) (token, int, bool) {
	next, ok := p.head(pos, "each")
	if !ok {
		return nil, next, false
	}
	item, end := p.ident(next)
	if end == next {
		return nil, next, false
	}
	next, ok = p.keyword(p.space(end), "in")
	if !ok {
		return nil, next, false
	}
	collection, next, ok := p.symbol(p.space(next))
	if !ok {
		return nil, next, false
	}
	if next = p.space(next); !p.has(next, "}") {
		return nil, next, false
	}
	body, next := p.list(next+1, nil)
	if !p.has(next, "#{/each}") {
		return nil, next, false
	}
	return &loop{at: at(pos), item: item, collection: collection, body: body}, next + len("#{/each}"), true
}

// calc := open 'calc' sum '}'
func (p *parser) calc(pos int) (token, int, bool) {
	next, ok := p.head(pos, "calc")
	if !ok {
		return nil, next, false
	}
	sum, next, ok := p.binary(next, "+-", func(pos int) (calcNode, int, bool) { return p.binary(pos, "*/", p.factor) })
	if !ok {
		return nil, next, false
	}
	if next = p.space(next); !p.has(next, "}") {
		return nil, next, false
	}
	return &calculation{at: at(pos), sum: sum}, next + 1, true
}

// binary reads operands joined by left-associative operators.
func (p *parser) binary(pos int, operators string, operand func(int) (calcNode, int, bool)) (calcNode, int, bool) {
	left, next, ok := operand(pos)
	for ok && p.fatal == "" {
		op := p.space(next)
		if op >= len(p.text) || strings.IndexByte(operators, p.text[op]) < 0 {
			break
		}
		right, end, more := operand(op + 1)
		if !more {
			break
		}
		left, next = &calcPair{op: p.text[op], left: left, right: right}, end
	}
	return left, next, ok
}

// factor := '(' sum ')' | number | '{' symbol '}' | symbol
func (p *parser) factor(pos int) (calcNode, int, bool) {
	if !p.enter() {
		return nil, pos, false
	}
	defer p.leave()
	pos = p.space(pos)
	if p.has(pos, "(") {
		sum, next, ok := p.binary(pos+1, "+-", func(pos int) (calcNode, int, bool) { return p.binary(pos, "*/", p.factor) })
		if next = p.space(next); ok && p.has(next, ")") {
			return sum, next + 1, true
		}
	}
	if n, next, ok := p.number(pos); ok {
		return calcNumber(n), next, true
	}
	if p.has(pos, "{") {
		sym, next, ok := p.symbol(p.space(pos + 1))
		if next = p.space(next); ok && p.has(next, "}") {
			return &calcName{sym: sym, braces: true}, next + 1, true
		}
		return nil, next, false
	}
	sym, next, ok := p.symbol(pos)
	return &calcName{sym: sym}, next, ok
}

// number := digits ( '.' digits )?
func (p *parser) number(pos int) (float64, int, bool) {
	digits := func(i int) int {
		for i < len(p.text) && p.text[i] >= '0' && p.text[i] <= '9' {
			i++
		}
		return i
	}
	end := digits(pos)
	if end == pos {
		return 0, pos, false
	}
	if p.has(end, ".") && digits(end+1) > end+1 {
		end = digits(end + 1)
	}
	n, err := strconv.ParseFloat(p.text[pos:end], 64)
	return n, end, err == nil
}
