package packages

import (
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxNameBytes    = 1024
	maxSegmentBytes = 255
)

// cleanName turns an archive's name into a clean relative slash path, "." for
// the archive's root. reason says why it is refused (abuse 43, 46, 59).
// backslashes says that a name may be written wholly with '\', as older .NET
// tools do in zip files.
func cleanName(raw string, backslashes bool) (name, reason string) {
	name = raw
	switch {
	case name == "":
		return "", "has no name"
	case len(name) > maxNameBytes:
		return "", "has a name longer than 1024 bytes"
	case !utf8.ValidString(name):
		return "", "has a name that is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }):
		return "", "has control characters in its name"
	case strings.Contains(name, `\`) && (!backslashes || strings.Contains(name, "/")):
		return "", `has '\' in its name`
	}
	name = strings.ReplaceAll(name, `\`, "/")
	//guard:path-escapes abuse 43: a package names no file outside itself; less `reason != ""`, with `reason == name`; seen by ./internal/packages TestHostileEntries
	if reason := pathEscapes(name); reason != "" {
		return "", reason
	}
	if decoded := unescapePercent(name); decoded != name {
		if reason := pathEscapes(strings.ReplaceAll(decoded, `\`, "/")); reason != "" {
			return "", reason + " once percent-decoded"
		}
	}
	name = path.Clean(strings.TrimSuffix(name, "/"))
	for segment := range strings.SplitSeq(name, "/") {
		if len(segment) > maxSegmentBytes {
			return "", "has a name with a part longer than 255 bytes"
		}
	}
	return name, ""
}

func pathEscapes(name string) string {
	if strings.HasPrefix(name, "/") {
		return "has an absolute path"
	}
	if len(name) > 1 && name[1] == ':' && isLetter(name[0]) {
		return "has a path with a drive letter"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == ".." {
			return "has '..' in its path"
		}
	}
	return ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// windowsProblem says why Windows could not hold a file of this clean name,
// or would take it for another (abuse 46).
func windowsProblem(name string) string {
	for segment := range strings.SplitSeq(name, "/") {
		switch {
		case strings.ContainsAny(segment, `<>:"|?*`):
			return "has a character in its name that Windows does not allow"
		case strings.HasSuffix(segment, ".") || strings.HasSuffix(segment, " "):
			return "has a name that ends in a dot or a space, which Windows drops"
		case ReservedOnWindows(segment):
			return "has a name that Windows keeps for a device"
		}
	}
	return ""
}

// ReservedOnWindows says whether Windows takes one part of a path for a device,
// such as NUL or con.txt, wherever it stands (abuse 46).
func ReservedOnWindows(segment string) bool {
	base, _, _ := strings.Cut(segment, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	stem, isPort := strings.CutPrefix(base, "COM")
	if !isPort {
		stem, isPort = strings.CutPrefix(base, "LPT")
	}
	return isPort && strings.ContainsRune("123456789¹²³", firstRune(stem)) && utf8.RuneCountInString(stem) == 1
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// kind is what a name stands for in an archive.
type kind uint8

const (
	folder kind = iota + 1
	file
	link
)

// nameSet refuses archives in which two entries are one file, or a file is
// also a folder (abuse 44, 46, 48).
type nameSet struct {
	kinds  map[string]kind
	folded map[string]string // per case-insensitive, normalised name
}

func newNameSet() *nameSet {
	return &nameSet{kinds: map[string]kind{}, folded: map[string]string{}}
}

// add returns why the name may not be added, and why it could not on a file
// system that ignores case or normalises.
func (s *nameSet) add(name string, k kind) (reason, unportable string) {
	if old, ok := s.kinds[name]; ok && (old != folder || k != folder) {
		return "is there twice", ""
	}
	s.kinds[name] = k
	unportable = s.fold(name)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		switch s.kinds[dir] {
		case folder:
			return "", unportable
		case file, link:
			return "lies below an entry that is not a folder", ""
		}
		s.kinds[dir] = folder
		if twin := s.fold(dir); unportable == "" {
			unportable = twin
		}
	}
	return "", unportable
}

func (s *nameSet) fold(name string) string {
	key := norm.NFC.String(strings.ToLower(norm.NFC.String(name)))
	if twin, ok := s.folded[key]; ok && twin != name {
		return "differs from " + quoteShort(twin) + " only in case or in Unicode form"
	}
	s.folded[key] = name
	return ""
}
