package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
)

// attemptRow is an attempt as the server has it.
type attemptRow struct {
	id, task, member, outcome, reason string
	step, action, try                 int
}

// cell is what may be started once.
func (a *attemptRow) cell() string {
	return fmt.Sprintf("%s step %d action %d on %s", a.task, a.step, a.action, a.member)
}

// settle waits until every task has ended, and returns them by project.
func (r *run) settle(ctx context.Context, limit time.Duration) (map[*project][]client.Task, error) {
	tasks := map[*project][]client.Task{}
	var open []string
	err := poll(ctx, "the end of every task", time.Second, limit, func() (bool, error) {
		open = nil
		for _, p := range r.projects {
			list, err := r.tasksOf(ctx, p)
			if err != nil {
				return false, err
			}
			tasks[p] = list
			for i := range list {
				if !list[i].IsCompleted {
					open = append(open, fmt.Sprintf("%s (%s, %s %s)", list[i].ID, p.name, list[i].State, list[i].WaitsFor))
				}
			}
		}
		r.log("progress %d tasks are still to end", len(open))
		return len(open) == 0, nil
	})
	for _, task := range open {
		r.violation("%s never ended", task)
	}
	return tasks, err
}

// check compares what the server says with what the scripts have written.
func (r *run) check(ctx context.Context, tasks map[*project][]client.Task) error {
	if err := r.truth.look(r.machines); err != nil {
		return err
	}
	rows, err := r.attemptRows(ctx)
	if err != nil {
		return fmt.Errorf("read the attempts: %w", err)
	}
	byTask := map[string][]*attemptRow{}
	for _, a := range rows {
		byTask[a.task] = append(byTask[a.task], a)
	}
	r.checkStarts(rows)
	r.checkOverlaps(rows)
	r.nameUnknowns(rows)
	for p, list := range tasks {
		for i := range list {
			r.checkTask(p, &list[i], byTask[list[i].ID])
			if err := r.checkLogs(ctx, p, list[i].ID, byTask[list[i].ID]); err != nil {
				return fmt.Errorf("read the log of %s: %w", list[i].ID, err)
			}
		}
	}
	return r.checkProcessLogs()
}

// checkStarts looks for scripts that ran twice: an attempt, or a cell after one
// that may have started, or one that the server says has not started.
func (r *run) checkStarts(rows []*attemptRow) {
	runs := r.truth.all()
	known, started := map[string]bool{}, map[string][]string{}
	for _, a := range rows {
		known[a.id] = true
		run := runs[a.id]
		if run == nil {
			continue
		}
		started[a.cell()] = append(started[a.cell()], a.id)
		if a.outcome == "NotStarted" {
			r.violation("%s is NotStarted (%s), and its script has started", a.id, a.reason)
		}
	}
	r.t.change(func(t *tally) { t.Attempts, t.Scripts = len(rows), len(runs) })
	for id, run := range runs {
		if run.starts != 1 {
			r.doubled("attempt %s started %d times", id, run.starts)
		}
		if !known[id] {
			r.violation("attempt %s has started, and the server does not know it", id)
		}
	}
	for cell, ids := range started {
		if len(ids) > 1 {
			r.doubled("%s was started by %s", cell, strings.Join(ids, " and "))
		}
	}
}

func (r *run) doubled(format string, args ...any) {
	r.t.change(func(t *tally) { t.DoubledStarts++ })
	r.violation(format, args...)
}

// checkOverlaps looks for two scripts at once on one machine, each of which has
// it for itself, and for more machines at once than the window allows
// (invariant I8). What a keeper that was killed has left running does not count:
// its outcome is Unknown.
func (r *run) checkOverlaps(rows []*attemptRow) {
	type moment struct {
		at   float64
		step int
	}
	machines, windows := map[string][]moment{}, map[string][]moment{}
	limits := map[string]int{}
	for _, a := range rows {
		run := r.truth.all()[a.id]
		if run == nil || run.ends == 0 || a.outcome == "Unknown" {
			continue
		}
		span := []moment{{run.startedAt, 1}, {run.endedAt, -1}}
		machines[run.machine] = append(machines[run.machine], span...)
		if limit := r.limitOf(a); limit > 0 {
			key := fmt.Sprintf("%s step %d", a.task, a.step)
			limits[key] = limit
			windows[key] = append(windows[key], span...)
		}
	}
	most := func(list []moment) (most int) {
		slices.SortFunc(list, func(a, b moment) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step)) })
		now := 0
		for _, m := range list {
			now += m.step
			most = max(most, now)
		}
		return most
	}
	for machine, list := range machines {
		if n := most(list); n > 1 {
			r.violation("%d scripts ran at once on %s", n, machine)
		}
	}
	for key, list := range windows {
		if n := most(list); n > limits[key] {
			r.violation("%s ran on %d machines at once, its window is %d", key, n, limits[key])
		}
	}
}

func (r *run) limitOf(a *attemptRow) int {
	for _, p := range r.projects {
		if r.projectOf[a.task] == p && a.step < len(p.steps) {
			return p.steps[a.step].limit
		}
	}
	return 0
}

