package configure

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of one document (abuse 58).
const (
	maxJSONDepth  = 64
	maxJSONValues = 500_000
)

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// jsonNode is a value as it is written: raw keeps a scalar's own text, so that
// what is not replaced keeps its spelling.
type jsonNode struct {
	kind    jsonKind
	pos     int
	raw     string
	members []jsonMember
	inner   []string  // comments before the closing bracket
	with    *jsonNode // what replaces the node when it is written
}

// jsonMember is an element of an array, or of an object with its name.
type jsonMember struct {
	name   string   // as text
	quoted string   // as it is written
	before []string // comments on lines of their own
	after  []string // comments behind it on its line
	value  *jsonNode
}

// jsonDocument is a value with the comments around it.
type jsonDocument struct {
	before, after []string
	root          *jsonNode
}

// jsonScanner reads JSON as configuration files have it: comments, single
// quotes, bare names and trailing commas are accepted (configuration.md 4.2).
type jsonScanner struct {
	text   string
	pos    int
	values int      // read so far
	left   []string // comments behind the last member, before the closing bracket
}

// parseJSON returns a *syntaxError when the text is no JSON.
func parseJSON(text string) (*jsonDocument, error) {
	s := &jsonScanner{text: text}
	doc := &jsonDocument{}
	var err error
	if doc.before, err = s.space(); err != nil {
		return nil, err
	}
	if doc.root, err = s.value(0); err != nil {
		return nil, err
	}
	if doc.after, err = s.space(); err != nil {
		return nil, err
	}
	if s.pos < len(text) {
		return nil, s.unexpected("end of file")
	}
	return doc, nil
}

func (s *jsonScanner) fail(pos int, format string, args ...any) error {
	return &syntaxError{line: lineOf(s.text, pos), reason: fmt.Sprintf(format, args...)}
}

func (s *jsonScanner) unexpected(want string) error {
	return s.fail(s.pos, "it is no JSON: %s where %s should be", quoteChar(s.text, s.pos), want)
}

func (s *jsonScanner) at(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }

// space passes white space and returns the comments in it.
func (s *jsonScanner) space() ([]string, error) { return s.comments(false) }

// comments passes white space and comments; on one line only, when asked.
func (s *jsonScanner) comments(line bool) ([]string, error) {
	var found []string
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexAny(rest, "\r\n")
			if end < 0 {
				end = len(rest)
			}
			found = append(found, strings.TrimRight(rest[:end], " \t"))
			s.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return nil, s.fail(s.pos, "a comment is never closed")
			}
			found = append(found, rest[:end+4])
			s.pos += end + 4
		default:
			r, size := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) || (line && r == '\n') {
				return found, nil
			}
			s.pos += size
		}
	}
	return found, nil
}

func (s *jsonScanner) value(depth int) (*jsonNode, error) {
	if depth > maxJSONDepth {
		return nil, s.fail(s.pos, "values are nested more than %d deep", maxJSONDepth)
	}
	if s.values++; s.values > maxJSONValues {
		return nil, s.fail(s.pos, "there are more than %d values", maxJSONValues)
	}
	switch {
	case s.at('{'):
		return s.container(jsonObject, '}', depth)
	case s.at('['):
		return s.container(jsonArray, ']', depth)
	case s.at('"'), s.at('\''):
		start := s.pos
		text, err := s.quoted()
		if err != nil {
			return nil, err
		}
		return &jsonNode{kind: jsonString, pos: start, raw: s.spelling(start, text)}, nil
	}
	return s.word()
}

// spelling is a string as it is written back: in double quotes as it stands,
// anything else newly quoted.
func (s *jsonScanner) spelling(start int, text string) string {
	if s.text[start] == '"' {
		return s.text[start:s.pos]
	}
	return quoteJSON(text)
}

func (s *jsonScanner) word() (*jsonNode, error) {
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", s.text[s.pos]) >= 0 {
		s.pos++
	}
	n := &jsonNode{pos: start, raw: s.text[start:s.pos]}
	switch n.raw {
	case "null":
		return n, nil
	case "true", "false":
		n.kind = jsonBool
		return n, nil
	}
	n.kind = jsonNumber
	if !json.Valid([]byte(n.raw)) {
		s.pos = start
		return nil, s.unexpected("a value")
	}
	return n, nil
}

