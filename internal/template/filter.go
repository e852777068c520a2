package template

import (
	"errors"
	"strings"
	"time"
)

// filter computes a filter's result (configuration.md 1.11). in is the input
// and has whether there is one; ok false echoes the token.
type filter func(in string, has bool, options []string) (out string, ok bool, err error)

// apply runs a filter by name, in any case. An unknown one has no result; one
// that the language has and this version has not is an UnsupportedError.
func (e *evaluator) apply(name, in string, has bool, options []string) (string, bool, error) {
	f, ok := e.builtin(strings.ToLower(name))
	if !ok {
		return "", false, nil
	}
	if f == nil {
		return "", false, &UnsupportedError{Construct: "filter " + name}
	}
	out, ok, err := f(in, has, options)
	if err == nil {
		return out, ok, nil
	}
	if _, plain := errors.AsType[*UnsupportedError](err); plain {
		return "", false, err
	}
	if _, plain := errors.AsType[*BudgetError](err); plain {
		return "", false, err
	}
	return "", false, &FilterError{Filter: name, Err: err}
}

// builtin finds a filter; nil for one that is known but not supported.
func (e *evaluator) builtin(name string) (filter, bool) {
	for _, group := range []func(string) filter{textFilter, escapeFilter, hashFilter, regexFilter, versionFilter} {
		if f := group(name); f != nil {
			return f, true
		}
	}
	switch name {
	case "uripart":
		return uriPart, true
	case "format":
		return format, true
	case "addhours":
		return shift(time.Hour), true
	case "adddays":
		return shift(24 * time.Hour), true
	case "nowdate", "nowdateutc":
		return e.now(name == "nowdateutc"), true
	case "markdown", "markdowntohtml":
		return nil, true
	}
	return nil, false
}

// now is NowDate or NowDateUtc; nil when the set was given no time.
func (e *evaluator) now(utc bool) filter {
	if e.clock.IsZero() {
		return nil
	}
	at := instant{Time: e.clock}
	if utc {
		at = instant{Time: e.clock.UTC(), zoned: true}
	}
	return func(_ string, has bool, options []string) (string, bool, error) {
		if has || len(options) > 1 {
			return "", false, nil
		}
		if len(options) == 0 {
			return at.roundTrip(), true, nil
		}
		text, err := formatDate(at, options[0])
		return text, err == nil, err
	}
}

// mapping is a filter without options that needs an input.
func mapping(f func(string) string) filter {
	return func(in string, has bool, options []string) (string, bool, error) {
		if !has || len(options) > 0 {
			return "", false, nil
		}
		return f(in), true, nil
	}
}

// asking is a filter with one option that answers true or false.
func asking(f func(in, option string) bool) filter {
	return func(in string, has bool, options []string) (string, bool, error) {
		if !has || len(options) != 1 {
			return "", false, nil
		}
		if f(in, options[0]) {
			return "true", true, nil
		}
		return "false", true, nil
	}
}