// nameUnknowns names the cause of each Unknown, and of each attempt without an
// outcome. Only a keeper that was killed may leave one (faults 9 and 11).
func (r *run) nameUnknowns(rows []*attemptRow) {
	machine := map[string]string{}
	for _, a := range r.agents {
		machine[a.id] = a.name
	}
	for _, a := range rows {
		if a.outcome == "" {
			r.violation("attempt %s has no outcome", a.id)
		}
		if a.outcome != "Unknown" {
			continue
		}
		sum := sha256.Sum256([]byte(a.id))
		cause := ""
		r.mu.Lock()
		if hits := r.shimsHit[machine[a.member]]; r.shimsDead[hex.EncodeToString(sum[:16])] {
			cause = "fault 11: keeper killed with its agent"
		} else if len(hits) > 0 {
			cause = "fault 9/11: " + hits[0]
			r.shimsHit[machine[a.member]] = hits[1:]
		}
		r.mu.Unlock()
		if cause == "" || !strings.Contains(a.reason, "process gone") {
			r.violation("attempt %s is Unknown without a fault that allows it: %s", a.id, a.reason)
			cause = "not allowed"
		}
		r.log("unknown %s: %s (%s)", a.id, a.reason, cause)
		r.t.change(func(t *tally) { t.Unknown[cause]++ })
	}
}

// checkTask looks for a green that is not true, and counts.
func (r *run) checkTask(p *project, task *client.Task, rows []*attemptRow) {
	r.mu.Lock()
	canceled := r.asked[task.ID]
	r.mu.Unlock()
	good := task.State == client.TaskSuccess
	r.t.change(func(t *tally) {
		t.Rollouts++
		if !p.fails && !canceled {
			t.Ordinary++
			if good {
				t.Succeeded++
			}
		}
	})
	if !good {
		r.log("%s of %s ended %s: %s", task.ID, p.name, task.State, task.ErrorMessage)
		if !p.fails && !canceled && !slices.ContainsFunc(rows, func(row *attemptRow) bool { return row.outcome == "Unknown" }) {
			r.violation("%s of %s ended %s, and no outcome of it is Unknown: %s", task.ID, p.name, task.State, task.ErrorMessage)
		}
		return
	}
	runs := r.truth.all()
	for i := range p.steps {
		for _, a := range r.agents {
			if !p.steps[i].of(a) {
				continue
			}
			if !slices.ContainsFunc(rows, func(row *attemptRow) bool {
				run := runs[row.id]
				return row.step == i && row.member == a.id && run != nil && run.ends == 1 && run.code == 0
			}) {
				r.t.change(func(t *tally) { t.FalseGreens++ })
				r.violation("%s of %s is a success, and step %d has not ended well on %s", task.ID, p.name, i+1, a.name)
			}
		}
	}
}

// checkLogs compares the log that the server shows with what the scripts have
// printed.
func (r *run) checkLogs(ctx context.Context, p *project, task string, rows []*attemptRow) error {
	var text bytes.Buffer
	if err := r.on(ctx, time.Minute, func(c *client.Client) error {
		text.Reset()
		return c.TaskLog(ctx, task, &text)
	}); err != nil {
		return err
	}
	printed := map[string][]string{}
	in := bufio.NewScanner(&text)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if _, line, ok := strings.Cut(in.Text(), " | "); ok && strings.HasPrefix(line, task+".") {
			attempt, _, _ := strings.Cut(line, " ")
			printed[attempt] = append(printed[attempt], line)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	for _, row := range rows {
		if run := r.truth.all()[row.id]; run != nil && row.step < len(p.steps) {
			r.checkLog(row, run, &p.steps[row.step].script, printed[row.id])
		}
		delete(printed, row.id)
	}
	for attempt := range printed {
		r.violation("the log of %s holds lines of %s, which it has not", task, attempt)
	}
	return nil
}

// checkLog compares one attempt's log. All lines are there if its script came
// to its end under its keeper; otherwise there is a beginning without gaps.
func (r *run) checkLog(row *attemptRow, run *scriptRun, s *script, got []string) {
	tail := strings.Repeat("x", s.tail)
	want := func(i int) string { return row.id + " " + strconv.Itoa(i+1) + " " + tail }
	whole := run.ends > 0 && row.outcome != "Unknown"
	wrong, size := int64(0), int64(0)
	for i := range max(len(got), s.lines) {
		switch {
		case i >= len(got):
			if whole {
				wrong += int64(len(want(i)) + 1)
			}
		case i >= s.lines || got[i] != want(i):
			wrong += int64(len(got[i]) + 1)
		default:
			size += int64(len(got[i]) + 1)
		}
	}
	r.t.change(func(t *tally) {
		t.LogBytes += size
		t.LostLogBytes += wrong
	})
	if wrong > 0 {
		r.violation("the log of %s (%s) differs from what its script printed by %d bytes: %d lines of %d", row.id, row.outcome, wrong, len(got), s.lines)
	}
}

// checkProcessLogs looks for panics.
func (r *run) checkProcessLogs() error {
	files, err := filepath.Glob(filepath.Join(r.dir, "logs", "*.log"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if bytes.Contains(line, []byte("panic:")) || bytes.HasPrefix(line, []byte("fatal error:")) {
				r.violation("%s: %s", filepath.Base(file), bytes.TrimSpace(line))
				break
			}
		}
	}
	return nil
}
