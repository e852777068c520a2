package template

import "strings"

// filter computes a filter's result (configuration.md 1.11). in is the input
// and has whether there is one; ok false echoes the token.
type filter func(in string, has bool, options []string) (out string, ok bool, err error)

// apply runs a filter by name, in any case. An unknown one has no result; one
// that the language has and this version has not is an UnsupportedError.
func apply(name, in string, has bool, options []string) (string, bool, error) {
	f, ok := builtin(strings.ToLower(name))
	if !ok {
		return "", false, nil
	}
	if f == nil {
		return "", false, &UnsupportedError{Construct: "filter " + name}
	}
	out, ok, err := f(in, has, options)
	if err != nil {
		return "", false, &FilterError{Filter: name, Err: err}
	}
	return out, ok, nil
}

// builtin finds a filter; nil for one that is known but not supported yet.
func builtin(name string) (filter, bool) {
	for _, group := range []func(string) filter{textFilter, escapeFilter, hashFilter} {
		if f := group(name); f != nil {
			return f, true
		}
	}
	return nil, unsupported(name)
}

// unsupported names the filters of the language that are still to come.
func unsupported(name string) bool {
	switch name {
	case "format", "nowdate", "nowdateutc", "adddays", "addhours",
		"markdown", "markdowntohtml", "match", "replace", "uripart",
		"versionmajor", "versionminor", "versionpatch", "versionrevision",
		"versionprerelease", "versionprereleaseprefix", "versionprereleasecounter", "versionmetadata":
		return true
	}
	return false
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
