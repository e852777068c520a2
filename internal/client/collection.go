package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Page is one page of a collection (octopus-api.md 1.6).
type Page[T any] struct {
	ItemType     string
	TotalResults int
	ItemsPerPage int
	Items        []T
	Links        map[string]string
}

// Items yields a collection's items page by page, following Page.Next. The
// sequence ends after the first error.
func Items[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		seen := make(map[string]bool)
		for next := path; next != ""; {
			var page Page[T]
			if err := c.Get(ctx, next, query, &page); err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			seen[next] = true
			next, query = page.Links["Page.Next"], nil
			if seen[next] {
				var zero T
				yield(zero, resource.Errorf(resource.Internal, "The pages of %s form a circle.", path))
				return
			}
		}
	}
}

// List collects at most limit items; limit 0 means all of them.
func List[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	query = cloneValues(query)
	if !query.Has("take") {
		query.Set("take", strconv.Itoa(pageSize(limit)))
	}
	items := []T{}
	for item, err := range Items[T](ctx, c, path, query) {
		if err != nil {
			return nil, err
		}
		if items = append(items, item); limit > 0 && len(items) == limit {
			break
		}
	}
	return items, nil
}

func pageSize(limit int) int {
	if limit <= 0 || limit > 200 {
		return 200
	}
	return limit
}

func cloneValues(query url.Values) url.Values {
	out := make(url.Values, len(query)+1)
	maps.Copy(out, query)
	return out
}

// Document is any document as the server sent it: editing one field and
// sending the rest back loses nothing that this client does not know.
type Document map[string]json.RawMessage

// Text is a string field, "" when absent or of another type.
func (d Document) Text(field string) string {
	var s string
	if json.Unmarshal(d[field], &s) != nil {
		return ""
	}
	return s
}

// Set replaces a field.
func (d Document) Set(field string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", field, err)
	}
	d[field] = data
	return nil
}

// Decode reads the document into a typed view of it.
func (d Document) Decode(out any) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode document: %w", err)
	}
	return json.Unmarshal(data, out)
}

// DecodeField reads one field into a typed view of it; an absent field leaves
// out as it is.
func (d Document) DecodeField(field string, out any) error {
	raw, ok := d[field]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read %s of %s: %w", field, d.ID(), err)
	}
	return nil
}

// ID is the document's id.
func (d Document) ID() string { return d.Text("Id") }

// Link is one of the document's links, without its query template.
func (d Document) Link(name string) string {
	var links map[string]string
	if json.Unmarshal(d["Links"], &links) != nil {
		return ""
	}
	path, _, _ := strings.Cut(links[name], "{")
	return path
}

// Find looks a document up by id, name or slug (case-insensitive). kind is the
// word for people ("environment"); query narrows the collection, e.g. to a
// project. The error of a miss has code NotFound and names the nearest
// existing names.
func (c *Client) Find(ctx context.Context, kind, path string, query url.Values, ref string) (Document, error) {
	if strings.TrimSpace(ref) == "" {
		return nil, resource.Errorf(resource.Invalid, "No %s was named.", kind)
	}
	if looksLikeID(ref) {
		var doc Document
		err := c.Get(ctx, path+"/"+url.PathEscape(ref), nil, &doc)
		if err == nil || resource.CodeOf(err) != resource.NotFound {
			return doc, err
		}
	}
	var names []string
	for doc, err := range Items[Document](ctx, c, path, firstPage(query)) {
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(doc.Text("Name"), ref) || strings.EqualFold(doc.Text("Slug"), ref) || doc.ID() == ref {
			return doc, nil
		}
		names = append(names, doc.Text("Name"))
	}
	return nil, &MissingError{Kind: kind, Ref: ref, Names: names}
}

func firstPage(query url.Values) url.Values {
	query = cloneValues(query)
	query.Set("take", "200")
	return query
}

// looksLikeID says whether ref has the form of an id, "Projects-12".
func looksLikeID(ref string) bool {
	prefix, number, ok := strings.Cut(ref, "-")
	if !ok || prefix == "" || number == "" {
		return false
	}
	_, err := strconv.ParseUint(number, 10, 63)
	return err == nil || strings.HasPrefix(ref, "feeds-") || strings.HasPrefix(ref, "teams-") || strings.HasPrefix(ref, "userroles-")
}

// MissingError says that nothing has that name or id, and which names exist.
// Its code is resource.NotFound.
type MissingError struct {
	Kind  string
	Ref   string
	Names []string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("There is no %s %q.", e.Kind, e.Ref)
}

// Unwrap gives the error that carries the code.
func (e *MissingError) Unwrap() error { return resource.Missing(e.Ref) }
