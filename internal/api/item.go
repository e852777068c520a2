package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Item is a document as the wire has it: without its hidden fields, with its
// links, and with what only the wire shows.
type Item struct {
	Doc   resource.Doc
	Links Links
	Extra []Member // after the document's own members
}

// Member is one more member of an Item.
type Member struct {
	Name  string
	Value any
}

// ItemOf is a document with its own links.
func ItemOf(d resource.Doc, extra ...Member) Item {
	return Item{Doc: d, Links: LinksOf(d), Extra: extra}
}

// ItemsOf are documents with their links.
func ItemsOf[T resource.Doc](docs []T) []Item {
	items := make([]Item, 0, len(docs))
	for _, d := range docs {
		items = append(items, ItemOf(d))
	}
	return items
}

// MarshalJSON writes the document's members, then the extra ones, then Links.
// An extra member replaces the document's of that name.
func (i Item) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(i.Doc)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", i.Doc.Kind().Name, err)
	}
	drop := slices.Clone(i.Doc.Kind().Hidden)
	for _, m := range i.Extra {
		drop = append(drop, m.Name)
	}
	if data, err = without(data, drop); err != nil {
		return nil, fmt.Errorf("encode %s: %w", i.Doc.Kind().Name, err)
	}
	out := bytes.NewBuffer(bytes.TrimSuffix(data, []byte("}")))
	for _, m := range append(slices.Clone(i.Extra), Member{"Links", i.Links}) {
		if err := writeMember(out, m); err != nil {
			return nil, fmt.Errorf("encode %s: %w", i.Doc.Kind().Name, err)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func writeMember(out *bytes.Buffer, m Member) error {
	value, err := json.Marshal(m.Value)
	if err != nil {
		return fmt.Errorf("member %s: %w", m.Name, err)
	}
	if out.Len() > 1 {
		out.WriteByte(',')
	}
	fmt.Fprintf(out, "%q:", m.Name)
	out.Write(value)
	return nil
}

// without takes members off an object, keeping the order of the others.
func without(data []byte, names []string) ([]byte, error) {
	if len(names) == 0 {
		return data, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("{")
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if text, _ := name.(string); !slices.Contains(names, text) {
			if err := writeMember(out, Member{text, value}); err != nil {
				return nil, err
			}
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// KeepHidden copies the hidden fields of one document to another of its kind,
// or clears them when from is nil: no client writes what none can read.
func KeepHidden(to, from resource.Doc) {
	dst := reflect.ValueOf(to).Elem()
	for _, f := range reflect.VisibleFields(dst.Type()) {
		if !slices.Contains(to.Kind().Hidden, jsonName(f)) {
			continue
		}
		if from == nil {
			dst.FieldByIndex(f.Index).SetZero()
			continue
		}
		dst.FieldByIndex(f.Index).Set(reflect.ValueOf(from).Elem().FieldByIndex(f.Index))
	}
}
