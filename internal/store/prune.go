package store

import (
	"encoding/json"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// dropValue removes a text from the lists at a path, and empties a field that
// is the text itself.
func dropValue(tree map[string]any, path, text string) ([]byte, error) {
	drop(tree, strings.Split(path, "."), text)
	return json.Marshal(tree)
}

func drop(node any, path []string, text string) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			drop(item, path, text)
		}
	case map[string]any:
		if len(path) > 1 {
			drop(n[path[0]], path[1:], text)
			return
		}
		switch leaf := n[path[0]].(type) {
		case string:
			if leaf == text {
				n[path[0]] = ""
			}
		case []any:
			kept := []any{}
			for _, item := range leaf {
				if item != text {
					kept = append(kept, item)
				}
			}
			n[path[0]] = kept
		}
	}
}

// restoreSecrets puts stored boxes into a document; a secret without one is
// empty, whatever its JSON says.
func restoreSecrets(doc resource.Doc, boxes map[string][]byte) {
	if secretive, ok := doc.(resource.Secretive); ok {
		secretive.EachSecret(func(field string, s *resource.Sensitive) {
			*s = resource.Sensitive{}
			if box, ok := boxes[field]; ok {
				*s = resource.Sealed(box)
			}
		})
	}
}
