package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// targets are the kinds that a reference may point at.
func targets(f resource.Field) []*resource.Kind {
	var kinds []*resource.Kind
	for name := range strings.SplitSeq(f.Ref, "|") {
		if k := resource.KindNamed(name); k != nil {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// checkReferences refuses a reference to what is not there, or is in another
// space: the answer is the same for both (abuse 30).
func (tx *Tx) checkReferences(k *resource.Kind, r *row) error {
	for _, f := range k.Fields {
		if f.Ref == "" || f.Tie == resource.Loose {
			continue
		}
		for _, v := range r.values {
			if v.field != f.Path {
				continue
			}
			ok, err := tx.reachable(f, k, r, v.value)
			if err != nil {
				return fmt.Errorf("check %s of %s %s: %w", f.Path, k.Name, r.id, err)
			}
			if !ok {
				e := resource.Errorf(resource.Invalid, "%s: there is no %s '%s'. Please choose one that exists.", f.Path, targets(f)[0].Noun, v.value)
				e.Field = f.Path
				return e
			}
		}
	}
	return nil
}

func (tx *Tx) reachable(f resource.Field, k *resource.Kind, r *row, id string) (bool, error) {
	for _, target := range targets(f) {
		if target.Name == k.Name && id == r.id {
			return true, nil
		}
		var space string
		err := tx.queryRow(`SELECT space_id FROM `+table(target)+` WHERE id = $1`, id).Scan(&space)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return false, err
		}
		if space == "" || r.space == "" || space == r.space {
			return true, nil
		}
	}
	return false, nil
}

// node is a document in a deletion.
type node struct {
	kind *resource.Kind
	id   string
}

// pointer is a reference found from its target's side.
type pointer struct {
	from  node
	field resource.Field
	to    string
}

// Delete removes a document and what it owns. A document that others point at
// is Invalid, and the message names who uses it.
func Delete[T any, P document[T]](tx *Tx, id string) error { return DeleteDoc(tx, kindOf[T, P](), id) }

// DeleteDoc is Delete for a kind known at run time.
func DeleteDoc(tx *Tx, k *resource.Kind, id string) error {
	if ok, err := Exists(tx, k, id); err != nil || !ok {
		return errors.Join(err, missingUnless(ok, id))
	}
	doomed, pointers, err := tx.closure(node{k, id})
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", k.Name, id, err)
	}
	gone := make(map[node]bool, len(doomed))
	for _, n := range doomed {
		gone[n] = true
	}
	var users, prune []pointer
	for _, p := range pointers {
		switch {
		case gone[p.from]:
		case p.field.Tie == resource.Strict:
			users = append(users, p)
		case p.field.Tie == resource.Pruned:
			prune = append(prune, p)
		}
	}
	if len(users) > 0 {
		return tx.inUse(k, id, users)
	}
	for _, p := range prune {
		if err := tx.prune(p); err != nil {
			return fmt.Errorf("delete %s %s: %w", k.Name, id, err)
		}
	}
	for _, n := range slices.Backward(doomed) {
		if err := tx.deleteRow(n); err != nil {
			return fmt.Errorf("delete %s %s: %w", n.kind.Name, n.id, err)
		}
	}
	return nil
}

func missingUnless(ok bool, id string) error {
	if ok {
		return nil
	}
	return resource.Missing(id)
}

// closure collects a document and all that it owns, and every reference to any
// of them.
func (tx *Tx) closure(start node) (doomed []node, pointers []pointer, err error) {
	doomed = []node{start}
	seen := map[node]bool{start: true}
	for i := 0; i < len(doomed); i++ {
		found, err := tx.pointersTo(doomed[i])
		if err != nil {
			return nil, nil, err
		}
		pointers = append(pointers, found...)
		for _, p := range found {
			if p.field.Tie == resource.Owner && !seen[p.from] {
				seen[p.from] = true
				doomed = append(doomed, p.from)
			}
		}
	}
	return doomed, pointers, nil
}

func (tx *Tx) pointersTo(n node) (found []pointer, err error) {
	rows, err := tx.query(`SELECT document_id, kind, field FROM document_value WHERE value = $1 ORDER BY kind, document_id`, n.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, kind, path string
		if err := rows.Scan(&id, &kind, &path); err != nil {
			return nil, err
		}
		from := resource.KindNamed(kind)
		if from == nil {
			continue
		}
		f, ok := from.Field(path)
		if ok && slices.Contains(targets(f), n.kind) {
			found = append(found, pointer{from: node{from, id}, field: f, to: n.id})
		}
	}
	return found, rows.Err()
}

const namedUsers = 3

func (tx *Tx) inUse(k *resource.Kind, id string, users []pointer) error {
	what, err := tx.nameOf(node{k, id})
	if err != nil {
		return err
	}
	var names []string
	for _, u := range users {
		name, err := tx.nameOf(u.from)
		if err != nil {
			return err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	text := strings.Join(names[:min(len(names), namedUsers)], ", ")
	if more := len(names) - namedUsers; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return resource.Errorf(resource.Invalid, "The %s cannot be deleted because it is used by: %s. Please remove it there first.", what, text)
}

func (tx *Tx) nameOf(n node) (string, error) {
	var name string
	if err := tx.queryRow(`SELECT name FROM `+table(n.kind)+` WHERE id = $1`, n.id).Scan(&name); err != nil {
		return "", fmt.Errorf("name %s %s: %w", n.kind.Name, n.id, err)
	}
	if name == "" {
		name = n.id
	}
	return n.kind.Noun + " '" + name + "'", nil
}

func (tx *Tx) deleteRow(n node) error {
	if _, err := tx.exec(`DELETE FROM `+table(n.kind)+` WHERE id = $1`, n.id); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM document_value WHERE document_id = $1`, n.id); err != nil {
		return err
	}
	tx.Notify(n.kind.Name)
	return nil
}

// prune takes a deleted id out of the document that lists it. The document's
// own rules are not applied: it must not stop the deletion.
func (tx *Tx) prune(p pointer) error {
	old, err := tx.load(p.from.kind, p.from.id)
	if err != nil {
		return err
	}
	tree, err := parseTree(old.json)
	if err != nil {
		return err
	}
	text, err := dropValue(tree, p.field.Path, p.to)
	if err != nil {
		return err
	}
	old.json = text
	doc, _, err := decode(p.from.kind, p.from.id, documentFormat, text, "")
	if err != nil {
		return err
	}
	restoreSecrets(doc, old.boxes)
	return tx.replace(doc, old, false)
}
