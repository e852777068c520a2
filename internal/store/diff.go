package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// maxDifferences bounds one audit record.
const maxDifferences = 500

// Diff says what changed between two versions of a document. Secrets marshal
// as whether there is one, and hidden fields are left out, so nothing secret
// can get in (abuse 73).
func Diff(before, after resource.Doc) ([]resource.Difference, error) {
	from, err := visible(before)
	if err != nil {
		return nil, err
	}
	to, err := visible(after)
	if err != nil {
		return nil, err
	}
	var out []resource.Difference
	compare("", from, to, &out)
	if len(out) > maxDifferences {
		out = out[:maxDifferences]
	}
	return out, nil
}

func visible(doc resource.Doc) (map[string]any, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("compare %s %s: %w", doc.Kind().Name, *doc.Head().ID, err)
	}
	tree, err := parseTree(text)
	if err != nil {
		return nil, fmt.Errorf("compare %s %s: %w", doc.Kind().Name, *doc.Head().ID, err)
	}
	for _, name := range append(slices.Clone(doc.Kind().Hidden), "LastModifiedOn", "LastModifiedBy") {
		delete(tree, name)
	}
	return tree, nil
}

func compare(path string, from, to any, out *[]resource.Difference) {
	if reflect.DeepEqual(from, to) {
		return
	}
	switch was := from.(type) {
	case map[string]any:
		if is, ok := to.(map[string]any); ok {
			compareObjects(path, was, is, out)
			return
		}
	case []any:
		if is, ok := to.([]any); ok && len(was) == len(is) {
			for i := range was {
				compare(path+"/"+strconv.Itoa(i), was[i], is[i], out)
			}
			return
		}
	}
	*out = append(*out, resource.Difference{Op: "replace", Path: path, From: from, Value: to})
}

func compareObjects(path string, from, to map[string]any, out *[]resource.Difference) {
	names := slices.Sorted(maps.Keys(from))
	for name := range to {
		if _, ok := from[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, name := range names {
		at := path + "/" + escape.Replace(name)
		was, had := from[name]
		is, has := to[name]
		switch {
		case had && has:
			compare(at, was, is, out)
		case had:
			*out = append(*out, resource.Difference{Op: "remove", Path: at, From: was})
		default:
			*out = append(*out, resource.Difference{Op: "add", Path: at, Value: is})
		}
	}
}
