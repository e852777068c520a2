package deploy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/packages"
)

// NextVersion fills a versioning template (octopus-api.md 1.9). last is the
// project's highest version so far, "" when there is none: the first release
// of the default template is 0.0.1.
func NextVersion(template, last string) (string, error) {
	v, err := packages.ParseOctopus(last)
	if last == "" || err != nil {
		v = packages.Version{}
	}
	parts := map[string]int32{"major": v.Numbers[0], "minor": v.Numbers[1], "patch": v.Numbers[2], "build": v.Numbers[2], "revision": v.Numbers[3]}
	text := template
	for {
		start := strings.Index(text, "#{")
		if start < 0 {
			return text, nil
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return "", fmt.Errorf("version template %q: '#{' without '}'", template)
		}
		name := strings.TrimSpace(text[start+2 : start+end])
		value, err := versionPart(name, parts)
		if err != nil {
			return "", fmt.Errorf("version template %q: %w", template, err)
		}
		text = text[:start] + value + text[start+end+1:]
	}
}

func versionPart(name string, parts map[string]int32) (string, error) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "octopus.version.")
	if part, last := strings.CutPrefix(rest, "last"); ok && last {
		if n, known := parts[part]; known {
			return strconv.Itoa(int(n)), nil
		}
	}
	if part, next := strings.CutPrefix(rest, "next"); ok && next {
		if n, known := parts[part]; known {
			return strconv.Itoa(int(n) + 1), nil
		}
	}
	return "", fmt.Errorf("#{%s} is not known; use Octopus.Version.Last… or Next… with Major, Minor, Patch or Revision", name)
}
