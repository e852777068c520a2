package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// histogram has a count of turns up to each bound, in seconds.
func histogram(name string, counts map[string]float64) figures {
	f := figures{metrics: map[string]float64{}}
	for upTo, n := range counts {
		f.metrics[name+`_bucket{le="`+upTo+`"}`] = n
	}
	return f
}

// A quantile is of what came in between two moments, by straight line within
// its bucket.
func TestQuantileOfAHistogram(t *testing.T) {
	t.Parallel()
	before := histogram("turn", map[string]float64{"0.1": 50, "0.2": 50, "+Inf": 50})
	after := histogram("turn", map[string]float64{"0.1": 50, "0.2": 150, "+Inf": 151})
	for q, want := range map[float64]time.Duration{0.5: 150500 * time.Microsecond, 1: 200 * time.Millisecond} {
		if got := after.quantile(before, "turn", q); (got - want).Abs() > time.Millisecond {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := after.quantile(after, "turn", 0.5); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}

func TestReadTimings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "slipway.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `CREATE TABLE rollout_event (rollout_id, seq, at, kind, json);
		CREATE TABLE attempt (id, rollout_id, created_at, started_at, ended_at);
		INSERT INTO attempt VALUES ('a', 't', 1000, 1020, 1100), ('b', 'other', 1000, 1500, 1600);
		INSERT INTO rollout_event VALUES ('t', 1, 1020, 'Started', '{"Attempt":"a"}'), ('t', 2, 1107, 'Ended', '{"Attempt":"a"}'), ('other', 1, 1700, 'Ended', '{"Attempt":"b"}')`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	events, got, err := readTimings(context.Background(), file, "t")
	if err != nil || events != 2 || len(got.start) != 1 || got.start[0] != 20*time.Millisecond || got.record[0] != 7*time.Millisecond {
		t.Errorf("events %d, timings %v, error %v", events, got, err)
	}
}

func TestScaleReport(t *testing.T) {
	t.Parallel()
	done := func(machines int, rows float64) cost {
		after := figures{memory: 60e6, peak: 70e6, disk: 1000, cpu: time.Second, metrics: map[string]float64{
			transactions: 20, rowsWritten: rows, bytesCarried: 100 * rows, turnSeconds + "_count": 9, agentCommits: 6, waitSeconds + "_count": 2 * float64(machines),
		}}
		return cost{
			kind: "simulated", machines: machines, actions: 1, took: 2 * time.Second, before: figures{memory: 50e6, metrics: map[string]float64{}},
			after: after, events: 4 * machines, timings: timings{start: []time.Duration{5 * time.Millisecond}, record: []time.Duration{3 * time.Millisecond}},
		}
	}
	r := scaled{costs: []cost{done(1000, 20000), done(10, 250)}, perIdle: 55e3, starts: "1010 0"}
	got := r.markdown()
	for _, want := range []string{
		"| 1000 | simulated | 2.00 | 50.0 | 70.0 | 1.00 | 20.0 | 2000 | 1 | 20 | 9 | 6 | 10.0 |\n",
		"| 10 × 1 | 40 | 6.25 | 625 | 25.0 | 2500 | 1.00 | 100.00 |\n| 1000 × 1 | 4000 | 5.00 | 500 | 20.0 | 2000 | 0.80 | 1.00 |\n",
		"| 1000 simulated, all at once | 1 | 5.0 | 5.0 | 3.0 | 3.0 |\n",
		"| 55.0 kB | < 60 kB |\n", "| 1010, 0 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
}
