package template

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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

// maxJSONDepth bounds nesting (abuse 58).
const maxJSONDepth = 64

// jsonValue is JSON as variables hold it: read leniently (comments, single
// quotes, bare property names), written back compactly (configuration.md 1.8).
type jsonValue struct {
	kind   jsonKind
	scalar string       // text of a bool, number or string
	keys   []string     // of an object, in order; a later duplicate replaces the value
	values []*jsonValue // of an array or object
}

// property is the text under a name or index; ok is false when the value cannot
// have it. A missing or null property is "", a scalar answers any name with
// itself.
func (v *jsonValue) property(name string) (string, bool) {
	switch v.kind {
	case jsonNull:
		return "", false
	case jsonObject:
		for i, key := range v.keys {
			if key == name {
				return v.values[i].text(), true
			}
		}
		return "", true
	case jsonArray:
		i, err := strconv.ParseInt(strings.TrimSpace(name), 10, 32)
		if err != nil || i < 0 {
			return "", false
		}
		if int(i) >= len(v.values) {
			return "", true
		}
		return v.values[i].text(), true
	case jsonBool, jsonNumber, jsonString:
	}
	return v.text(), true
}

// text is what a template sees: scalars as text, the rest as compact JSON.
func (v *jsonValue) text() string {
	switch v.kind {
	case jsonNull:
		return ""
	case jsonBool:
		return boolText(v.scalar == "true")
	case jsonNumber:
		return plainNumber(v.scalar)
	case jsonString:
		return v.scalar
	case jsonObject, jsonArray:
	}
	var b strings.Builder
	v.write(&b)
	return b.String()
}

func (v *jsonValue) write(b *strings.Builder) {
	switch v.kind {
	case jsonNull:
		b.WriteString("null")
	case jsonBool, jsonNumber:
		b.WriteString(v.scalar)
	case jsonString:
		writeJSONString(b, v.scalar)
	case jsonArray:
		b.WriteByte('[')
		for i, item := range v.values {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case jsonObject:
		b.WriteByte('{')
		for i, item := range v.values {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONString(b, v.keys[i])
			b.WriteByte(':')
			item.write(b)
		}
		b.WriteByte('}')
	}
}

func writeJSONString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		default:
			if r < 0x20 || r == 0x85 || r == 0x2028 || r == 0x2029 {
				const hex = "0123456789abcdef"
				b.WriteString(`\u`)
				for shift := 12; shift >= 0; shift -= 4 {
					b.WriteByte(hex[r>>shift&0xf])
				}
				continue
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// plainNumber is a number's invariant text: integers as they are, others in
// their shortest form (1.0 is 1).
func plainNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return number(f)
}

// parseJSON returns nil when the text is not JSON.
func parseJSON(text string) *jsonValue {
	p := &jsonParser{text: text}
	v, ok := p.value(0)
	if p.skip(); !ok || p.pos < len(text) {
		return nil
	}
	return v
}

type jsonParser struct {
	text string
	pos  int
}

// skip passes white space and comments.
func (p *jsonParser) skip() {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		switch {
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return
			}
			p.pos += end + 4
		default:
			r, size := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) && r != '\uFEFF' {
				return
			}
			p.pos += size
		}
	}
}

func (p *jsonParser) take(c byte) bool {
	p.skip()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) value(depth int) (*jsonValue, bool) {
	p.skip()
	if p.pos >= len(p.text) || depth > maxJSONDepth {
		return nil, false
	}
	switch c := p.text[p.pos]; c {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"', '\'':
		s, ok := p.quoted(c)
		return &jsonValue{kind: jsonString, scalar: s}, ok
	}
	return p.word()
}

// word reads null, true, false or a number.
func (p *jsonParser) word() (*jsonValue, bool) {
	start := p.pos
	for p.pos < len(p.text) && (isAlnum(p.text[p.pos]) || strings.IndexByte("+-.", p.text[p.pos]) >= 0) {
		p.pos++
	}
	switch word := p.text[start:p.pos]; word {
	case "null":
		return &jsonValue{kind: jsonNull}, true
	case "true", "false":
		return &jsonValue{kind: jsonBool, scalar: word}, true
	default:
		if word == "" || strings.Trim(word, "0123456789+-.eE") != "" {
			return nil, false
		}
		_, err := strconv.ParseFloat(word, 64)
		return &jsonValue{kind: jsonNumber, scalar: word}, err == nil
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *jsonParser) array(depth int) (*jsonValue, bool) {
	p.pos++
	v := &jsonValue{kind: jsonArray}
	for {
		if p.take(']') {
			return v, true
		}
		item, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		v.values = append(v.values, item)
		if !p.take(',') {
			return v, p.take(']')
		}
	}
}

func (p *jsonParser) object(depth int) (*jsonValue, bool) {
	p.pos++
	v := &jsonValue{kind: jsonObject}
	at := map[string]int{}
	for {
		if p.take('}') {
			return v, true
		}
		key, ok := p.key()
		if !ok || !p.take(':') {
			return nil, false
		}
		item, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		if i, again := at[key]; again {
			v.values[i] = item
		} else {
			at[key] = len(v.keys)
			v.keys, v.values = append(v.keys, key), append(v.values, item)
		}
		if !p.take(',') {
			return v, p.take('}')
		}
	}
}

// key reads a property name, quoted or bare.
func (p *jsonParser) key() (string, bool) {
	p.skip()
	if p.pos < len(p.text) && (p.text[p.pos] == '"' || p.text[p.pos] == '\'') {
		return p.quoted(p.text[p.pos])
	}
	start := p.pos
	for p.pos < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.pos:])
		if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		p.pos += size
	}
	return p.text[start:p.pos], p.pos > start
}

func (p *jsonParser) quoted(quote byte) (string, bool) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case quote:
			return b.String(), true
		case '\\':
			if !p.escape(&b) {
				return "", false
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

func (p *jsonParser) escape(b *strings.Builder) bool {
	if p.pos >= len(p.text) {
		return false
	}
	c := p.text[p.pos]
	p.pos++
	if i := strings.IndexByte("bfnrt", c); i >= 0 {
		b.WriteByte("\b\f\n\r\t"[i])
		return true
	}
	if c != 'u' {
		b.WriteByte(c)
		return strings.IndexByte(`"'\/`, c) >= 0
	}
	r, ok := p.hex()
	if ok && r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(p.text[p.pos:], `\u`) {
		p.pos += 2
		var low rune
		if low, ok = p.hex(); ok && low >= 0xDC00 && low < 0xE000 {
			r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
		}
	}
	b.WriteRune(r)
	return ok
}

func (p *jsonParser) hex() (rune, bool) {
	if p.pos+4 > len(p.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.text[p.pos:p.pos+4], 16, 16)
	p.pos += 4
	return rune(n), err == nil
}
