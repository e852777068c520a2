package documents

import (
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
)

// VersionRange is a set of versions in NuGet's or Maven's notation: "1.0" and
// above, "[1.0,2.0)", "(,1.0]", "[1.0]", and unions "[1.0,2.0),[3.0,)".
// The zero VersionRange holds every version.
type VersionRange struct{ spans []span }

type span struct {
	low, high         *packages.Version // nil: open
	withLow, withHigh bool
}

// maxRange bounds the text of a range, in bytes.
const maxRange = 1000

// ParseVersionRange reads a range; "" holds every version.
func ParseVersionRange(text string) (VersionRange, error) {
	var r VersionRange
	rest := strings.TrimSpace(text)
	if len(rest) > maxRange {
		return r, rangeError(text)
	}
	for rest != "" {
		if !strings.ContainsRune("[(", rune(rest[0])) {
			low, err := packages.ParseOctopus(rest)
			if err != nil || len(r.spans) > 0 {
				return VersionRange{}, rangeError(text)
			}
			return VersionRange{spans: []span{{low: &low, withLow: true}}}, nil
		}
		end := strings.IndexAny(rest, "])")
		if end < 0 {
			return VersionRange{}, rangeError(text)
		}
		one, ok := parseSpan(rest[:end+1])
		if !ok {
			return VersionRange{}, rangeError(text)
		}
		r.spans = append(r.spans, one)
		rest = strings.TrimSpace(rest[end+1:])
		next, more := strings.CutPrefix(rest, ",")
		if rest != "" && (!more || strings.TrimSpace(next) == "") {
			return VersionRange{}, rangeError(text)
		}
		rest = strings.TrimSpace(next)
	}
	return r, nil
}

func rangeError(text string) error {
	return resource.Errorf(resource.Invalid, "'%.60s' is not a version range. Write it like 1.0, [1.0,2.0) or (,3.0].", text)
}

func parseSpan(text string) (span, bool) {
	s := span{withLow: text[0] == '[', withHigh: text[len(text)-1] == ']'}
	low, high, two := strings.Cut(text[1:len(text)-1], ",")
	if !two {
		high = low
	}
	for _, end := range []struct {
		text string
		to   **packages.Version
	}{{low, &s.low}, {high, &s.high}} {
		if end.text = strings.TrimSpace(end.text); end.text == "" {
			continue
		}
		v, err := packages.ParseOctopus(end.text)
		if err != nil {
			return s, false
		}
		*end.to = &v
	}
	if !two {
		return s, s.low != nil && s.withLow && s.withHigh
	}
	return s, s.low == nil || s.high == nil || s.low.Compare(*s.high) <= 0
}

// Holds says whether a version is in the range.
func (r VersionRange) Holds(v packages.Version) bool {
	if len(r.spans) == 0 {
		return true
	}
	for _, s := range r.spans {
		if s.holds(v) {
			return true
		}
	}
	return false
}

func (s span) holds(v packages.Version) bool {
	if s.low != nil {
		if c := v.Compare(*s.low); c < 0 || c == 0 && !s.withLow {
			return false
		}
	}
	if s.high != nil {
		if c := v.Compare(*s.high); c > 0 || c == 0 && !s.withHigh {
			return false
		}
	}
	return true
}

// RuleTest is the answer to whether a version would pass a channel's rule
// (octopus-api.md 2.9).
type RuleTest struct {
	SatisfiesVersionRange  bool
	SatisfiesPreReleaseTag bool
	IsValid                bool
	Errors                 []string
}

// CheckRule says whether a version is in a range and its pre-release part
// matches a pattern.
func CheckRule(version, versionRange, tag string) RuleTest {
	out := RuleTest{Errors: []string{}}
	fail := func(err error) {
		if err != nil {
			out.Errors = append(out.Errors, err.Error())
		}
	}
	v, err := packages.ParseOctopus(version)
	if err != nil {
		fail(resource.Errorf(resource.Invalid, "'%.60s' is not a version. Write it like 1.2.3.", version))
	}
	r, err := ParseVersionRange(versionRange)
	fail(err)
	pattern, err := tagPattern(tag)
	fail(err)
	if len(out.Errors) > 0 {
		return out
	}
	out.SatisfiesVersionRange = r.Holds(v)
	out.SatisfiesPreReleaseTag = pattern == nil || pattern.MatchString(preRelease(version))
	out.IsValid = true
	return out
}

// maxTag bounds the pattern of a pre-release tag, in bytes (abuse 64).
const maxTag = 500

// tagPattern compiles the pattern of a pre-release tag; nil for none.
func tagPattern(tag string) (*regexp.Regexp, error) {
	if tag == "" {
		return nil, nil
	}
	if len(tag) > maxTag {
		return nil, resource.Errorf(resource.Invalid, "The pre-release pattern is longer than %d bytes. Please shorten it.", maxTag)
	}
	pattern, err := regexp.Compile(tag)
	if err != nil {
		return nil, resource.Errorf(resource.Invalid, "'%.60s' is not a regular expression Slipway knows (RE2). Please correct it.", tag)
	}
	return pattern, nil
}

// preRelease is the part of a version behind its first hyphen, without
// metadata.
func preRelease(version string) string {
	text, _, _ := strings.Cut(version, "+")
	_, tag, _ := strings.Cut(text, "-")
	return tag
}
