package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What parsing one template may cost (abuse 62). Nesting bounds the Go stack,
// work the quadratic behaviour of many blocks that are never closed.
const (
	maxNesting   = 200
	maxParseWork = 1_000_000
)

// parser is a packrat recogniser of the grammar in configuration.md 1.2. Every
// rule takes an offset and returns the node, the offset after it and true, or
// the offset of the failure and false; alternatives are tried in order and the
// failure that got furthest is reported.
type parser struct {
	text    string
	depth   int
	work    int
	fatal   string // set once when a limit is passed; every rule then fails
	tokens  map[int]memo[token]
	exprs   map[int]memo[expression]
	symbols map[int]memo[*symbol]
}

type memo[T any] struct {
	node T
	next int
	ok   bool
}

func newParser(text string) *parser {
	return &parser{text: text, tokens: map[int]memo[token]{}, exprs: map[int]memo[expression]{}, symbols: map[int]memo[*symbol]{}}
}

// parse reads a whole template.
func parse(text string) ([]token, *ParseError) {
	p := newParser(text)
	tokens, next := p.list(0, nil)
	if p.fatal != "" {
		return nil, p.errorAt(next, p.fatal)
	}
	if next < len(text) {
		return nil, p.errorAt(p.blame(next), "unexpected "+quoteAt(text, p.blame(next)))
	}
	return tokens, nil
}

// parseLenient reads what it can: a stretch that is no template becomes text
// and is reported (configuration.md 4.3).
func parseLenient(text string) ([]token, []Problem) {
	p := newParser(text)
	var tokens []token
	var problems []Problem
	starts, ends := newLocator(text), newLocator(text)
	for pos := 0; pos < len(text); {
		t, next, ok := p.token(pos)
		if p.fatal != "" {
			return []token{&textToken{text: text}}, []Problem{{Line: 1, Column: 1, Err: p.errorAt(pos, p.fatal)}}
		}
		if !ok {
			failed := next
			next = max(next, pos+1)
			t = &textToken{at: at(pos), text: text[pos:next]}
			if len(problems) < maxProblems {
				err := &ParseError{Reason: "unexpected " + quoteAt(text, failed)}
				err.Line, err.Column = ends.find(failed)
				problem := Problem{Token: text[pos:next], Err: err}
				problem.Line, problem.Column = starts.find(pos)
				problems = append(problems, problem)
			}
		}
		tokens, pos = append(tokens, t), next
	}
	return tokens, problems
}

// parseName reads a variable's name as a symbol; trailing garbage is ignored
// (configuration.md 1.4).
func parseName(name string) (*symbol, bool) {
	sym, _, ok := newParser(name).symbol(0)
	return sym, ok
}

// blame finds how far the token at pos was understood.
func (p *parser) blame(pos int) int {
	_, next, _ := p.token(pos)
	return min(next, len(p.text))
}

func (p *parser) errorAt(pos int, reason string) *ParseError {
	line, column := position(p.text, pos)
	return &ParseError{Line: line, Column: column, Reason: reason}
}

func quoteAt(text string, pos int) string {
	if pos >= len(text) {
		return "end of input"
	}
	r, _ := utf8.DecodeRuneInString(text[pos:])
	return "'" + string(r) + "'"
}

// position turns a byte offset into a 1-based line and column.
func position(text string, pos int) (line, column int) {
	l := locator{text: text, line: 1}
	return l.find(pos)
}

// locator finds positions in one text. Asked in rising order, all its answers
// together cost one pass.
type locator struct {
	text       string
	pos        int // known: offset, its line, and characters before it on the line
	line       int
	characters int
}

func newLocator(text string) *locator { return &locator{text: text, line: 1} }

func (l *locator) find(pos int) (line, column int) {
	pos = min(pos, len(l.text))
	if pos < l.pos {
		*l = locator{text: l.text, line: 1}
	}
	passed := l.text[l.pos:pos]
	if breaks := strings.Count(passed, "\n"); breaks > 0 {
		l.line += breaks
		l.characters = 0
		passed = passed[strings.LastIndexByte(passed, '\n')+1:]
	}
	l.characters += utf8.RuneCountInString(passed)
	l.pos = pos
	return l.line, l.characters + 1
}

