package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// Kind declares one kind of document to the command line.
type Kind struct {
	// Noun is the word people use ("machine"), as one argument.
	Noun string
	// Path is the collection below /api/{space}/, or below /api/ when Global.
	Path   string
	Global bool
	// Names are the collections (paths as above) whose names the columns show
	// in place of ids.
	Names []string
	// Columns make the table.
	Columns []Column
	// Basic is the field printed by --format basic; "" means Name.
	Basic string
	// Example is a value for the help texts.
	Example string
}

// Column is one column of a kind's table.
type Column struct {
	Title string
	Value func(doc client.Document, names Names) string
}

// Names maps ids to names.
type Names map[string]string

// Field shows a field as it is.
func Field(title, field string) Column {
	return Column{title, func(doc client.Document, _ Names) string { return scalar(doc[field]) }}
}

// Ref shows the name of the document whose id is in the field, or of each of
// several ids.
func Ref(title, field string) Column {
	return Column{title, func(doc client.Document, names Names) string {
		return strings.Join(names.of(doc[field]), ", ")
	}}
}

// Join shows a list of strings.
func Join(title, field string) Column {
	return Column{title, func(doc client.Document, _ Names) string {
		return strings.Join(Strings(doc[field]), ", ")
	}}
}

// Strings reads a string or a list of strings.
func Strings(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}

func (n Names) of(raw json.RawMessage) []string {
	ids := Strings(raw)
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i] = n[id]; out[i] == "" {
			out[i] = id
		}
	}
	return out
}

func scalar(raw json.RawMessage) string {
	var value any
	if len(raw) == 0 || json.Unmarshal(raw, &value) != nil || value == nil {
		return ""
	}
	switch v := value.(type) {
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return string(raw)
}

// Collection is the path of the kind's collection.
func (k Kind) Collection(ctx context.Context, cl *client.Client) (string, error) {
	if k.Global {
		return "/api/" + k.Path, nil
	}
	return cl.Path(ctx, k.Path)
}

// Find looks one document up by id, name or slug.
func (k Kind) Find(ctx context.Context, cl *client.Client, ref string) (client.Document, error) {
	path, err := k.Collection(ctx, cl)
	if err != nil {
		return nil, err
	}
	return cl.Find(ctx, strings.ReplaceAll(k.Noun, "-", " "), path, nil, ref)
}

// IDs looks several documents up and returns their ids, never nil.
func (k Kind) IDs(ctx context.Context, cl *client.Client, refs []string) ([]string, error) {
	ids := make([]string, 0, len(refs))
	for _, ref := range refs {
		doc, err := k.Find(ctx, cl, ref)
		if err != nil {
			return nil, err
		}
		ids = append(ids, doc.ID())
	}
	return ids, nil
}

// Create posts a new document and prints it.
func (k Kind) Create(ctx context.Context, c *console.Console, cl *client.Client, body any) error {
	path, err := k.Collection(ctx, cl)
	if err != nil {
		return err
	}
	var doc client.Document
	if err := cl.Post(ctx, path, body, &doc); err != nil {
		return err
	}
	c.Notef("Created %s %s (%s).", strings.ReplaceAll(k.Noun, "-", " "), console.Printable(doc.Text(k.basic())), doc.ID())
	return k.PrintOne(ctx, c, cl, doc)
}

// Save puts a changed document back and prints it.
func (k Kind) Save(ctx context.Context, c *console.Console, cl *client.Client, doc client.Document) error {
	path, err := k.Collection(ctx, cl)
	if err != nil {
		return err
	}
	var saved client.Document
	if err := cl.Put(ctx, path+"/"+url.PathEscape(doc.ID()), doc, &saved); err != nil {
		return err
	}
	return k.PrintOne(ctx, c, cl, saved)
}

// Print prints documents as one table.
func (k Kind) Print(ctx context.Context, c *console.Console, cl *client.Client, docs []client.Document) error {
	result := console.Result{Columns: k.titles(), JSON: docs}
	names, err := k.names(ctx, c, cl, docs)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		result.Rows = append(result.Rows, k.row(doc, names))
		result.Basic = append(result.Basic, doc.Text(k.basic()))
	}
	return c.Print(result)
}

// PrintOne prints one document, its columns as lines.
func (k Kind) PrintOne(ctx context.Context, c *console.Console, cl *client.Client, doc client.Document) error {
	names, err := k.names(ctx, c, cl, []client.Document{doc})
	if err != nil {
		return err
	}
	result := console.Result{JSON: doc, Basic: []string{doc.Text(k.basic())}}
	titles := k.titles()
	for i, cell := range k.row(doc, names) {
		if cell != "" {
			result.Lines = append(result.Lines, fmt.Sprintf("%-14s %s", titles[i], cell))
		}
	}
	return c.Print(result)
}

func (k Kind) basic() string {
	if k.Basic == "" {
		return "Name"
	}
	return k.Basic
}

func (k Kind) titles() []string {
	titles := make([]string, len(k.Columns))
	for i, column := range k.Columns {
		titles[i] = strings.ToUpper(column.Title)
	}
	return titles
}

func (k Kind) row(doc client.Document, names Names) []string {
	row := make([]string, len(k.Columns))
	for i, column := range k.Columns {
		row[i] = column.Value(doc, names)
	}
	return row
}

// names loads the collections whose names a table shows; the other formats
// need none.
func (k Kind) names(ctx context.Context, c *console.Console, cl *client.Client, docs []client.Document) (Names, error) {
	names := make(Names)
	if c.Format != console.Table || len(docs) == 0 {
		return names, nil
	}
	for _, collection := range k.Names {
		path, err := cl.Path(ctx, collection)
		if err != nil {
			return nil, err
		}
		list, err := client.List[client.Document](ctx, cl, path, nil, 0)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", collection, err)
		}
		for _, doc := range list {
			names[doc.ID()] = first(doc.Text("Name"), doc.Text("Version"))
		}
	}
	return names, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Group is the noun's command with the given verbs.
func (k Kind) Group(short string, verbs ...*cobra.Command) *cobra.Command {
	return console.Group(k.Noun, short, verbs...)
}
