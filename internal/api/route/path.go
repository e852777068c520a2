package route

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of one path. No route has more than ten segments.
const (
	MaxPath     = 8 << 10 // bytes, escaped
	MaxSegments = 24
)

// ErrPath means that a path cannot name anything: dot segments, bad escapes,
// bytes that are no text, or more than the limits. It is answered like any
// unknown path (abuse 89).
var ErrPath = errors.New("path cannot name a resource")

// Split is the one canonicalisation of a path. It takes the escaped form, so
// that %2F stays inside its segment, drops empty segments (doubled and
// trailing slashes) and unescapes the rest. Case is kept: Find folds it for
// literals only.
func Split(escaped string) ([]string, error) {
	if len(escaped) > MaxPath {
		return nil, ErrPath
	}
	var segments []string
	for raw := range strings.SplitSeq(escaped, "/") {
		if raw == "" {
			continue
		}
		segment, err := url.PathUnescape(raw)
		if err != nil || !plain(segment) || len(segments) == MaxSegments {
			return nil, ErrPath
		}
		segments = append(segments, segment)
	}
	return segments, nil
}

func plain(segment string) bool {
	if segment == "." || segment == ".." || !utf8.ValidString(segment) {
		return false
	}
	return !strings.ContainsFunc(segment, unicode.IsControl)
}

// Reading is one way to understand the segments behind /api.
type Reading struct {
	Space    string // id, slug or name as sent; "" when the path names none
	Segments []string
}

// Readings are the ways to understand segments, the most literal first:
// unscoped, /api/spaces/{space}/x, and /api/{space}/x. A path that the first
// one knows (/api/spaces/all, /api/spaces/Spaces-1) is never read as a space
// (octopus-api.md 1.4).
func Readings(segments []string) []Reading {
	readings := []Reading{{Segments: segments}}
	switch {
	case len(segments) == 0:
	case !strings.EqualFold(segments[0], "spaces"):
		readings = append(readings, Reading{Space: segments[0], Segments: segments[1:]})
	case len(segments) > 2:
		readings = append(readings, Reading{Space: segments[1], Segments: segments[2:]})
	}
	return readings
}
