package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
)

// systemKey is the data key of documents outside every space.
const systemKey = "system"

func (db *DB) loadDataKeys(ctx context.Context) error {
	rows, err := db.reader.QueryContext(ctx, `SELECT id, wrapped FROM data_key`)
	if err != nil {
		return fmt.Errorf("load data keys: %w", translate(err))
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var wrapped []byte
		if err := rows.Scan(&id, &wrapped); err != nil {
			return fmt.Errorf("load data keys: %w", translate(err))
		}
		key, err := db.keys.Unwrap(id, wrapped)
		if err != nil {
			return &resource.Error{
				Code: resource.PreconditionFailed, Err: err,
				Message: "The master key does not fit this database. Put back the master.key that belongs to it.",
			}
		}
		db.keys.Add(key)
	}
	return rows.Err()
}

// dataKey is the key that seals values of a space, made at its first use.
func (tx *Tx) dataKey(space string) (*secret.DataKey, error) {
	id := space
	if id == "" {
		id = systemKey
	}
	key, err := tx.key(id)
	if !errors.Is(err, secret.ErrUnknownKey) {
		return key, err
	}
	key, wrapped, err := tx.db.keys.Mint(id)
	if err != nil {
		return nil, err
	}
	if _, err := tx.exec(`INSERT INTO data_key (id, wrapped, created) VALUES ($1, $2, $3)`, id, wrapped, tx.now.UnixMilli()); err != nil {
		return nil, fmt.Errorf("store data key %s: %w", id, err)
	}
	if tx.keys == nil {
		tx.keys = map[string]*secret.DataKey{}
	}
	tx.keys[id] = key
	return key, nil
}

// key finds a data key: made in this transaction, known, or just made by
// another node.
func (tx *Tx) key(id string) (*secret.DataKey, error) {
	if key, ok := tx.keys[id]; ok {
		return key, nil
	}
	if key, ok := tx.db.keys.Key(id); ok {
		return key, nil
	}
	var wrapped []byte
	err := tx.queryRow(`SELECT wrapped FROM data_key WHERE id = $1`, id).Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("data key %s: %w", id, secret.ErrUnknownKey)
	}
	if err != nil {
		return nil, fmt.Errorf("data key %s: %w", id, err)
	}
	key, err := tx.db.keys.Unwrap(id, wrapped)
	if err == nil {
		tx.db.keys.Add(key)
	}
	return key, err
}

// SealBox seals a value that belongs to no document (an output variable, an
// inbox row) under the key of its space. OpenBox wants the same kind, id and
// field.
func (tx *Tx) SealBox(space, kind, id, field, plain string) ([]byte, error) {
	key, err := tx.dataKey(space)
	if err != nil {
		return nil, err
	}
	return key.Seal(kind, id, field, []byte(plain)), nil
}

// OpenBox opens a box. kind is the Kind's Name, id the document's id and field
// its path in EachSecret; a box of another row does not open (abuse 75).
func (tx *Tx) OpenBox(kind, id, field string, box []byte) (string, error) {
	name, err := secret.KeyOf(box)
	if err != nil {
		return "", err
	}
	key, err := tx.key(name)
	if err != nil {
		return "", err
	}
	plain, err := key.Open(kind, id, field, box)
	return string(plain), err
}

// Unseal makes every sealed secret of the document plain, in memory only. Use it
// right before the value leaves for where it is needed, or before Insert under
// another id.
func Unseal(tx *Tx, doc resource.Doc) error {
	secretive, ok := doc.(resource.Secretive)
	if !ok {
		return nil
	}
	var errs []error
	secretive.EachSecret(func(field string, s *resource.Sensitive) {
		box, ok := s.Box()
		if !ok {
			return
		}
		plain, err := tx.OpenBox(doc.Kind().Name, *doc.Head().ID, field, box)
		if err != nil {
			errs = append(errs, err)
			return
		}
		*s = resource.Plain(plain)
	})
	return errors.Join(errs...)
}

// Reseal stores a copy of the document under another id, as a snapshot: its
// secrets are opened and sealed again for that id. doc becomes the copy.
func Reseal(tx *Tx, doc resource.Doc, id string) error {
	if err := Unseal(tx, doc); err != nil {
		return fmt.Errorf("copy %s to %s: %w", *doc.Head().ID, id, err)
	}
	return InsertAs(tx, doc, id)
}

// seal makes the boxes of a document's secrets. stored are the boxes it has
// now: kept and unchanged secrets keep theirs.
func (tx *Tx) seal(doc resource.Doc, stored map[string][]byte) (map[string][]byte, error) {
	secretive, ok := doc.(resource.Secretive)
	if !ok {
		return nil, nil
	}
	boxes := map[string][]byte{}
	var errs []error
	secretive.EachSecret(func(field string, s *resource.Sensitive) {
		if err := tx.sealOne(doc, field, s, stored, boxes); err != nil {
			errs = append(errs, err)
		}
	})
	return boxes, errors.Join(errs...)
}

func (tx *Tx) sealOne(doc resource.Doc, field string, s *resource.Sensitive, stored, boxes map[string][]byte) error {
	kind, id := doc.Kind().Name, *doc.Head().ID
	if s.IsKept() {
		if stored[field] == nil {
			*s = resource.Sensitive{}
			return nil
		}
		boxes[field] = stored[field]
		return nil
	}
	if box, ok := s.Box(); ok {
		if !bytes.Equal(box, stored[field]) {
			if _, err := tx.OpenBox(kind, id, field, box); err != nil {
				return fmt.Errorf("a sealed value of another document: %w", err)
			}
		}
		boxes[field] = box
		return nil
	}
	if plain, ok := s.Reveal(); ok {
		key, err := tx.dataKey(*doc.Head().SpaceID)
		if err != nil {
			return err
		}
		boxes[field] = key.Seal(kind, id, field, []byte(plain))
	}
	return nil
}
