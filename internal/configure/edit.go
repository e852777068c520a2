package configure

import (
	"cmp"
	"slices"
	"strings"
)

// edit replaces a span of the text.
type edit struct {
	span
	with string
}

// apply makes all edits; they must not overlap.
func apply(text string, edits []edit) string {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.start])
		b.WriteString(e.with)
		at = e.end
	}
	b.WriteString(text[at:])
	return b.String()
}
