package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	_ "modernc.org/sqlite" // reads the server's database
)

// timings are the waits around scripts: from the moment an attempt was made to
// the start of its script, and from the script's end to the commit of that
// report. Agents and server share a clock here.
type timings struct{ start, record []time.Duration }

func (t *timings) add(o timings) {
	t.start = append(t.start, o.start...)
	t.record = append(t.record, o.record...)
}

// quantile of a list that need not be sorted.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = sorted(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

// readTimings reads a task's attempts, and how many events its history has,
// from the database of the running server.
func readTimings(ctx context.Context, file, task string) (events int, t timings, err error) {
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return 0, t, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM rollout_event WHERE rollout_id = $1`, task).Scan(&events); err != nil {
		return 0, t, fmt.Errorf("count the events of %s: %w", task, err)
	}
	rows, err := db.QueryContext(ctx, `SELECT a.started_at - a.created_at, e.at - a.ended_at
		FROM rollout_event e JOIN attempt a ON a.id = json_extract(e.json, '$.Attempt')
		WHERE e.rollout_id = $1 AND e.kind = 'Ended'`, task)
	if err != nil {
		return 0, t, fmt.Errorf("read the attempts of %s: %w", task, err)
	}
	defer rows.Close()
	for rows.Next() {
		var start, record int64
		if err := rows.Scan(&start, &record); err != nil {
			return 0, t, err
		}
		t.start = append(t.start, time.Duration(start)*time.Millisecond)
		t.record = append(t.record, time.Duration(record)*time.Millisecond)
	}
	slices.Sort(t.start)
	slices.Sort(t.record)
	return events, t, rows.Err()
}
