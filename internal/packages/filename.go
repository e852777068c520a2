package packages

import (
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// FileName is what a package's file name says about it.
type FileName struct {
	ID        string
	Version   string
	Format    Format
	Extension string // with its leading dot, ".tar.gz" in full
}

var (
	tarSuffix = regexp.MustCompile(`(?i)(\.tar(?:\.[A-Za-z0-9]+)?)$`)
	lastDot   = regexp.MustCompile(`(\.[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*)$`)
	idVersion = regexp.MustCompile(`^(\w+(?:[_.-]\w+)*?)\.` +
		`(\d+(?:\.\d+){0,3}(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)$`)
)

var formatLetters = map[byte]Format{'S': Semver, 'M': Maven, 'O': Octopus, 'L': Lexicographic}

// ParseFileName reads id, version and extension from the base name of a
// package file, in the cached form "id@Sversion@hash.ext" or the plain form
// "id.version.ext" (configuration.md 5.3). It does not validate the id.
func ParseFileName(name string) (FileName, error) {
	if len(name) > 512 {
		return FileName{}, badFileName(name[:64] + "…")
	}
	if strings.Contains(name, "@") {
		return parseCachedName(name)
	}
	stem, ext := cutExtension(name)
	if ext == "" {
		return FileName{}, badFileName(name)
	}
	m := idVersion.FindStringSubmatch(stem)
	if m == nil {
		return FileName{}, badFileName(name)
	}
	return FileName{ID: m[1], Version: m[2], Format: Semver, Extension: ext}, nil
}

func parseCachedName(name string) (FileName, error) {
	parts := strings.Split(name, "@")
	if len(parts) != 3 || parts[0] == "" || len(parts[1]) < 2 {
		return FileName{}, badFileName(name)
	}
	format, ok := formatLetters[parts[1][0]]
	dot := strings.IndexByte(parts[2], '.')
	if !ok || dot < 1 || dot == len(parts[2])-1 {
		return FileName{}, badFileName(name)
	}
	return FileName{
		ID:      unescapePercent(parts[0]),
		Version: unescapePercent(parts[1][1:]),
		Format:  format, Extension: parts[2][dot:],
	}, nil
}

func cutExtension(name string) (stem, ext string) {
	for _, form := range []*regexp.Regexp{tarSuffix, lastDot} {
		if m := form.FindString(name); m != "" {
			return name[:len(name)-len(m)], m
		}
	}
	return name, ""
}

func badFileName(name string) error {
	return &resource.Error{
		Code: resource.Invalid, Field: "file",
		Message: "The file name '" + name + "' does not say package id and version; name it like MyApp.1.2.3.zip.",
	}
}

// escaped lists the characters that a package's file and folder names carry
// percent-encoded (configuration.md 5.3).
const escaped = `%<>:"/\|?@`

// EscapeName percent-encodes the characters of an id or version that no file
// name may hold; control characters are dropped.
func EscapeName(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < ' ' || r == 0x7f:
		case r < 0x80 && strings.ContainsRune(escaped, r):
			b.Write([]byte{'%', hex[r>>4], hex[r&15]})
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unescapePercent decodes %XX and leaves anything else as it is.
func unescapePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
