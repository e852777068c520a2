package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"

	"github.com/slipwayhq/slipway/internal/resource"
)

// maxSeal is how many records one seal covers at most.
const maxSeal = 1000

// seal closes the chain over the records after one number up to another.
type seal struct {
	after, upto int64
	records     int
	sum         string
}

// SealAudit chains the records that are not chained yet: each seal is the
// SHA-256 of the one before and of the records since (design 4). Call it about
// once a second, on one node at a time. It returns how many records it sealed;
// maxSeal of them mean that more may wait.
//
// Records get their numbers under the write lock, so a lower number never
// commits after a higher one.
func SealAudit(tx *Tx) (int, error) {
	var last seal
	err := tx.queryRow(`SELECT upto, sum FROM audit_seal ORDER BY upto DESC LIMIT 1`).Scan(&last.upto, &last.sum)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("seal audit: %w", err)
	}
	next, err := tx.chain(last, 1<<63-1, maxSeal)
	if err != nil || next.records == 0 {
		return 0, err
	}
	_, err = tx.exec(`INSERT INTO audit_seal (upto, after, records, sum, sealed) VALUES ($1, $2, $3, $4, $5)`,
		next.upto, next.after, next.records, next.sum, tx.now.UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("seal audit: %w", err)
	}
	return next.records, nil
}

// VerifyAudit recomputes the chain. Records that were changed, removed or put
// in between are PreconditionFailed, and the message says where.
func VerifyAudit(tx *Tx) error {
	seals, err := readRows(tx, "verify audit", `SELECT after, upto, records, sum FROM audit_seal ORDER BY upto`,
		func(r *sql.Rows, s *seal) error { return r.Scan(&s.after, &s.upto, &s.records, &s.sum) })
	if err != nil {
		return err
	}
	var last seal
	for _, s := range seals {
		got, err := tx.chain(last, s.upto, 1<<31)
		if err != nil {
			return err
		}
		if got != s {
			return resource.Errorf(resource.PreconditionFailed, "The audit was changed between Events-%d and Events-%d. Compare it with a backup.", last.upto+1, s.upto)
		}
		last = s
	}
	return nil
}

// chain is the seal over the records after another up to a number.
func (tx *Tx) chain(last seal, upto int64, limit int) (seal, error) {
	next := seal{after: last.upto, upto: last.upto}
	h := sha256.New()
	h.Write([]byte(last.sum))
	rows, err := tx.query(`SELECT ord, space_id, category, user_id, username, is_service, established_with, user_agent, ip_address, occurred,
		message, message_references, comments, details, changes FROM audit WHERE ord > $1 AND ord <= $2 ORDER BY ord LIMIT $3`, last.upto, upto, limit)
	if err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if next.upto, err = hashRow(h, rows, 15); err != nil {
			return next, fmt.Errorf("chain audit: %w", err)
		}
		next.records++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	documents, err := tx.query(`SELECT ord, document_id FROM audit_document WHERE ord > $1 AND ord <= $2 ORDER BY ord, document_id`, last.upto, next.upto)
	if err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	defer documents.Close()
	for documents.Next() {
		if _, err := hashRow(h, documents, 2); err != nil {
			return next, fmt.Errorf("chain audit: %w", err)
		}
	}
	next.sum = hex.EncodeToString(h.Sum(nil))
	return next, documents.Err()
}

// hashRow adds a row as a JSON array, which no other row has.
func hashRow(h hash.Hash, rows *sql.Rows, columns int) (ord int64, err error) {
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return 0, err
	}
	ord, _ = values[0].(int64)
	line, err := json.Marshal(values)
	if err != nil {
		return 0, err
	}
	_, err = h.Write(append(line, '\n'))
	return ord, err
}
