package template

import (
	"errors"
	"strings"
)

// versionFilter holds the parts of a version (configuration.md 5.8). Options
// are ignored.
func versionFilter(name string) filter {
	switch name {
	case "versionmajor":
		return versionPart(func(v *version) string { return v.numbers[0] })
	case "versionminor":
		return versionPart(func(v *version) string { return v.numbers[1] })
	case "versionpatch":
		return versionPart(func(v *version) string { return v.numbers[2] })
	case "versionrevision":
		return versionPart(func(v *version) string { return v.numbers[3] })
	case "versionprerelease":
		return versionPart(func(v *version) string { return v.pre })
	case "versionprereleaseprefix":
		return versionPart(func(v *version) string { return v.prefix })
	case "versionprereleasecounter":
		return versionPart(func(v *version) string { return v.counter })
	case "versionmetadata":
		return versionPart(func(v *version) string { return v.metadata })
	}
	return nil
}

func versionPart(part func(*version) string) filter {
	return func(in string, has bool, _ []string) (string, bool, error) {
		if !has {
			return "", false, nil
		}
		v, err := parseVersion(in)
		if err != nil {
			return "", false, err
		}
		return part(v), true, nil
	}
}

type version struct {
	numbers                        [4]string
	pre, prefix, counter, metadata string
}

const versionSeparators = `.-_\`

// parseVersion reads an optional v, up to four numbers, a pre-release of a
// prefix, a separator and a counter, and metadata after a plus. Almost anything
// is a version; white space is not in one.
func parseVersion(text string) (*version, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		return nil, errors.New("the value is not a version")
	}
	v := &version{numbers: [4]string{"0", "0", "0", "0"}}
	text, v.metadata, _ = strings.Cut(text, "+")
	rest := text
	if len(rest) > 1 && (rest[0] == 'v' || rest[0] == 'V') && isDigit(rest[1]) {
		rest = rest[1:]
	}
	for i := range v.numbers {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 {
			break
		}
		number := strings.TrimLeft(rest[:digits], "0")
		if number == "" {
			number = "0"
		}
		v.numbers[i], rest = number, rest[digits:]
		if i == 3 || len(rest) < 2 || rest[0] != '.' || !isDigit(rest[1]) {
			break
		}
		rest = rest[1:]
	}
	if rest != "" && rest != text && strings.IndexByte(versionSeparators, rest[0]) >= 0 {
		rest = rest[1:]
	}
	v.pre, v.prefix = rest, rest
	if i := strings.IndexAny(rest, versionSeparators); i >= 0 {
		v.prefix, v.counter = rest[:i], rest[i+1:]
	}
	return v, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
