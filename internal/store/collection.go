package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

// document is what makes *T a resource.Doc.
type document[T any] interface {
	*T
	resource.Doc
}

func kindOf[T any, P document[T]]() *resource.Kind { return P(new(T)).Kind() }

// typed is a document that was read as the type that its kind makes.
func typed[T any, P document[T]](doc resource.Doc, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	p, ok := doc.(P)
	if !ok {
		return nil, fmt.Errorf("store: kind %s makes a %T", doc.Kind().Name, doc)
	}
	return (*T)(p), nil
}

// Get reads a document by its id, whatever space it is in: for ids that come
// from other documents. NotFound when there is none.
func Get[T any, P document[T]](tx *Tx, id string) (*T, error) {
	return typed[T, P](GetDoc(tx, kindOf[T, P](), id))
}

// GetIn reads a document of a space by its id: for ids that come from outside.
// One of another space is as missing as one that never was (abuse 30).
func GetIn[T any, P document[T]](tx *Tx, space, id string) (*T, error) {
	doc, err := GetDoc(tx, kindOf[T, P](), id)
	if err != nil {
		return nil, err
	}
	if !within(doc, space) {
		return nil, resource.Missing(id)
	}
	return typed[T, P](doc, nil)
}

func within(doc resource.Doc, space string) bool {
	has := *doc.Head().SpaceID
	return doc.Kind().Reach == resource.SystemWide || has == space || has == "" && doc.Kind().Reach == resource.Either
}

// Lookup reads a document of a space by its id or its slug: what may stand in
// an address. Clients rely on a name not being found there (octopus-api.md 1.5).
func Lookup[T any, P document[T]](tx *Tx, space, key string) (*T, error) {
	return typed[T, P](LookupDoc(tx, kindOf[T, P](), space, key))
}

// Find reads a document of a space by its id, its slug or its name, in this
// order; names are compared folded. Of several documents with the name (names
// that are unique within a project only), it is NotFound.
func Find[T any, P document[T]](tx *Tx, space, key string) (*T, error) {
	return typed[T, P](FindDoc(tx, kindOf[T, P](), space, key))
}

