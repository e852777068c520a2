package configure

import (
	"strings"
	"unicode/utf8"
)

// jsonWriter writes a document the way the field's other tool does: indented by
// two spaces, one member a line (configuration.md 4.2). Unlike there, comments
// stay, and what was not replaced keeps its spelling.
type jsonWriter struct {
	b       strings.Builder
	newline string
}

func writeJSON(doc *jsonDocument, newline string) string {
	w := &jsonWriter{newline: newline}
	for _, c := range doc.before {
		w.b.WriteString(c)
		w.line(0)
	}
	w.node(doc.root, 0)
	for _, c := range doc.after {
		w.line(0)
		w.b.WriteString(c)
	}
	return w.b.String()
}

func (w *jsonWriter) line(depth int) {
	w.b.WriteString(w.newline)
	w.b.WriteString(strings.Repeat("  ", depth))
}

func (w *jsonWriter) node(n *jsonNode, depth int) {
	if n.with != nil {
		n = n.with
	}
	if n.kind != jsonArray && n.kind != jsonObject {
		w.b.WriteString(n.raw)
		return
	}
	opening, closing := byte('['), byte(']')
	if n.kind == jsonObject {
		opening, closing = '{', '}'
	}
	w.b.WriteByte(opening)
	for i := range n.members {
		w.member(&n.members[i], depth+1, i == len(n.members)-1)
	}
	for _, c := range n.inner {
		w.line(depth + 1)
		w.b.WriteString(c)
	}
	if len(n.members)+len(n.inner) > 0 {
		w.line(depth)
	}
	w.b.WriteByte(closing)
}

func (w *jsonWriter) member(m *jsonMember, depth int, last bool) {
	for _, c := range m.before {
		w.line(depth)
		w.b.WriteString(c)
	}
	w.line(depth)
	if m.quoted != "" {
		w.b.WriteString(m.quoted + ": ")
	}
	w.node(m.value, depth)
	if !last {
		w.b.WriteByte(',')
	}
	for i, c := range m.after {
		if i > 0 && strings.HasPrefix(m.after[i-1], "//") {
			w.line(depth)
		} else {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(c)
	}
}

// quoteJSON is a string in its plainest form: only what has to be is escaped.
func quoteJSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
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
			if r == utf8.RuneError {
				if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
					b.WriteString(`\ufffd`)
					continue
				}
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// newlineOf is the line break that most lines of the text end with; a text of
// one line has none and gets CR LF (configuration.md 4.2).
func newlineOf(text string) string {
	crlf := strings.Count(text, "\r\n")
	lf, cr := strings.Count(text, "\n")-crlf, strings.Count(text, "\r")-crlf
	switch {
	case lf > crlf && lf >= cr:
		return "\n"
	case cr > crlf:
		return "\r"
	}
	return "\r\n"
}
