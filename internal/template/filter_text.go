package template

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
)

// textFilter holds the filters that cut, join and compare text.
func textFilter(name string) filter {
	switch name {
	case "tolower":
		return mapping(strings.ToLower)
	case "toupper":
		return mapping(strings.ToUpper)
	case "startswith":
		return asking(strings.HasPrefix)
	case "endswith":
		return asking(strings.HasSuffix)
	case "contains":
		return asking(strings.Contains)
	case "append":
		return joining(func(in, options string) string { return in + options })
	case "prepend":
		return joining(func(in, options string) string { return options + in })
	case "substring":
		return substring
	case "truncate":
		return truncate
	case "trim":
		return trim
	case "indent":
		return indent
	case "null":
		return func(string, bool, []string) (string, bool, error) { return "", false, nil }
	}
	return nil
}

// joining works without an input too; it needs at least one option.
func joining(f func(in, options string) string) filter {
	return func(in string, _ bool, options []string) (string, bool, error) {
		if len(options) == 0 {
			return "", false, nil
		}
		return f(in, strings.Join(options, "")), true, nil
	}
}

// Lengths and positions count UTF-16 units, as the field's other tool does. A
// pair that a cut would split becomes U+FFFD.
func units(s string) []uint16 { return utf16.Encode([]rune(s)) }

func fromUnits(u []uint16) string { return string(utf16.Decode(u)) }

// count reads a number that is not negative.
func count(s string) (int, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return int(n), err == nil && n >= 0
}

func substring(in string, has bool, options []string) (string, bool, error) {
	if !has || len(options) == 0 || len(options) > 2 {
		return "", false, nil
	}
	start, ok := 0, true
	if len(options) == 2 {
		start, ok = count(options[0])
	}
	length, lengthOK := count(options[len(options)-1])
	text := units(in)
	if !ok || !lengthOK || start > len(text) {
		return "", false, nil
	}
	return fromUnits(text[start:min(start+length, len(text))]), true, nil
}

func truncate(in string, has bool, options []string) (string, bool, error) {
	if !has || len(options) == 0 || len(options) > 2 {
		return "", false, nil
	}
	length, ok := count(options[0])
	if !ok {
		return "", false, nil
	}
	text := units(in)
	if length >= len(text) {
		return in, true, nil
	}
	suffix := "..."
	if len(options) == 2 {
		suffix = options[1]
	}
	return fromUnits(text[:length]) + suffix, true, nil
}

func trim(in string, has bool, options []string) (string, bool, error) {
	if !has {
		return "", false, nil
	}
	if len(options) == 0 {
		return strings.TrimSpace(in), true, nil
	}
	switch strings.ToLower(options[0]) {
	case "start":
		return strings.TrimLeftFunc(in, isSpace), true, nil
	case "end":
		return strings.TrimRightFunc(in, isSpace), true, nil
	}
	return "", false, nil
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

// indent puts text before each line, the first of which may have its own.
func indent(in string, has bool, options []string) (string, bool, error) {
	if !has || len(options) > 2 {
		return "", false, nil
	}
	if in == "" {
		return "", true, nil
	}
	first, rest := strings.Repeat(" ", 4), strings.Repeat(" ", 4)
	switch len(options) {
	case 1:
		first, rest = indents(options[0])
	case 2:
		first, rest = options[0], options[1]
		if n, ok := size(first); ok {
			first = strings.Repeat(" ", n)
		}
		if n, ok := size(rest); ok {
			rest = strings.Repeat(" ", n)
		}
	}
	if (len(first)+len(rest))*(strings.Count(in, "\n")+1) > MaxOutput {
		return "", false, errors.New("the indented text is too large")
	}
	return first + strings.ReplaceAll(in, "\n", "\n"+rest), true, nil
}

// indents reads n, /n, a/b or any other text.
func indents(option string) (first, rest string) {
	if n, ok := size(option); ok {
		return strings.Repeat(" ", n), strings.Repeat(" ", n)
	}
	if a, b, slash := strings.Cut(option, "/"); slash {
		one, oneOK := size(a)
		two, twoOK := size(b)
		if twoOK && (oneOK || a == "") {
			return strings.Repeat(" ", one), strings.Repeat(" ", two)
		}
	}
	return option, option
}

// size is a number of spaces; anything else is taken as text.
func size(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil
}