// Exists says whether there is a document of the kind with the id.
func Exists(tx *Tx, k *resource.Kind, id string) (bool, error) {
	var one int
	err := tx.queryRow(`SELECT 1 FROM `+table(k)+` WHERE id = $1`, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// GetDoc is Get for a kind known at run time.
func GetDoc(tx *Tx, k *resource.Kind, id string) (resource.Doc, error) {
	stored, err := tx.load(k, id)
	if err != nil {
		return nil, err
	}
	return stored.doc, nil
}

// stored is a document with what its row holds beside it.
type stored struct {
	doc     resource.Doc
	version int64
	slug    string
	json    []byte
	boxes   map[string][]byte
}

func (tx *Tx) load(k *resource.Kind, id string) (*stored, error) {
	var s stored
	var format int64
	var secrets string
	err := tx.queryRow(`SELECT version, slug, format, json, secrets FROM `+table(k)+` WHERE id = $1`, id).
		Scan(&s.version, &s.slug, &format, &s.json, &secrets)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, resource.Missing(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", k.Name, id, err)
	}
	s.doc, s.boxes, err = decode(k, id, format, s.json, secrets)
	return &s, err
}

// LookupDoc is Lookup for a kind known at run time.
func LookupDoc(tx *Tx, k *resource.Kind, space, key string) (resource.Doc, error) {
	return tx.findBy(k, space, key, match{"id", key}, match{"slug", key})
}

// FindDoc is Find for a kind known at run time.
func FindDoc(tx *Tx, k *resource.Kind, space, key string) (resource.Doc, error) {
	return tx.findBy(k, space, key, match{"id", key}, match{"slug", key}, match{"name_key", resource.Fold(key)})
}

type match struct{ column, value string }

func (tx *Tx) findBy(k *resource.Kind, space, key string, matches ...match) (resource.Doc, error) {
	for _, m := range matches {
		if m.value == "" || m.column == "slug" && !k.Slug || m.column == "name_key" && k.NameField == "" {
			continue
		}
		b := newBuilder(tx.db.dialect, k)
		b.where(m.column+" = %s", m.value)
		b.inSpace(space)
		docs, err := tx.selectDocs(k, b.sql()+" LIMIT 2", b.args)
		if err != nil {
			return nil, err
		}
		if len(docs) == 1 {
			return docs[0], nil
		}
	}
	return nil, resource.Missing(key)
}

// Query says which documents of a kind are wanted.
type Query struct {
	// Space limits the list to one space. It has to be set for kinds that live
	// in a space, unless AllSpaces says that all are meant. For kinds that can
	// live outside of any, System adds those.
	Space     string
	AllSpaces bool
	System    bool

	IDs         []string // nil: any; empty: none
	Name        string   // the folded name is this one
	PartialName string   // the kind's search columns contain it, folded
	// Where maps a declared field's path to the values of which it has to have
	// one. A field with no values matches nothing, and so does an undeclared one
	// fail: what filters by permission must never widen.
	Where map[string][]string
	Skip  int
	Take  int      // 0: all
	Order []string // columns, "-" in front for descending; the kind's order when nil
}

// List reads the documents that match, in order, and counts them all.
func List[T any, P document[T]](tx *Tx, q Query) (items []T, total int, err error) {
	docs, total, err := ListDocs(tx, kindOf[T, P](), q)
	if err != nil {
		return nil, 0, err
	}
	items = make([]T, len(docs))
	for i, doc := range docs {
		item, err := typed[T, P](doc, nil)
		if err != nil {
			return nil, 0, err
		}
		items[i] = *item
	}
	return items, total, nil
}

// First reads the first document that matches; NotFound when there is none.
func First[T any, P document[T]](tx *Tx, q Query) (*T, error) {
	q.Take = 1
	k := kindOf[T, P]()
	docs, err := listOnly(tx, k, q)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, resource.Errorf(resource.NotFound, "There is no such %s.", k.Noun)
	}
	return typed[T, P](docs[0], nil)
}

// ListDocs is List for a kind known at run time.
func ListDocs(tx *Tx, k *resource.Kind, q Query) (docs []resource.Doc, total int, err error) {
	if total, err = CountDocs(tx, k, q); err != nil || total == 0 {
		return nil, 0, err
	}
	docs, err = listOnly(tx, k, q)
	return docs, total, err
}

// CountDocs counts the documents that match.
func CountDocs(tx *Tx, k *resource.Kind, q Query) (total int, err error) {
	b, err := q.build(tx.db.dialect, k)
	if err != nil {
		return 0, err
	}
	if err := tx.queryRow(`SELECT COUNT(*) FROM `+table(k)+` d`+b.sql(), b.args...).Scan(&total); err != nil {
		return 0, fmt.Errorf("count %s: %w", k.Route, err)
	}
	return total, nil
}

func listOnly(tx *Tx, k *resource.Kind, q Query) ([]resource.Doc, error) {
	b, err := q.build(tx.db.dialect, k)
	if err != nil {
		return nil, err
	}
	order, err := q.order(k)
	if err != nil {
		return nil, err
	}
	text := b.sql() + order
	if q.Take > 0 {
		text += fmt.Sprintf(" LIMIT %d", q.Take)
	} else if q.Skip > 0 {
		text += " LIMIT 9223372036854775807"
	}
	if q.Skip > 0 {
		text += fmt.Sprintf(" OFFSET %d", q.Skip)
	}
	return tx.selectDocs(k, text, b.args)
}

func (tx *Tx) selectDocs(k *resource.Kind, rest string, args []any) (docs []resource.Doc, err error) {
	rows, err := tx.query(`SELECT id, format, json, secrets FROM `+table(k)+` d`+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", k.Route, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, secrets string
		var format int64
		var text []byte
		if err := rows.Scan(&id, &format, &text, &secrets); err != nil {
			return nil, fmt.Errorf("list %s: %w", k.Route, err)
		}
		doc, _, err := decode(k, id, format, text, secrets)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, rows.Err()
}

// order is the ORDER BY of the query: declared columns only (abuse 66).
func (q *Query) order(k *resource.Kind) (string, error) {
	columns := q.Order
	if columns == nil {
		columns = k.Order
	}
	var terms []string
	for _, c := range columns {
		name, descending := strings.CutPrefix(c, "-")
		if !orderable(k, name) {
			return "", fmt.Errorf("store: %s has no column %q to order by", k.Name, name)
		}
		if terms = append(terms, dialect.Quote(name)); descending {
			terms[len(terms)-1] += " DESC"
		}
	}
	return " ORDER BY " + strings.Join(append(terms, "ord", "id"), ", "), nil
}

func orderable(k *resource.Kind, name string) bool {
	if name == "name_key" || name == "ord" || name == "id" {
		return true
	}
	for _, f := range k.Fields {
		if f.Column == name {
			return true
		}
	}
	return false
}
