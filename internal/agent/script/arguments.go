package script

import "strings"

// Argument is one of a script's parameters.
type Argument struct {
	Text string // its value
	Raw  string // as written in the process, with quotes and templates
}

// SplitArguments splits the text of a step's script parameters at white space
// outside quotes and templates, and only then expands each part: a value with
// spaces, quotes or shell characters stays one argument (abuse 83). `\"` is a
// quote, any other backslash is itself.
func SplitArguments(text string, expand func(string) string) []Argument {
	var list []Argument
	s := splitter{text: text}
	for {
		raw, plain, ok := s.next()
		if !ok {
			return list
		}
		list = append(list, Argument{Text: expand(plain), Raw: raw})
	}
}

type splitter struct {
	text string
	at   int
}

const blanks = " \t\r\n"

func (s *splitter) next() (raw, plain string, ok bool) {
	for s.at < len(s.text) && strings.IndexByte(blanks, s.text[s.at]) >= 0 {
		s.at++
	}
	start, quote := s.at, byte(0)
	var b strings.Builder
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case strings.HasPrefix(s.text[s.at:], "#{"):
			end := s.template()
			b.WriteString(s.text[s.at:end])
			s.at = end
			continue
		case c == '\\' && s.at+1 < len(s.text) && s.text[s.at+1] == '"':
			s.at++
			b.WriteByte('"')
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			return s.text[start:s.at], b.String(), true
		default:
			b.WriteByte(c)
		}
		s.at++
	}
	return s.text[start:], b.String(), start < len(s.text)
}

// template is the end of the template that starts here; nested ones and
// blocks such as #{if …} with their bodies belong to the text around them.
func (s *splitter) template() int {
	depth := 0
	for i := s.at; i < len(s.text); i++ {
		switch {
		case strings.HasPrefix(s.text[i:], "#{"):
			depth++
			i++
		case s.text[i] == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s.text)
}
