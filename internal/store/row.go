package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

// documentFormat is the version of the JSON that this build writes. A higher
// one in a row was written by a newer build and is refused.
const documentFormat = 1

// maxDocument is the largest document, in bytes of JSON (abuse 58).
const maxDocument = 16 << 20

// row is a document as its table holds it.
type row struct {
	id, space     string
	ord           int64
	name, nameKey string
	slug          string
	json          []byte
	boxes         map[string][]byte // sealed secrets by field
	columns       []any             // of the kind's declared columns, in order
	values        []value           // of its lists and references
}

// value is a row of document_value: something that documents are found by.
type value struct{ field, value string }

const baseColumns = `id, ord, space_id, name, name_key, slug, version, format, json, secrets`

func table(k *resource.Kind) string { return dialect.Quote(k.Table) }

func declared(k *resource.Kind) []resource.Field {
	return slices.DeleteFunc(slices.Clone(k.Fields), func(f resource.Field) bool { return f.Column == "" })
}

// encode makes the row of a document. stored is the JSON that was there
// before, nil for a new one: fields that this build does not know survive.
func encode(doc resource.Doc, stored []byte) (*row, error) {
	k, head := doc.Kind(), doc.Head()
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", k.Name, *head.ID, err)
	}
	if len(text) > maxDocument {
		return nil, resource.Errorf(resource.TooLarge, "This %s is larger than 16 MiB. Please move large texts into packages.", k.Noun)
	}
	tree, err := parseTree(text)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", k.Name, *head.ID, err)
	}
	r := &row{id: *head.ID, ord: resource.Ordinal(*head.ID), space: *head.SpaceID, json: text}
	if stored != nil {
		if r.json, err = keepUnknown(k, tree, stored); err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", k.Name, *head.ID, err)
		}
	}
	r.setNames(doc, tree)
	if err := r.setFields(k, tree); err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", k.Name, *head.ID, err)
	}
	return r, nil
}

func (r *row) setNames(doc resource.Doc, tree map[string]any) {
	k := doc.Kind()
	if k.NameField != "" {
		if texts := walk(tree, k.NameField); len(texts) == 1 {
			r.name = texts[0]
			r.nameKey = resource.Fold(r.name)
		}
	}
	if keyed, ok := doc.(resource.Keyed); ok {
		r.nameKey = keyed.UniqueKey()
	}
	if slugged, ok := doc.(resource.Slugged); ok && k.Slug {
		r.slug = *slugged.SlugField()
	}
}

func (r *row) setFields(k *resource.Kind, tree map[string]any) error {
	for _, f := range k.Fields {
		texts := walk(tree, f.Path)
		if f.Column != "" {
			text := ""
			if len(texts) > 0 {
				text = texts[0]
			}
			c, err := column(f, text)
			if err != nil {
				return err
			}
			r.columns = append(r.columns, c)
		}
		if !f.List && f.Ref == "" {
			continue
		}
		for _, text := range texts {
			if f.Type == resource.FoldColumn {
				text = resource.Fold(text)
			}
			v := value{field: f.Path, value: text}
			if text != "" && !slices.Contains(r.values, v) {
				r.values = append(r.values, v)
			}
		}
	}
	return nil
}

// column is a text as the declared type stores it.
func column(f resource.Field, text string) (any, error) {
	switch f.Type {
	case resource.FoldColumn:
		return resource.Fold(text), nil
	case resource.BoolColumn:
		if strings.EqualFold(text, "true") {
			return int64(1), nil
		}
		return int64(0), nil
	case resource.IntColumn:
		if text == "" {
			return int64(0), nil
		}
		return strconv.ParseInt(text, 10, 64)
	case resource.TimeColumn:
		if text == "" {
			return int64(0), nil
		}
		t, err := resource.ParseTime(text)
		return int64(t), err
	case resource.TextColumn:
	}
	return text, nil
}

func parseTree(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return tree, nil
}

// walk collects the scalars at a path, through arrays, as texts.
func walk(node any, path string) []string {
	switch n := node.(type) {
	case []any:
		var out []string
		for _, item := range n {
			out = append(out, walk(item, path)...)
		}
		return out
	case map[string]any:
		if path == "" {
			return nil
		}
		head, rest, _ := strings.Cut(path, ".")
		return walk(n[head], rest)
	case string:
		return []string{n}
	case json.Number:
		return []string{n.String()}
	case bool:
		return []string{fmt.Sprint(n)}
	}
	return nil
}

// keepUnknown adds to tree what is stored but no field of this build: the
// members that decoding and encoding the stored text loses.
func keepUnknown(k *resource.Kind, tree map[string]any, stored []byte) ([]byte, error) {
	old, err := parseTree(stored)
	if err != nil {
		return nil, err
	}
	doc := k.New()
	if err := json.Unmarshal(stored, doc); err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	known, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	graft(tree, old, known)
	return json.Marshal(tree)
}

// graft puts into tree each member of old that known lacks. Items of lists are
// the same when their Ids are; an item that is gone takes its members along.
func graft(tree, old, known map[string]any) {
	for name, was := range old {
		knew, ok := known[name]
		if !ok {
			if _, taken := tree[name]; !taken {
				tree[name] = was
			}
			continue
		}
		switch was := was.(type) {
		case map[string]any:
			t, tok := tree[name].(map[string]any)
			k, kok := knew.(map[string]any)
			if tok && kok {
				graft(t, was, k)
			}
		case []any:
			graftItems(tree[name], was, knew)
		}
	}
}

func graftItems(tree any, old []any, known any) {
	oldByID, knownByID := byID(old), byID(known)
	for id, item := range byID(tree) {
		if oldByID[id] != nil && knownByID[id] != nil {
			graft(item, oldByID[id], knownByID[id])
		}
	}
}

func byID(list any) map[string]map[string]any {
	items, ok := list.([]any)
	if !ok {
		return nil
	}
	out := map[string]map[string]any{}
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			if id, ok := object["Id"].(string); ok {
				out[id] = object
			}
		}
	}
	return out
}

// decode makes the document of a row: secrets in place, sealed.
func decode(k *resource.Kind, id string, format int64, text []byte, secrets string) (resource.Doc, map[string][]byte, error) {
	if format > documentFormat {
		return nil, nil, resource.Errorf(resource.PreconditionFailed, "%s %s was written by a newer version of Slipway. Start that version.", k.Name, id)
	}
	doc := k.New()
	if err := json.Unmarshal(text, doc); err != nil {
		return nil, nil, fmt.Errorf("decode %s %s: %w", k.Name, id, err)
	}
	boxes := map[string][]byte{}
	if secrets != "" {
		if err := json.Unmarshal([]byte(secrets), &boxes); err != nil {
			return nil, nil, fmt.Errorf("decode secrets of %s %s: %w", k.Name, id, err)
		}
	}
	restoreSecrets(doc, boxes)
	return doc, boxes, nil
}

func encodeBoxes(boxes map[string][]byte) (string, error) {
	if len(boxes) == 0 {
		return "", nil
	}
	text, err := json.Marshal(maps.Clone(boxes))
	if err != nil {
		return "", errors.Join(errors.New("encode secrets"), err)
	}
	return string(text), nil
}
