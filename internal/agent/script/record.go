package script

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Category is what a log record is shown as (octopus-api.md 2.14).
type Category string

// The categories of records.
const (
	Info      Category = "Info"
	Error     Category = "Error"
	Verbose   Category = "Verbose"
	Warning   Category = "Warning"
	Highlight Category = "Highlight"
	Wait      Category = "Wait"
	Fatal     Category = "Fatal"
	Progress  Category = "Progress" // the text is "<percent> <message>"
)

// maxRecord is how many bytes of output go into one record at most.
const maxRecord = 64 << 10

// appendRecord appends "<unix ms>\t<category>\t<text>\n".
func appendRecord(out []byte, ms int64, c Category, text []byte) []byte {
	out = strconv.AppendInt(out, ms, 10)
	out = append(out, '\t')
	out = append(out, c...)
	out = append(out, '\t')
	out = appendVisible(out, text)
	return append(out, '\n')
}

// cut is where to split text so that no more than maxRecord bytes come first
// and no character is torn.
func cut(text []byte) int {
	n := maxRecord
	for back := 1; back < utf8.UTFMax; back++ {
		if utf8.RuneStart(text[n-back]) {
			if !utf8.FullRune(text[n-back : n]) {
				return n - back
			}
			break
		}
	}
	return n
}

// appendVisible appends text as it may be shown: what is not UTF-8 as U+FFFD,
// colours as they are, every other control character or sequence escaped, so
// that nothing of it reaches a terminal or a page as a command (abuse 59, 76).
func appendVisible(out, text []byte) []byte {
	for len(text) > 0 {
		plain := plainPrefix(text)
		out = append(out, text[:plain]...)
		if text = text[plain:]; len(text) == 0 {
			break
		}
		if n := colour(text); n > 0 {
			out = append(out, text[:n]...)
			text = text[n:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		out = appendEscaped(out, r)
		text = text[size:]
	}
	return out
}

func plainPrefix(text []byte) int {
	for i := 0; i < len(text); {
		if b := text[i]; b < utf8.RuneSelf {
			if b < ' ' && b != '\t' || b == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r < 0xa0 || r == utf8.RuneError {
			return i
		}
		i += size
	}
	return len(text)
}

func appendEscaped(out []byte, r rune) []byte {
	switch {
	case r == utf8.RuneError:
		return append(out, "\uFFFD"...)
	case r == '\r':
		return append(out, `\r`...)
	case r == '\n':
		return append(out, `\n`...)
	case r < 0x80:
		return fmt.Appendf(out, `\x%02x`, r)
	default:
		return fmt.Appendf(out, `\u%04x`, r)
	}
}

const maxColour = 64

// colour is the length of the colour sequence that text starts with, 0 when
// it starts with none. Blinking and hidden text do not count as colour.
func colour(text []byte) int {
	if len(text) < 3 || text[0] != 0x1b || text[1] != '[' {
		return 0
	}
	number, skip := 0, 0
	for i := 2; i < len(text) && i < maxColour; i++ {
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			number = min(number*10+int(c-'0'), 1000)
		case c == ';' || c == ':' || c == 'm':
			next, ok := colourStep(number, skip)
			if !ok {
				return 0
			}
			if c == 'm' {
				return i + 1
			}
			number, skip = 0, next
		default:
			return 0
		}
	}
	return 0
}

// colourStep reads one number of a colour sequence. skip says what is
// expected: 0 an attribute, -1 the kind of an extended colour, else how many
// parts of one are still to come.
func colourStep(number, skip int) (next int, ok bool) {
	switch {
	case skip > 0:
		return skip - 1, number <= 255
	case skip < 0:
		parts, known := map[int]int{5: 1, 2: 3}[number]
		return parts, known
	case number == 38 || number == 48 || number == 58:
		return -1, true
	default:
		return 0, number != 5 && number != 6 && number != 8 && number <= 107
	}
}
