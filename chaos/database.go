package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	_ "modernc.org/sqlite"
)

// database opens what the servers keep, for reading.
func (r *run) database() (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+filepath.Join(r.dir, "data", "slipway.db")+"?mode=ro&_pragma=busy_timeout(10000)")
}

// attemptRows are all attempts as the server has them, and checks that the
// database is whole (fault 23).
func (r *run) attemptRows(ctx context.Context) (list []*attemptRow, err error) {
	db, err := r.database()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var sound string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		r.violation("the database is damaged: %s, %v", sound, err)
	}
	rows, err := db.QueryContext(ctx, `SELECT id, rollout_id, step, action, member, try, outcome, reason FROM attempt ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		a := new(attemptRow)
		if err := rows.Scan(&a.id, &a.task, &a.step, &a.action, &a.member, &a.try, &a.outcome, &a.reason); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}
