package script

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
)

// Message is a service message: ##octopus[name key='base64' …].
type Message struct {
	Name       string
	Attributes map[string]string // keys in lower case, values decoded
}

// maxMessage is the longest message that is read as one; longer ones are text.
const maxMessage = 4 << 20

var attributeForm = regexp.MustCompile(`^\s*([A-Za-z][\w-]*)=(?:'([^']*)'|"([^"]*)")`)

// parseMessage reads what stands between the brackets.
func parseMessage(text string) (Message, bool) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	m := Message{Name: name, Attributes: map[string]string{}}
	for strings.TrimSpace(rest) != "" {
		a := attributeForm.FindStringSubmatch(rest)
		if a == nil {
			return m, false
		}
		value, err := base64.StdEncoding.DecodeString(a[2] + a[3])
		if err != nil {
			return m, false
		}
		m.Attributes[strings.ToLower(a[1])] = string(value)
		rest = rest[len(a[0]):]
	}
	return m, name != ""
}

const messageStart = "##octopus["

// scanner takes the service messages out of a stream, wherever in a line they
// are, and passes everything else on at once, except for what may be the
// beginning of one. A line that held nothing else vanishes.
type scanner struct {
	text    func([]byte)
	message func(body string) bool // false: it is text after all

	partial   int    // bytes of messageStart seen
	body      []byte // after messageStart
	inMessage bool
	hasText   bool // the current line has some
	swallowed bool // the current line had a message
}

func (s *scanner) write(p []byte) {
	for len(p) > 0 {
		switch {
		case s.inMessage:
			p = s.collect(p)
		case s.partial > 0:
			p = s.match(p)
		default:
			i := bytes.IndexByte(p, messageStart[0])
			if i < 0 {
				s.pass(p)
				return
			}
			s.pass(p[:i])
			s.partial, p = 1, p[i+1:]
		}
	}
}

// match follows messageStart byte by byte.
func (s *scanner) match(p []byte) []byte {
	if p[0] == messageStart[s.partial] {
		if s.partial++; s.partial == len(messageStart) {
			s.partial, s.inMessage = 0, true
		}
		return p[1:]
	}
	if s.partial == 2 && p[0] == '#' { // ###octopus[
		s.pass([]byte("#"))
		return p[1:]
	}
	seen := messageStart[:s.partial]
	s.partial = 0
	s.pass([]byte(seen))
	return p
}

func (s *scanner) collect(p []byte) []byte {
	i := bytes.IndexAny(p, "]\n")
	if i < 0 && len(s.body)+len(p) <= maxMessage {
		s.body = append(s.body, p...)
		return nil
	}
	if i >= 0 && p[i] == ']' && len(s.body)+i <= maxMessage {
		body := string(append(s.body, p[:i]...))
		s.body, s.inMessage = s.body[:0], false
		if s.message(body) {
			s.swallowed = true
		} else {
			s.pass([]byte(messageStart + body + "]"))
		}
		return p[i+1:]
	}
	s.giveUp()
	return p
}

// giveUp passes on as text what was held as the beginning of a message.
func (s *scanner) giveUp() {
	held := messageStart[:s.partial]
	if s.inMessage {
		held = messageStart + string(s.body)
	}
	s.partial, s.inMessage, s.body = 0, false, s.body[:0]
	s.pass([]byte(held))
}

// pass hands text on, without the line end of a line that was only messages.
func (s *scanner) pass(p []byte) {
	for len(p) > 0 {
		if s.swallowed && !s.hasText && (p[0] == '\r' || p[0] == '\n') {
			if p[0] == '\n' {
				s.swallowed = false
			}
			p = p[1:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.hasText = true
			s.text(p)
			return
		}
		s.text(p[:i+1])
		s.hasText, s.swallowed = false, false
		p = p[i+1:]
	}
}
