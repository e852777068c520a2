package configure

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of one document (abuse 60).
const (
	maxXMLDepth    = 256
	maxXMLElements = 500_000
)

// span is a half-open range of byte offsets in the document.
type span struct{ start, end int }

// element is a start tag with what belongs to it, by where it stands in the
// text. Nothing of the document is kept but these offsets: what is not edited
// is written back byte for byte.
type element struct {
	tag        span // from '<' to after '>'
	name       span // with its prefix
	attributes []attribute
	empty      bool // <a/>
	content    span // up to the end tag; empty for <a/>
	parent     *element
	children   []*element
}

type attribute struct {
	name  span
	value span // without the quotes
	quote byte
}

// xmlScanner reads a document and checks that it is well formed as far as
// editing it needs: tags balance, attributes are quoted and unique, one root. A
// document type declaration is passed over and never processed; entities other
// than the five of XML stay as they stand (abuse 60).
type xmlScanner struct {
	text string
	pos  int
	open *element
	root *element
	seen int // elements
}

// parseXML returns the root element, or a *syntaxError.
func parseXML(text string) (*element, error) {
	s := &xmlScanner{text: text}
	for depth := 0; s.pos < len(text); {
		before := s.open
		if err := s.next(); err != nil {
			return nil, err
		}
		if s.open != before && s.open != nil && s.open.parent == before {
			depth++
		} else if s.open != before {
			depth--
		}
		if depth > maxXMLDepth {
			return nil, s.fail(s.pos, fmt.Sprintf("elements are nested more than %d deep", maxXMLDepth))
		}
	}
	if s.open != nil {
		return nil, s.fail(s.open.tag.start, fmt.Sprintf("<%s> is never closed", s.slice(s.open.name)))
	}
	if s.root == nil {
		return nil, s.fail(len(text), "there is no root element")
	}
	return s.root, nil
}

func (s *xmlScanner) fail(pos int, reason string) error {
	return &syntaxError{line: lineOf(s.text, pos), reason: reason}
}

func lineOf(text string, pos int) int { return strings.Count(text[:min(pos, len(text))], "\n") + 1 }

func (s *xmlScanner) slice(sp span) string { return s.text[sp.start:sp.end] }

// next passes one piece of the document.
func (s *xmlScanner) next() error {
	rest := s.text[s.pos:]
	switch {
	case strings.HasPrefix(rest, "<!--"):
		return s.skipTo("-->", "comment")
	case strings.HasPrefix(rest, "<![CDATA["):
		if s.open == nil {
			return s.fail(s.pos, "text outside of the root element")
		}
		return s.skipTo("]]>", "CDATA section")
	case strings.HasPrefix(rest, "<?"):
		return s.skipTo("?>", "processing instruction")
	case strings.HasPrefix(rest, "<!"):
		return s.doctype()
	case strings.HasPrefix(rest, "</"):
		return s.endTag()
	case rest[0] == '<':
		return s.startTag()
	}
	end := strings.IndexByte(rest, '<')
	if end < 0 {
		end = len(rest)
	}
	if s.open == nil && strings.TrimSpace(rest[:end]) != "" {
		return s.fail(s.pos+len(rest[:end])-len(strings.TrimLeftFunc(rest[:end], unicode.IsSpace)), "text outside of the root element")
	}
	s.pos += end
	return nil
}

func (s *xmlScanner) skipTo(end, what string) error {
	i := strings.Index(s.text[s.pos:], end)
	if i < 0 {
		return s.fail(s.pos, "a "+what+" is never closed")
	}
	s.pos += i + len(end)
	return nil
}

// doctype passes over a declaration with its quoted texts, comments and
// internal subset.
func (s *xmlScanner) doctype() error {
	start := s.pos
	if s.root != nil || !strings.HasPrefix(s.text[s.pos:], "<!DOCTYPE") {
		return s.fail(start, "unexpected '<!'")
	}
	for depth := 0; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case '"', '\'':
			end := strings.IndexByte(s.text[s.pos+1:], c)
			if end < 0 {
				return s.fail(start, "a document type declaration is never closed")
			}
			s.pos += end + 1
		case '[', '<':
			if strings.HasPrefix(s.text[s.pos:], "<!--") {
				if err := s.skipTo("-->", "comment"); err != nil {
					return err
				}
				s.pos--
				continue
			}
			depth++
		case ']':
			depth--
		case '>':
			if depth--; depth == 0 {
				s.pos++
				return nil
			}
		}
	}
	return s.fail(start, "a document type declaration is never closed")
}

func (s *xmlScanner) endTag() error {
	start := s.pos
	s.pos += len("</")
	name, err := s.name()
	if err != nil {
		return err
	}
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != '>' {
		return s.fail(start, "an end tag is never closed")
	}
	s.pos++
	if s.open == nil || s.slice(s.open.name) != s.slice(name) {
		return s.fail(start, fmt.Sprintf("</%s> closes nothing that is open", s.slice(name)))
	}
	s.open.content = span{s.open.tag.end, start}
	s.open = s.open.parent
	return nil
}

func (s *xmlScanner) startTag() error {
	start := s.pos
	if s.open == nil && s.root != nil {
		return s.fail(start, "there is a second root element")
	}
	s.pos++
	name, err := s.name()
	if err != nil {
		return err
	}
	if s.seen++; s.seen > maxXMLElements {
		return s.fail(start, fmt.Sprintf("there are more than %d elements", maxXMLElements))
	}
	e := &element{name: name, parent: s.open}
	if err := s.attributes(e); err != nil {
		return err
	}
	e.tag = span{start, s.pos}
	e.content = span{s.pos, s.pos}
	if s.open == nil {
		s.root = e
	} else {
		s.open.children = append(s.open.children, e)
	}
	if !e.empty {
		s.open = e
	}
	return nil
}

