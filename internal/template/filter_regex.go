package template

import (
	"regexp"
	"strings"
)

// regexFilter holds Match and Replace. Patterns are RE2, which takes linear
// time whatever the pattern (abuse 64); one that needs more, such as a
// look-ahead or a back-reference, ends the evaluation by that name.
func regexFilter(name string) filter {
	switch name {
	case "match":
		return func(in string, has bool, options []string) (string, bool, error) {
			if !has || len(options) != 1 {
				return "", false, nil
			}
			re, err := compile("Match", options[0])
			if err != nil {
				return "", false, err
			}
			return strings.ToLower(boolText(re.MatchString(in))), true, nil
		}
	case "replace":
		return replace
	}
	return nil
}

// maxPattern bounds a pattern, in bytes.
const maxPattern = 4096

func compile(filter, pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, &BudgetError{What: "bytes of a regular expression", Limit: maxPattern}
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, &UnsupportedError{Construct: "filter " + filter + " with a regular expression that RE2 does not have"}
	}
	return re, nil
}

func replace(in string, has bool, options []string) (string, bool, error) {
	if !has || len(options) == 0 || len(options) > 2 {
		return "", false, nil
	}
	re, err := compile("Replace", options[0])
	if err != nil {
		return "", false, err
	}
	with := ""
	if len(options) == 2 {
		with = expansion(options[1])
	}
	size := 0
	for _, m := range re.FindAllStringIndex(in, -1) {
		size += len(with) + m[1] - m[0]
		if size > MaxOutput {
			return "", false, &BudgetError{What: "output bytes", Limit: MaxOutput}
		}
	}
	return re.ReplaceAllString(in, with), true, nil
}

// expansion turns $1, ${name}, $& and $$ into Go's form, in which $1x would
// name a group 1x. Every other dollar stands for itself.
func expansion(with string) string {
	var b strings.Builder
	for i := 0; i < len(with); i++ {
		if with[i] != '$' {
			b.WriteByte(with[i])
			continue
		}
		rest := with[i+1:]
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		closing := strings.IndexByte(rest, '}')
		switch {
		case digits > 0:
			b.WriteString("${" + rest[:digits] + "}")
			i += digits
		case strings.HasPrefix(rest, "{") && closing > 1:
			b.WriteString("$" + rest[:closing+1])
			i += closing + 1
		case strings.HasPrefix(rest, "&"):
			b.WriteString("${0}")
			i++
		default:
			b.WriteString("$$")
			if strings.HasPrefix(rest, "$") {
				i++
			}
		}
	}
	return b.String()
}
