package documents

import (
	"cmp"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// sortedSet is a list without empty texts and repetitions (in any case), in
// folded order; never nil.
func sortedSet(in []string) []string {
	seen := map[string]bool{"": true}
	out := []string{}
	for _, text := range in {
		if key := resource.Fold(text); !seen[key] {
			seen[key] = true
			out = append(out, text)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(resource.Fold(a), resource.Fold(b)) })
	return out
}

// canonicalID is an id of a space or slug in the case that it is stored in.
func canonicalID(key string) string {
	lower := strings.ToLower(key)
	if number, ok := strings.CutPrefix(lower, "spaces-"); ok {
		return resource.SpaceKind.IDPrefix + "-" + number
	}
	return lower
}