// attributes reads up to and with the tag's '>'.
func (s *xmlScanner) attributes(e *element) error {
	seen := map[string]bool{}
	for {
		before := s.pos
		s.space()
		if s.pos >= len(s.text) {
			return s.fail(e.name.start, "a tag is never closed")
		}
		if s.text[s.pos] == '>' {
			s.pos++
			return nil
		}
		if strings.HasPrefix(s.text[s.pos:], "/>") {
			s.pos += 2
			e.empty = true
			return nil
		}
		if s.pos == before {
			return s.fail(s.pos, "unexpected "+quoteChar(s.text, s.pos)+" in a tag")
		}
		a, err := s.attribute()
		if err != nil {
			return err
		}
		if name := s.slice(a.name); seen[name] {
			return s.fail(a.name.start, fmt.Sprintf("the attribute %s is there twice", name))
		} else {
			seen[name] = true
		}
		e.attributes = append(e.attributes, a)
	}
}

func (s *xmlScanner) attribute() (attribute, error) {
	name, err := s.name()
	if err != nil {
		return attribute{}, err
	}
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != '=' {
		return attribute{}, s.fail(name.start, fmt.Sprintf("the attribute %s has no value", s.slice(name)))
	}
	s.pos++
	s.space()
	if s.pos >= len(s.text) || (s.text[s.pos] != '"' && s.text[s.pos] != '\'') {
		return attribute{}, s.fail(name.start, fmt.Sprintf("the value of attribute %s has no quotes", s.slice(name)))
	}
	quote, start := s.text[s.pos], s.pos+1
	end := strings.IndexByte(s.text[start:], quote)
	if end < 0 {
		return attribute{}, s.fail(name.start, fmt.Sprintf("the value of attribute %s is never closed", s.slice(name)))
	}
	s.pos = start + end + 1
	value := span{start, start + end}
	if strings.IndexByte(s.slice(value), '<') >= 0 {
		return attribute{}, s.fail(start, fmt.Sprintf("the value of attribute %s has a '<'", s.slice(name)))
	}
	return attribute{name: name, value: value, quote: quote}, nil
}

func (s *xmlScanner) name() (span, error) {
	start := s.pos
	for s.pos < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.pos:])
		if !nameRune(r, s.pos == start) {
			break
		}
		s.pos += size
	}
	if s.pos == start {
		return span{}, s.fail(start, "unexpected "+quoteChar(s.text, start)+" where a name starts")
	}
	return span{start, s.pos}, nil
}

func nameRune(r rune, first bool) bool {
	if r == '_' || r == ':' || unicode.IsLetter(r) {
		return true
	}
	return !first && (r == '-' || r == '.' || r == '\u00B7' || unicode.IsDigit(r) || unicode.IsMark(r))
}

func (s *xmlScanner) space() {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

func quoteChar(text string, pos int) string {
	if pos >= len(text) {
		return "end of file"
	}
	r, _ := utf8.DecodeRuneInString(text[pos:])
	return strconv.QuoteRune(r)
}

// local is a name without its prefix.
func local(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}

// unescapeXML reads the five entities and character references; anything else
// stays as it stands.
func unescapeXML(raw string) string {
	if !strings.Contains(raw, "&") {
		return raw
	}
	var b strings.Builder
	for {
		start := strings.IndexByte(raw, '&')
		if start < 0 {
			b.WriteString(raw)
			return b.String()
		}
		b.WriteString(raw[:start])
		raw = raw[start:]
		end := strings.IndexByte(raw, ';')
		text, ok := "", false
		if end > 0 {
			text, ok = entity(raw[1:end])
		}
		if !ok {
			b.WriteByte('&')
			raw = raw[1:]
			continue
		}
		b.WriteString(text)
		raw = raw[end+1:]
	}
}

func entity(name string) (string, bool) {
	switch name {
	case "amp":
		return "&", true
	case "lt":
		return "<", true
	case "gt":
		return ">", true
	case "quot":
		return `"`, true
	case "apos":
		return "'", true
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if digits == name {
		return "", false
	}
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil || !xmlRune(rune(n)) {
		return "", false
	}
	return string(rune(n)), true
}

// xmlRune says whether XML 1.0 has the character.
func xmlRune(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || (r >= 0x20 && r <= 0xD7FF) || (r >= 0xE000 && r <= 0xFFFD) || (r >= 0x10000 && r <= 0x10FFFF)
}

// escapeXML writes text for between the quotes, or for an element's content
// when quote is 0. What the file's encoding cannot hold becomes a character
// reference. It fails on characters that XML has no form for.
func escapeXML(text string, quote byte, c charset) (string, error) {
	var b strings.Builder
	for _, r := range text {
		switch {
		case !xmlRune(r):
			return "", fmt.Errorf("the value holds the character U+%04X, which XML cannot hold", r)
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case quote == '"' && r == '"':
			b.WriteString("&quot;")
		case quote == '\'' && r == '\'':
			b.WriteString("&apos;")
		case r == '\r', quote != 0 && (r == '\n' || r == '\t'), r > 0x7E && !c.holds(r):
			fmt.Fprintf(&b, "&#x%X;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), nil
}