func (s *jsonScanner) container(kind jsonKind, closing byte, depth int) (*jsonNode, error) {
	n := &jsonNode{kind: kind, pos: s.pos}
	s.pos++
	for comma := true; ; {
		before, err := s.space()
		if err != nil {
			return nil, err
		}
		before = append(s.left, before...)
		s.left = nil
		if s.at(closing) {
			s.pos++
			n.inner = before
			return n, nil
		}
		if !comma {
			return nil, s.unexpected(fmt.Sprintf("',' or %q", closing))
		}
		m := jsonMember{before: before}
		if comma, err = s.member(&m, kind, depth); err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
}

// member reads one, the comma behind it and the comments on its line.
func (s *jsonScanner) member(m *jsonMember, kind jsonKind, depth int) (comma bool, err error) {
	if kind == jsonObject {
		if err := s.key(m); err != nil {
			return false, err
		}
	}
	if m.value, err = s.value(depth + 1); err != nil {
		return false, err
	}
	if m.after, err = s.comments(true); err != nil {
		return false, err
	}
	rest, err := s.space()
	if err != nil {
		return false, err
	}
	if !s.at(',') {
		s.left = rest
		return false, nil
	}
	s.pos++
	m.after = append(m.after, rest...)
	behind, err := s.comments(true)
	m.after = append(m.after, behind...)
	return true, err
}

// key reads a name, quoted or bare, and its colon.
func (s *jsonScanner) key(m *jsonMember) (err error) {
	start := s.pos
	if s.at('"') || s.at('\'') {
		m.name, err = s.quoted()
	} else {
		m.name, err = s.bare()
	}
	if err != nil {
		return err
	}
	m.quoted = s.spelling(start, m.name)
	for _, closed := range []bool{false, true} {
		comments, err := s.space()
		if err != nil {
			return err
		}
		m.before = append(m.before, comments...)
		if closed {
			return nil
		}
		if !s.at(':') {
			return s.unexpected("':'")
		}
		s.pos++
	}
	return nil
}

func (s *jsonScanner) bare() (string, error) {
	start := s.pos
	for s.pos < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.pos:])
		if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		s.pos += size
	}
	if s.pos == start {
		return "", s.unexpected("a name")
	}
	return s.text[start:s.pos], nil
}

func (s *jsonScanner) quoted() (string, error) {
	start, quote := s.pos, s.text[s.pos]
	var b strings.Builder
	for s.pos++; s.pos < len(s.text); {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\\':
			if err := s.escape(&b); err != nil {
				return "", err
			}
		case c < 0x20 && c != '\t':
			return "", s.fail(start, "a string is never closed on its line")
		default:
			b.WriteByte(c)
		}
	}
	return "", s.fail(start, "a string is never closed")
}

func (s *jsonScanner) escape(b *strings.Builder) error {
	if s.pos >= len(s.text) {
		return s.unexpected("an escape")
	}
	c := s.text[s.pos]
	s.pos++
	if i := strings.IndexByte("bfnrt", c); i >= 0 {
		b.WriteByte("\b\f\n\r\t"[i])
		return nil
	}
	if strings.IndexByte(`"'\/`, c) >= 0 {
		b.WriteByte(c)
		return nil
	}
	r, ok := s.unit(c)
	if !ok {
		return s.fail(s.pos, "an escape in a string is not known")
	}
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s.text[s.pos:], `\u`) {
		s.pos += 2
		low, ok := s.unit('u')
		if !ok || low < 0xDC00 || low > 0xDFFF {
			return s.fail(s.pos, "half of a surrogate pair in a string")
		}
		r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
	}
	b.WriteRune(r) // a lone surrogate becomes U+FFFD here and keeps its spelling in the file
	return nil
}

func (s *jsonScanner) unit(kind byte) (rune, bool) {
	if kind != 'u' || s.pos+4 > len(s.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(s.text[s.pos:s.pos+4], 16, 16)
	s.pos += 4
	return rune(n), err == nil
}
