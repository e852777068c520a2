package main

import (
	"context"
	"errors"
)

// attemptRows are all attempts as the server has them, and checks that the
// database is whole (fault 23).
func (r *run) attemptRows(ctx context.Context) (list []*attemptRow, err error) {
	db, err := r.shape.database(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := r.shape.sound(ctx, db); err != nil {
		r.violation("the database is damaged: %v", err)
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
