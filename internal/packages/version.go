package packages

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Format says by which rules a version is read and compared
// (configuration.md 5.8).
type Format uint8

// The formats. Docker tags are read as Octopus.
const (
	Semver        Format = iota + 1 // one to four numbers, labels, metadata
	Maven                           // named in cached file names only
	Octopus                         // almost anything, numbers first
	Lexicographic                   // labels only
)

// Version is a parsed version. The zero value is 0.0.0.0 without labels.
type Version struct {
	Numbers  [4]int32
	Labels   []string // of the pre-release, empty for a release
	Metadata string   // after '+'
	Format   Format
	text     string
}

// String is the text that was parsed, trimmed.
func (v Version) String() string { return v.text }

// Prerelease says whether the version has pre-release labels.
func (v Version) Prerelease() bool { return len(v.Labels) > 0 }

const versionLimit = 256

var semverForm = regexp.MustCompile(`^v?(\d+(?:\.\d+){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$`)

// ParseVersion reads text by the rules of format. Maven versions are not
// read.
func ParseVersion(format Format, text string) (Version, error) {
	switch format {
	case Semver:
		return ParseSemver(text)
	case Octopus:
		return ParseOctopus(text)
	case Lexicographic:
		return ParseLexicographic(text)
	case Maven:
	}
	return Version{}, badVersion(text)
}

// ParseSemver reads a loose semantic version: an optional leading 'v', one to
// four 32-bit numbers with or without leading zeros, '-' labels, '+' metadata.
func ParseSemver(text string) (Version, error) {
	text = strings.TrimSpace(text)
	if len(text) > versionLimit {
		return Version{}, badVersion(text[:64] + "…")
	}
	m := semverForm.FindStringSubmatch(text)
	if m == nil {
		return Version{}, badVersion(text)
	}
	v := Version{Format: Semver, Metadata: m[3], text: text}
	if m[2] != "" {
		v.Labels = strings.Split(m[2], ".")
	}
	for i, part := range strings.Split(m[1], ".") {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil {
			return Version{}, badVersion(text)
		}
		v.Numbers[i] = int32(n)
	}
	return v, nil
}

var octopusForm = regexp.MustCompile(`^\s*(?:[vV]?\s*(\d+\b)\s*(?:\.\s*(\d+\b)\s*)?(?:\.\s*(\d+\b)\s*)?(?:\.\s*(\d+\b)\s*)?)?` +
	`(?:[.\-_\\])?((?:[A-Za-z0-9]*?)(?:[.\-_\\](?:[A-Za-z0-9.\-_\\]*?)?)?)?(?:\+([A-Za-z0-9_\-.\\+]*?))?\s*$`)

// ParseOctopus reads a version as Octopus release numbers and Docker tags are:
// numbers are optional, '.', '-', '_' and '\' all separate the labels, and
// white space around the numbers is accepted. "latest" is 0.0.0 with the
// label "latest".
func ParseOctopus(text string) (Version, error) {
	if len(text) > versionLimit {
		return Version{}, badVersion(text[:64] + "…")
	}
	m := octopusForm.FindStringSubmatch(text)
	if m == nil || strings.TrimSpace(text) == "" {
		return Version{}, badVersion(text)
	}
	v := Version{Format: Octopus, Metadata: m[6], Labels: splitLabels(m[5]), text: strings.TrimSpace(text)}
	for i, part := range m[1:5] {
		if part == "" {
			continue
		}
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil {
			return Version{}, badVersion(text)
		}
		v.Numbers[i] = int32(n)
	}
	return v, nil
}

// ParseLexicographic reads a version without numbers: labels and metadata.
func ParseLexicographic(text string) (Version, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > versionLimit {
		return Version{}, badVersion(fmt.Sprintf("%.64s", text))
	}
	labels, metadata, _ := strings.Cut(text, "+")
	return Version{Format: Lexicographic, Labels: splitLabels(labels), Metadata: metadata, text: text}, nil
}

func splitLabels(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(`.-_\`, r) })
}

// Precedence compares numbers and labels and ignores the metadata: two
// versions of equal precedence cannot be told apart by age (abuse 50).
func (v Version) Precedence(w Version) int {
	for i := range v.Numbers {
		if c := cmp.Compare(v.Numbers[i], w.Numbers[i]); c != 0 {
			return c
		}
	}
	if v.Prerelease() != w.Prerelease() {
		if v.Prerelease() {
			return -1
		}
		return 1
	}
	for i := range min(len(v.Labels), len(w.Labels)) {
		if c := compareLabels(v.Labels[i], w.Labels[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.Labels), len(w.Labels))
}

// Compare orders versions of one format: by precedence, then semantic ones by
// metadata, case-insensitively. It is a total preorder: versions that differ
// only in case, leading zeros or omitted numbers are equal.
func (v Version) Compare(w Version) int {
	if c := v.Precedence(w); c != 0 || v.Format != Semver || w.Format != Semver {
		return c
	}
	return strings.Compare(foldASCII(v.Metadata), foldASCII(w.Metadata))
}

func compareLabels(a, b string) int {
	an, aIsNumber := labelNumber(a)
	bn, bIsNumber := labelNumber(b)
	switch {
	case aIsNumber && bIsNumber:
		return cmp.Compare(an, bn)
	case aIsNumber:
		return -1
	case bIsNumber:
		return 1
	default:
		return strings.Compare(foldASCII(a), foldASCII(b))
	}
}

func labelNumber(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int64(n), err == nil
}

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

func badVersion(text string) error {
	return &resource.Error{
		Code: resource.Invalid, Field: "Version",
		Message: fmt.Sprintf("%q is not a version; use one to four numbers and optional labels, like 1.2.3-beta.1.", text),
	}
}
