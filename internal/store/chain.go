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
// once a second. It returns how many records it sealed; maxSeal of them mean
// that more may wait.
//
// Nodes take numbers in blocks, so a lower one may commit after a higher one:
// each record names the seal that it is under. A seal's number is that of its
// last record, or one more than the last seal's where that is higher.
func SealAudit(tx *Tx) (int, error) {
	var last seal
	err := tx.queryRow(`SELECT upto, sum FROM audit_seal ORDER BY upto DESC LIMIT 1`).Scan(&last.upto, &last.sum)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("seal audit: %w", err)
	}
	var newest int64
	err = tx.queryRow(`SELECT COALESCE(MAX(ord), 0) FROM (SELECT ord FROM audit WHERE seal = 0 ORDER BY ord LIMIT $1) fresh`, maxSeal).Scan(&newest)
	if err != nil || newest == 0 {
		return 0, err
	}
	number := max(newest, last.upto+1)
	if _, err := tx.exec(`UPDATE audit SET seal = $1 WHERE seal = 0 AND ord <= $2`, number, newest); err != nil {
		return 0, fmt.Errorf("seal audit: %w", err)
	}
	next, err := tx.chain(last, number)
	if err != nil {
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
		got, err := tx.chain(last, s.upto)
		if err != nil {
			return err
		}
		//guard:chain I11: a changed record breaks the chain; seen by ./internal/store TestChangedAuditIsFound
		if got != s {
			return resource.Errorf(resource.PreconditionFailed, "The audit was changed between Events-%d and Events-%d. Compare it with a backup.", last.upto+1, s.upto)
		}
		last = s
	}
	var loose int64
	err = tx.queryRow(`SELECT COALESCE(MIN(ord), 0) FROM audit WHERE seal > 0 AND NOT EXISTS (SELECT 1 FROM audit_seal WHERE upto = audit.seal)`).Scan(&loose)
	//guard:chain-end I11: a seal that is gone is missed; less `loose == 0`, with `loose >= 0`; seen by ./internal/store TestChangedAuditIsFound
	if err != nil || loose == 0 {
		return err
	}
	return resource.Errorf(resource.PreconditionFailed, "The audit was changed: the seal of Events-%d is gone. Compare it with a backup.", loose)
}

// chain is a seal over the records that name it, after another.
func (tx *Tx) chain(last seal, number int64) (seal, error) {
	next := seal{after: last.upto, upto: number}
	h := sha256.New()
	h.Write([]byte(last.sum))
	rows, err := tx.query(`SELECT ord, space_id, category, user_id, username, is_service, established_with, user_agent, ip_address, occurred,
		message, message_references, comments, details, changes FROM audit WHERE seal = $1 ORDER BY ord`, number)
	if err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := hashRow(h, rows, 15); err != nil {
			return next, fmt.Errorf("chain audit: %w", err)
		}
		next.records++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	documents, err := tx.query(`SELECT d.ord, d.document_id FROM audit_document d JOIN audit a ON a.ord = d.ord WHERE a.seal = $1
		ORDER BY d.ord, d.document_id`, number)
	if err != nil {
		return next, fmt.Errorf("chain audit: %w", err)
	}
	defer documents.Close()
	for documents.Next() {
		if err := hashRow(h, documents, 2); err != nil {
			return next, fmt.Errorf("chain audit: %w", err)
		}
	}
	next.sum = hex.EncodeToString(h.Sum(nil))
	return next, documents.Err()
}

// hashRow adds a row as a JSON array, which no other row has.
func hashRow(h hash.Hash, rows *sql.Rows, columns int) error {
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	line, err := json.Marshal(values)
	if err != nil {
		return err
	}
	_, err = h.Write(append(line, '\n'))
	return err
}