// enter guards every recursive rule.
func (p *parser) enter() bool {
	p.depth++
	p.work++
	if p.depth > maxNesting && p.fatal == "" {
		p.fatal = "nested too deeply"
	}
	if p.work > maxParseWork && p.fatal == "" {
		p.fatal = "more blocks than one text may have"
	}
	return p.fatal == ""
}

func (p *parser) leave() { p.depth-- }

// list reads tokens until one fails or until stop says so; it never fails.
func (p *parser) list(pos int, stop func(pos int) bool) ([]token, int) {
	var tokens []token
	for pos < len(p.text) && (stop == nil || !stop(pos)) {
		t, next, ok := p.token(pos)
		if !ok {
			break
		}
		tokens, pos = append(tokens, t), next
	}
	return tokens, pos
}

// token := conditional | calc | each | substitution | text
func (p *parser) token(pos int) (token, int, bool) {
	if !strings.HasPrefix(p.text[pos:], "#{") {
		return p.plain(pos)
	}
	return p.block(pos)
}

// block reads what starts with `#{`.
func (p *parser) block(pos int) (token, int, bool) {
	if m, ok := p.tokens[pos]; ok {
		p.work++
		return m.node, m.next, m.ok
	}
	if !p.enter() {
		return nil, pos, false
	}
	defer p.leave()
	m := memo[token]{next: pos}
	if p.opens(pos) {
		for _, rule := range []func(int) (token, int, bool){p.conditional, p.calc, p.each, p.substitution} {
			t, next, ok := rule(pos)
			if ok {
				m = memo[token]{node: t, next: next, ok: true}
				break
			}
			m.next = max(m.next, next)
		}
	}
	p.tokens[pos] = m
	return m.node, m.next, m.ok
}

// opens is '#{' not followed by '/'.
func (p *parser) opens(pos int) bool {
	rest := p.text[pos:]
	return strings.HasPrefix(rest, "#{") && !strings.HasPrefix(rest, "#{/")
}

// plain reads text and undoes its escapes (configuration.md 1.3).
func (p *parser) plain(pos int) (token, int, bool) {
	var b strings.Builder
	start, i := pos, pos
	for i < len(p.text) {
		hash := strings.IndexByte(p.text[i:], '#')
		if hash < 0 {
			hash = len(p.text) - i
		}
		b.WriteString(p.text[i : i+hash])
		i += hash
		rest := p.text[i:]
		switch {
		case rest == "":
		case rest == "#":
			b.WriteByte('#')
			i++
		case strings.HasPrefix(rest, "###{"):
			b.WriteByte('#')
			i += 2
		case strings.HasPrefix(rest, "##{"):
			b.WriteString("#{")
			i += 3
		case rest[1] != '{':
			_, size := utf8.DecodeRuneInString(rest[1:])
			b.WriteString(rest[:1+size])
			i += 1 + size
		default:
			return &textToken{at: at(start), text: b.String()}, i, i > start
		}
	}
	return &textToken{at: at(start), text: b.String()}, i, i > start
}

func (p *parser) space(pos int) int {
	for pos < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[pos:])
		if !unicode.IsSpace(r) {
			break
		}
		pos += size
	}
	return pos
}

func (p *parser) has(pos int, want string) bool { return strings.HasPrefix(p.text[pos:], want) }

// keyword matches in any case.
func (p *parser) keyword(pos int, word string) (int, bool) {
	end := pos + len(word)
	if end > len(p.text) || !strings.EqualFold(p.text[pos:end], word) {
		return pos, false
	}
	return end, true
}

// head matches '#{', spaces, the keyword and at least one space.
func (p *parser) head(pos int, word string) (int, bool) {
	pos = p.space(pos + len("#{"))
	pos, ok := p.keyword(pos, word)
	if !ok {
		return pos, false
	}
	after := p.space(pos)
	return after, after > pos
}
