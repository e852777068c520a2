package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

// Insert stores a new document under the next id of its kind, which it gets
// even when it has one already. Defaults are filled in, the slug is made, and
// rules, names in use and references are checked: Invalid, with Field, where
// one is broken.
func Insert(tx *Tx, doc resource.Doc) error {
	k := doc.Kind()
	if k.IDPrefix == "" {
		return fmt.Errorf("store: ids of %s are derived: use InsertAs", k.Name)
	}
	id, err := tx.NextID(k.IDPrefix)
	if err != nil {
		return err
	}
	return InsertAs(tx, doc, id)
}

// InsertAs is Insert under a derived or built-in id. The id must not come from
// a client.
func InsertAs(tx *Tx, doc resource.Doc, id string) error {
	k, head := doc.Kind(), doc.Head()
	*head.ID = id
	if k.Reach == resource.InSpace && *head.SpaceID == "" {
		return fmt.Errorf("store: insert %s %s without a space", k.Name, id)
	}
	if k.Reach == resource.SystemWide {
		*head.SpaceID = ""
	}
	tx.stamp(head)
	if err := tx.prepare(doc, ""); err != nil {
		return err
	}
	r, err := tx.check(doc, nil)
	if err != nil {
		return err
	}
	if r.boxes, err = tx.seal(doc, nil); err != nil {
		return fmt.Errorf("insert %s %s: %w", k.Name, id, err)
	}
	if err := tx.insertRow(k, r); err != nil {
		return fmt.Errorf("insert %s %s: %w", k.Name, id, err)
	}
	tx.Notify(k.Name)
	return nil
}

func (tx *Tx) stamp(head resource.Head) {
	if head.LastModifiedOn != nil {
		*head.LastModifiedOn = resource.TimeOf(tx.now)
	}
	if head.LastModifiedBy != nil {
		*head.LastModifiedBy = tx.by.Username
	}
}

// prepare fills in defaults and the slug and applies the document's own rules.
// storedSlug is kept where the document names none, also when it is renamed.
func (tx *Tx) prepare(doc resource.Doc, storedSlug string) error {
	if d, ok := doc.(resource.Defaulter); ok {
		d.SetDefaults(tx.db.newID)
	}
	if err := doc.Validate(); err != nil {
		return err
	}
	slugged, ok := doc.(resource.Slugged)
	if !ok || !doc.Kind().Slug {
		return nil
	}
	return tx.setSlug(doc, slugged.SlugField(), storedSlug)
}

func (tx *Tx) setSlug(doc resource.Doc, slug *string, storedSlug string) error {
	if *slug == "" {
		*slug = storedSlug
	}
	if *slug == storedSlug && storedSlug != "" {
		return nil
	}
	r, err := encode(doc, nil)
	if err != nil {
		return err
	}
	base := resource.Slugify(*slug)
	if base == "" {
		base = resource.Slugify(r.name)
	}
	if base == "" {
		base = strings.ToLower(r.id)
	}
	*slug = resource.FreeSlug(base, func(s string) bool {
		if err != nil {
			return false
		}
		var taken bool
		taken, err = tx.taken(doc.Kind(), r, "slug", s)
		return taken
	})
	return err
}

// taken says whether another document has the value where it has to be unique.
func (tx *Tx) taken(k *resource.Kind, r *row, column, value string) (bool, error) {
	b := newBuilder(tx.db.dialect, k)
	b.where("space_id = %s AND "+column+" = %s AND id <> %s", r.space, value, r.id)
	for i, f := range declared(k) {
		if f.Path == k.UniqueWithin {
			b.where(dialect.Quote(f.Column)+" = %s", r.columns[i])
		}
	}
	var one int
	err := tx.queryRow(`SELECT 1 FROM `+table(k)+b.sql()+` LIMIT 1`, b.args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check %s of %s %s: %w", column, k.Name, r.id, err)
	}
	return true, nil
}

// check makes the row and applies the rules that other documents matter for.
func (tx *Tx) check(doc resource.Doc, storedJSON []byte) (*row, error) {
	r, err := encode(doc, storedJSON)
	if err != nil {
		return nil, err
	}
	if err := tx.checkName(doc.Kind(), r); err != nil {
		return nil, err
	}
	return r, tx.checkReferences(doc.Kind(), r)
}

func (tx *Tx) checkName(k *resource.Kind, r *row) error {
	if k.NameField == "" || k.Repeatable {
		return nil
	}
	taken, err := tx.taken(k, r, "name_key", r.nameKey)
	if err != nil || !taken {
		return err
	}
	where := ""
	if k.UniqueWithin != "" {
		where = " here"
	}
	e := resource.Errorf(resource.Invalid, "A %s with the %s '%s' already exists%s. Please choose another one.", k.Noun, strings.ToLower(k.NameField), r.name, where)
	e.Field = k.NameField
	return e
}

