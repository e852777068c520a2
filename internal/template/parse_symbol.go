package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// substitution := open expr '}'
func (p *parser) substitution(pos int) (token, int, bool) {
	expr, next, ok := p.expr(p.space(pos + len("#{")))
	if !ok {
		return nil, next, false
	}
	next = p.space(next)
	if !p.has(next, "}") {
		return nil, next, false
	}
	return &substitution{at: at(pos), expr: expr}, next + 1, true
}

// expr := chain | symbol, without the white space around it.
func (p *parser) expr(pos int) (expression, int, bool) {
	if m, ok := p.exprs[pos]; ok {
		return m.node, m.next, m.ok
	}
	if !p.enter() {
		return nil, pos, false
	}
	defer p.leave()
	m := p.exprOnce(pos)
	p.exprs[pos] = m
	return m.node, m.next, m.ok
}

func (p *parser) exprOnce(pos int) memo[expression] {
	sym, next, isSymbol := p.symbol(pos)
	failed := next
	var input expression = &symbol{}
	bar := pos
	if isSymbol {
		input, bar = sym, p.space(next)
	}
	if p.has(bar, "|") {
		chain, end, ok := p.chain(input, bar)
		if ok {
			return memo[expression]{node: chain, next: end, ok: true}
		}
		failed = max(failed, end)
	}
	if isSymbol {
		return memo[expression]{node: sym, next: next, ok: true}
	}
	return memo[expression]{next: failed}
}

// chain := ( '|' ws filter ws option* )+
func (p *parser) chain(input expression, pos int) (expression, int, bool) {
	for count := 0; ; count++ {
		if !p.has(pos, "|") {
			return input, pos, count > 0
		}
		name, next := p.word(p.space(pos + 1))
		if name == "" {
			if count > 0 {
				return input, pos, true
			}
			return nil, next, false
		}
		options, next := p.options(p.space(next))
		input, pos = &call{input: input, filter: name, options: options}, next
	}
}

// options reads a filter's arguments. A block must touch what is before it; a
// word or a quoted text takes the white space around it (configuration.md 1.2).
func (p *parser) options(pos int) ([]token, int) {
	var options []token
	for p.fatal == "" {
		if pos < len(p.text) && p.opens(pos) {
			t, next, ok := p.block(pos)
			if !ok {
				return options, pos
			}
			options, pos = append(options, t), next
			continue
		}
		start := p.space(pos)
		text, next := p.word(start)
		if text == "" {
			var ok bool
			if text, next, ok = p.quoted(start); !ok {
				return options, pos
			}
		}
		options, pos = append(options, &textToken{at: at(start), text: text}), p.space(next)
	}
	return options, pos
}

// quoted reads "…" without hashes, or \"…\" which may contain them.
func (p *parser) quoted(pos int) (string, int, bool) {
	if p.has(pos, `\"`) {
		body := p.text[pos+2:]
		if end := strings.Index(body, `\"`); end >= 0 {
			return body[:end], pos + 2 + end + 2, true
		}
		return "", len(p.text), false
	}
	if !p.has(pos, `"`) {
		return "", pos, false
	}
	body := p.text[pos+1:]
	end := strings.IndexAny(body, `"#`)
	if end < 0 || body[end] == '#' {
		return "", pos + 1 + max(end, 0), false
	}
	return body[:end], pos + 1 + end + 1, true
}

// symbol := ident ( '.' ident | indexer )*
func (p *parser) symbol(pos int) (*symbol, int, bool) {
	if m, ok := p.symbols[pos]; ok {
		return m.node, m.next, m.ok
	}
	if !p.enter() {
		return nil, pos, false
	}
	defer p.leave()
	m := p.symbolOnce(pos)
	p.symbols[pos] = m
	return m.node, m.next, m.ok
}

func (p *parser) symbolOnce(pos int) memo[*symbol] {
	name, next := p.ident(pos)
	if next == pos {
		return memo[*symbol]{next: pos}
	}
	sym := &symbol{steps: []step{{text: name, pos: pos}}}
	for {
		switch {
		case p.has(next, "."):
			name, end := p.ident(next + 1)
			if end == next+1 {
				return memo[*symbol]{node: sym, next: next, ok: true}
			}
			sym.steps = append(sym.steps, step{text: name, pos: next + 1})
			next = end
		case p.has(next, "["):
			index, end, ok := p.indexer(next)
			if !ok {
				return memo[*symbol]{node: sym, next: next, ok: true}
			}
			sym.steps = append(sym.steps, index)
			next = end
		default:
			return memo[*symbol]{node: sym, next: next, ok: true}
		}
	}
}

// indexer := '[' ws symbol substitution ws ']' | '[' string ']'
func (p *parser) indexer(pos int) (step, int, bool) {
	inner := p.space(pos + 1)
	if inner < len(p.text) && p.opens(inner) {
		t, next, ok := p.block(inner)
		if sub, isSub := t.(*substitution); ok && isSub {
			next = p.space(next)
			if sym, isSymbol := sub.expr.(*symbol); isSymbol && p.has(next, "]") {
				return step{index: true, lookup: sym, pos: pos}, next + 1, true
			}
		}
	}
	text, next, ok := p.indexText(pos)
	return step{index: true, text: text, pos: pos}, next, ok
}

// indexText keeps nested '[…]' groups as literal text.
func (p *parser) indexText(pos int) (string, int, bool) {
	if !p.enter() {
		return "", pos, false
	}
	defer p.leave()
	var b strings.Builder
	pos = p.space(pos + 1)
	for {
		run := strings.IndexAny(p.text[pos:], "[]")
		if run < 0 {
			return "", len(p.text), false
		}
		b.WriteString(p.text[pos : pos+run])
		pos += run
		if p.text[pos] == ']' {
			return b.String(), pos + 1, true
		}
		nested, next, ok := p.indexText(pos)
		if !ok {
			return "", next, false
		}
		b.WriteString("[" + nested + "]")
		pos = next
	}
}

// ident reads a name that may hold white space and trims it. The returned
// offset equals pos when there is none.
func (p *parser) ident(pos int) (string, int) {
	i := pos
	for i < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[i:])
		if !identRune(r) && !unicode.IsSpace(r) {
			break
		}
		if unicode.IsSpace(r) && p.endsIdent(i+size) {
			break
		}
		i += size
	}
	return strings.TrimSpace(p.text[pos:i]), i
}

// word reads a name without white space.
func (p *parser) word(pos int) (string, int) {
	i := pos
	for i < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[i:])
		if !identRune(r) {
			break
		}
		i += size
	}
	return p.text[pos:i], i
}

func identRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-:/~()@", r)
}

// endsIdent says whether white space before pos ends an identifier: '|', '}' or
// one of the words in, == and != with white space after it.
func (p *parser) endsIdent(pos int) bool {
	if p.has(pos, "|") || p.has(pos, "}") {
		return true
	}
	for _, word := range []string{"in", "==", "!="} {
		if !p.has(pos, word) {
			continue
		}
		r, size := utf8.DecodeRuneInString(p.text[pos+len(word):])
		if size > 0 && unicode.IsSpace(r) {
			return true
		}
	}
	return false
}
