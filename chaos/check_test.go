package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
)

// aRun is a run with two machines, one project of one step, and what scripts
// have written.
func aRun(t *testing.T, lines map[string][]string) *run {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	p := &project{name: "P", steps: []step{{limit: 1, script: script{lines: 2, tail: 3}}}}
	r := &run{
		form: "test", out: t.Output(), began: time.Now(), truth: newTruth(dir), logFile: log, projects: []*project{p}, machines: []string{"m00", "m01"},
		asked: map[string]bool{}, projectOf: map[string]*project{"T": p}, shimsDead: map[string]bool{}, shimsHit: map[string][]string{},
	}
	r.t.tally = newTally()
	for i, name := range r.machines {
		a := &agent{id: fmt.Sprint("M-", i), group: i}
		a.name = name
		r.agents = append(r.agents, a)
		if err := os.WriteFile(r.truth.path(name), []byte(strings.Join(lines[name], "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.truth.look(r.machines); err != nil {
		t.Fatal(err)
	}
	return r
}

func row(machine, try int, outcome string) *attemptRow {
	return &attemptRow{
		id: fmt.Sprintf("T.0.0.M-%d.%d", machine, try), task: "T", member: fmt.Sprint("M-", machine), try: try, outcome: outcome,
		reason: "process gone",
	}
}

func starts(machine, try int, from string) string {
	return fmt.Sprintf("start T.0.0.M-%d.%d boot %s 1", machine, try, from)
}

func ends(machine, try int, at string, code int) string {
	return fmt.Sprintf("end T.0.0.M-%d.%d %s %d 2 3", machine, try, at, code)
}

// The checks see what the harness is there to see.
func TestChecksFail(t *testing.T) {
	t.Parallel()
	sound := map[string][]string{
		"m00": {starts(0, 1, "1.0"), ends(0, 1, "2.0", 0)},
		"m01": {starts(1, 1, "3.0"), ends(1, 1, "4.0", 0)},
	}
	good := []*attemptRow{row(0, 1, "Succeeded"), row(1, 1, "Succeeded")}
	for name, c := range map[string]struct {
		truth  map[string][]string
		rows   []*attemptRow
		wants  string // in the first violation; "" none
		counts func(*tally) int
	}{
		"sound": {sound, good, "", func(t *tally) int { return t.Succeeded }},
		"an attempt started twice": {
			map[string][]string{"m00": append(sound["m00"], starts(0, 1, "5.0")), "m01": sound["m01"]},
			good,
			"started 2 times", func(t *tally) int { return t.DoubledStarts },
		},
		"a cell started twice": {
			map[string][]string{"m00": append(sound["m00"], starts(0, 2, "5.0"), ends(0, 2, "6.0", 0)), "m01": sound["m01"]},
			append(good, row(0, 2, "Succeeded")),
			"was started by", func(t *tally) int { return t.DoubledStarts },
		},
		"a green without a script": {
			map[string][]string{"m00": sound["m00"]},
			good,
			"has not ended well on m01", func(t *tally) int { return t.FalseGreens },
		},
		"a green although a script failed": {
			map[string][]string{"m00": sound["m00"], "m01": {starts(1, 1, "3.0"), ends(1, 1, "4.0", 7)}},
			good,
			"has not ended well on m01", func(t *tally) int { return t.FalseGreens },
		},
		"more machines at once than the window": {
			map[string][]string{"m00": sound["m00"], "m01": {starts(1, 1, "1.5"), ends(1, 1, "4.0", 0)}},
			good,
			"its window is 1", func(*tally) int { return 1 },
		},
		"two scripts at once on a machine": {
			map[string][]string{"m00": {starts(0, 1, "1.0"), starts(0, 2, "1.5"), ends(0, 1, "2.0", 0), ends(0, 2, "2.5", 0)}, "m01": sound["m01"]},
			append(good, row(0, 2, "Succeeded")),
			"", func(t *tally) int { return t.DoubledStarts }, // and more
		},
		"started although it is said not to have": {
			sound,
			[]*attemptRow{row(0, 1, "Succeeded"), row(1, 1, "NotStarted")},
			"is NotStarted", func(*tally) int { return 1 },
		},
		"unknown without a cause": {
			sound,
			[]*attemptRow{row(0, 1, "Succeeded"), row(1, 1, "Unknown")},
			"without a fault that allows it", func(t *tally) int { return t.Unknown["not allowed"] },
		},
		"a start that the server does not know": {
			sound, good[:1], "does not know it", func(*tally) int { return 1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := aRun(t, c.truth)
			r.checkStarts(c.rows)
			r.checkOverlaps(c.rows)
			r.nameUnknowns(c.rows)
			r.checkTask(r.projects[0], &client.Task{ID: "T", State: client.TaskSuccess}, c.rows)
			text := strings.Join(r.t.Violations, "\n")
			if (name == "sound") != (text == "") || !strings.Contains(text, c.wants) || c.counts(r.t.tally) == 0 {
				t.Errorf("violations %q, counted %d", text, c.counts(r.t.tally))
			}
		})
	}
}

// Each byte that the log lacks, has twice or has in another place counts.
func TestLogsAreCompared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got     []string
		outcome string
		ended   bool
		wrong   int64
	}{
		"whole":              {[]string{"1 xxx", "2 xxx"}, "Succeeded", true, 0},
		"lost":               {[]string{"1 xxx"}, "Succeeded", true, 18},
		"doubled":            {[]string{"1 xxx", "1 xxx", "2 xxx"}, "Succeeded", true, 36},
		"changed":            {[]string{"1 xxx", "2 xx"}, "Succeeded", true, 17},
		"cut off by a kill":  {[]string{"1 xxx"}, "Unknown", true, 0},
		"canceled":           {nil, "Canceled", false, 0},
		"canceled, with gap": {[]string{"2 xxx"}, "Canceled", false, 18},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := aRun(t, nil)
			a := row(0, 1, c.outcome)
			run := &scriptRun{attempt: a.id}
			if c.ended {
				run.ends = 1
			}
			for i := range c.got {
				c.got[i] = a.id + " " + c.got[i]
			}
			r.checkLog(a, run, &r.projects[0].steps[0].script, c.got)
			if r.t.LostLogBytes != c.wrong || (c.wrong > 0) != (len(r.t.Violations) > 0) {
				t.Errorf("%d bytes are wrong, want %d: %v", r.t.LostLogBytes, c.wrong, r.t.Violations)
			}
		})
	}
}

// A run of too few successes, or of kills at rest, has shown nothing.
func TestSharesAreDemanded(t *testing.T) {
	t.Parallel()
	for want, c := range map[int]tally{
		0: {Succeeded: 95, Ordinary: 100, Running: 80, Kills: 60, Pauses: 40},
		1: {Succeeded: 94, Ordinary: 100, Running: 80, Kills: 60, Pauses: 40},
		2: {Succeeded: 94, Ordinary: 100, Running: 79, Kills: 60, Pauses: 40},
	} {
		if c.shares(100); len(c.Violations) != want {
			t.Errorf("%d violations, want %d: %v", len(c.Violations), want, c.Violations)
		}
	}
}