func (tx *Tx) insertRow(k *resource.Kind, r *row) error {
	boxes, err := encodeBoxes(r.boxes)
	if err != nil {
		return err
	}
	args := append([]any{r.id, r.ord, r.space, r.name, r.nameKey, r.slug, int64(1), int64(documentFormat), string(r.json), boxes}, r.columns...)
	names, places := baseColumns, make([]string, len(args))
	for _, f := range declared(k) {
		names += ", " + dialect.Quote(f.Column)
	}
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	if _, err := tx.exec(`INSERT INTO `+table(k)+` (`+names+`) VALUES (`+strings.Join(places, ", ")+`)`, args...); err != nil {
		return err
	}
	return tx.insertValues(k, r)
}

func (tx *Tx) insertValues(k *resource.Kind, r *row) error {
	for _, v := range r.values {
		if _, err := tx.exec(`INSERT INTO document_value (document_id, kind, field, value) VALUES ($1, $2, $3, $4)`, r.id, k.Name, v.field, v.value); err != nil {
			return err
		}
	}
	return nil
}

// Update stores a document in place of the one with its id. Its space cannot
// change. A Versioned document has to carry the stored version, or it is a
// Conflict: somebody else was faster. Kept secrets stay, stored fields that
// this build does not know stay too.
func Update(tx *Tx, doc resource.Doc) error {
	k, head := doc.Kind(), doc.Head()
	old, err := tx.load(k, *head.ID)
	if err != nil {
		return err
	}
	space := *old.doc.Head().SpaceID
	if *head.SpaceID != "" && *head.SpaceID != space {
		return resource.Missing(*head.ID)
	}
	*head.SpaceID = space
	if err := tx.raiseLock(doc, old.doc); err != nil {
		return err
	}
	tx.stamp(head)
	return tx.replace(doc, old, true)
}

// replace writes a document over its stored row. With rules, it is prepared
// and checked as a person's edit is.
func (tx *Tx) replace(doc resource.Doc, old *stored, rules bool) error {
	k := doc.Kind()
	if rules {
		if err := tx.prepare(doc, old.slug); err != nil {
			return err
		}
	}
	// Sealing first: it turns secrets that are kept but not there into none.
	boxes, err := tx.seal(doc, old.boxes)
	if err != nil {
		return fmt.Errorf("update %s %s: %w", k.Name, *doc.Head().ID, err)
	}
	r, err := encode(doc, old.json)
	if rules && err == nil {
		err = errors.Join(tx.checkName(k, r), tx.checkReferences(k, r))
	}
	if err != nil {
		return err
	}
	r.boxes = boxes
	if err := tx.updateRow(k, r, old.version); err != nil {
		return fmt.Errorf("update %s %s: %w", k.Name, r.id, err)
	}
	tx.Notify(k.Name)
	return nil
}

// rewrite changes a document that operations keep facts in. The document's own
// rules are not applied, and one that is missing is left alone: neither may
// keep a rollout from its end.
func rewrite[T any, P document[T]](tx *Tx, id string, edit func(*T)) error {
	old, err := tx.load(kindOf[T, P](), id)
	if resource.CodeOf(err) == resource.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := Get[T, P](tx, id)
	if err != nil {
		return err
	}
	edit(doc)
	return tx.replace(P(doc), old, false)
}

func (tx *Tx) raiseLock(doc, old resource.Doc) error {
	versioned, ok := doc.(resource.Versioned)
	if !ok {
		return nil
	}
	before, ok := old.(resource.Versioned)
	if !ok {
		return fmt.Errorf("store: %T has no version", old)
	}
	lock, was := versioned.Lock(), *before.Lock()
	if *lock != was {
		return resource.Errorf(resource.Conflict, "This %s was changed by somebody else (it is at version %d, yours is from version %d). Please reload it and make your changes again.", doc.Kind().Noun, was, *lock)
	}
	*lock = was + 1
	tx.undo = append(tx.undo, func() { *lock = was })
	return nil
}

func (tx *Tx) updateRow(k *resource.Kind, r *row, version int64) error {
	boxes, err := encodeBoxes(r.boxes)
	if err != nil {
		return err
	}
	set := []string{`name = $3, name_key = $4, slug = $5, version = version + 1, format = $6, json = $7, secrets = $8`}
	args := append([]any{r.id, version, r.name, r.nameKey, r.slug, int64(documentFormat), string(r.json), boxes}, r.columns...)
	for i, f := range declared(k) {
		set = append(set, dialect.Quote(f.Column)+" = $"+strconv.Itoa(9+i))
	}
	result, err := tx.exec(`UPDATE `+table(k)+` SET `+strings.Join(set, ", ")+` WHERE id = $1 AND version = $2`, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, resource.Errorf(resource.Conflict, "This %s was changed by somebody else. Please reload it and make your changes again.", k.Noun))
	}
	if _, err := tx.exec(`DELETE FROM document_value WHERE document_id = $1`, r.id); err != nil {
		return err
	}
	return tx.insertValues(k, r)
}
