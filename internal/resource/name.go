package resource

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxName is the longest name of a document, in characters (abuse 59).
const MaxName = 200

// Fold is the one canonical form in which names are compared: Unicode NFKC,
// case folded, without space around it (abuse 17). "É" and "é", and the two
// ways to write either, are one name.
func Fold(name string) string {
	folded := cases.Fold().String(norm.NFKC.String(strings.TrimSpace(name)))
	return norm.NFKC.String(folded)
}

// Slugify makes the part of an address that stands for a name: lower case,
// every run of other characters than letters and digits one hyphen
// (octopus-api.md 1.5). "" when nothing is left.
func Slugify(name string) string {
	var b strings.Builder
	hyphen := false
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if hyphen && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			hyphen = false
		} else if r < 0x300 || r > 0x36f { // not an accent split off by NFKD
			hyphen = true
		}
	}
	return b.String()
}

// CheckName refuses what no name may be: empty, longer than limit characters,
// bad UTF-8, or with control and invisible characters that make a name read as
// another (abuse 59). what is the noun of the message: "project".
func CheckName(what, name string, limit int) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("Name", "Please provide a name for this %s.", what)
	case utf8.RuneCountInString(name) > limit:
		return invalid("Name", "The name of this %s is longer than %d characters. Please shorten it.", what, limit)
	case !printable(name):
		return invalid("Name", "The name of this %s has characters that cannot be shown. Please remove them.", what)
	}
	return nil
}

// MaxText is the longest free text of a document (descriptions, notes,
// scripts), in bytes.
const MaxText = 1 << 20

// CheckText refuses free text that is not UTF-8, holds a NUL, or is longer than
// MaxText.
func CheckText(field, text string) error {
	switch {
	case len(text) > MaxText:
		return &Error{Code: TooLarge, Field: field, Message: field + " is larger than 1 MiB. Please shorten it."}
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return invalid(field, "%s holds bytes that are not text. Please remove them.", field)
	}
	return nil
}

func invalid(field, format string, args ...any) *Error {
	e := Errorf(Invalid, format, args...)
	e.Field = field
	return e
}

// first is the first error that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// oneOf refuses a value outside the list; "" is refused too unless listed.
func oneOf(field, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return invalid(field, "%s is '%.60s'. It has to be one of: %s.", field, value, strings.Join(allowed, ", "))
}

// FreeSlug is base, or base with the first of -2, -3 … that is not taken.
func FreeSlug(base string, taken func(slug string) bool) string {
	slug := base
	for n := 2; taken(slug); n++ {
		slug = base + "-" + strconv.Itoa(n)
	}
	return slug
}
