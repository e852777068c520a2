package store_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// openTasks is a store with n tasks: two spaces, 50 projects, 5 environments,
// 20 tenants; most are over, every thousandth waits or runs.
func openTasks(tb testing.TB, n int) *store.DB {
	tb.Helper()
	folder := tb.TempDir()
	keys, err := secret.Load(folder)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := store.Open(tb.Context(), store.Config{Path: folder, Database: storetest.Database(tb), Keys: keys, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	const each = 20_000 // a statement has its time limit
	for from := 1; from <= n; from += each {
		to := min(from+each-1, n)
		err := db.Exec(tb.Context(), `INSERT INTO task (id, ord, space_id, name, description, state, arguments, project_id, environment_id, tenant_id, deployment_id,
			priority, queue_time, expiry_time, start_time, completed_time, updated_time, has_warnings, error, waits_for, created_by, node)
		WITH RECURSIVE made(i) AS (SELECT `+strconv.Itoa(from)+` UNION ALL SELECT i + 1 FROM made WHERE i < `+strconv.Itoa(to)+`)
		SELECT 'ServerTasks-' || i, i, 'Spaces-' || (1 + i % 2), CASE WHEN i % 10 = 3 THEN 'Health' ELSE 'Deploy' END, 'Deploy a release to somewhere',
			CASE WHEN i % 1000 = 7 THEN 'Queued' WHEN i % 1000 = 8 THEN 'Executing' WHEN i % 100 = 9 THEN 'Failed' ELSE 'Success' END, '{"DeploymentId":"Deployments-1"}',
			'Projects-' || (i / 7 % 50), 'Environments-' || (i % 5), CASE WHEN i % 3 = 0 THEN 'Tenants-' || (i / 11 % 20) ELSE '' END, 'Deployments-' || i, 0,
			1, 0, 1, 1, 1, 0, '', '', 'Users-1', 'node-1' FROM made`)
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Exec(tb.Context(), analyze()); err != nil {
		tb.Fatal(err)
	}
	return db
}

// analyze is what PostgreSQL does by itself after a while, and SQLite never.
func analyze() string {
	if os.Getenv(storetest.PostgresEnv) != "" {
		return `ANALYZE`
	}
	return `SELECT 1`
}

// listing is how people and clients look at tasks.
type listing struct {
	q     store.TaskQuery
	along string // what SQLite's plan says about where it goes along
}

func listings(n int) map[string]listing {
	one, both := []string{"Spaces-1"}, []string{"Spaces-1", "Spaces-2"}
	active := []store.TaskState{store.TaskQueued, store.TaskExecuting, store.TaskCancelling}
	over := []store.TaskState{store.TaskSuccess, store.TaskFailed}
	third := "ServerTasks-" + strconv.Itoa(n/3)
	return map[string]listing{
		"all":                  {store.TaskQuery{}, "task_by_ord"},
		"space":                {store.TaskQuery{Spaces: one}, "task_by_space "},
		"spaces":               {store.TaskQuery{Spaces: both}, "task_by_space "},
		"active":               {store.TaskQuery{Spaces: one, States: active}, "task_by_space_state "},
		"active everywhere":    {store.TaskQuery{States: active}, "task_by_state "},
		"failed":               {store.TaskQuery{Spaces: one, States: []store.TaskState{store.TaskFailed}}, "task_by_space_state "},
		"none canceled":        {store.TaskQuery{Spaces: both, States: []store.TaskState{store.TaskCanceled, store.TaskTimedOut}}, "task_by_space_state "},
		"over":                 {store.TaskQuery{Spaces: both, States: over}, "task_by_space_state "},
		"kind":                 {store.TaskQuery{Spaces: []string{"Spaces-2"}, Name: "Health"}, "task_by_space_name "},
		"project":              {store.TaskQuery{Spaces: one, ProjectID: "Projects-3"}, "project_id=?"},
		"failed of a project":  {store.TaskQuery{Spaces: one, ProjectID: "Projects-3", States: over[1:]}, "task_of_project_state "},
		"project, environment": {store.TaskQuery{Spaces: one, ProjectID: "Projects-3", EnvironmentID: "Environments-4"}, "task_by_project "},
		"environment":          {store.TaskQuery{Spaces: one, EnvironmentID: "Environments-4"}, "environment_id=?"},
		"tenant":               {store.TaskQuery{Spaces: one, TenantID: "Tenants-4"}, "task_of_tenant "},
		"ids":                  {store.TaskQuery{Spaces: one, IDs: []string{"ServerTasks-8", "ServerTasks-" + strconv.Itoa(n/2)}}, "(id=?)"},
		"deployments":          {store.TaskQuery{Spaces: one, DeploymentIDs: []string{"Deployments-7", "Deployments-8"}}, "task_by_deployment "},
		"asking":               {store.TaskQuery{Spaces: one, Asking: true}, "(id=?)"},
		"deep, by key":         {store.TaskQuery{Spaces: one, Before: third}, "task_by_space "},
		"deep, over, by key":   {store.TaskQuery{Spaces: both, States: over, Before: third}, "task_by_space_state "},
	}
}

// No list of tasks reads or sorts the whole table, whatever it is narrowed by:
// each goes along an index that has its order. On PostgreSQL the rows that were
// read are counted.
func TestNoListOfTasksReadsThemAll(t *testing.T) {
	t.Parallel()
	const n = 30_000
	db := openTasks(t, n)
	for name, l := range listings(n) {
		l.q.Take = 30
		queries, args := store.TaskSQL(l.q)
		for i, query := range queries {
			if strings.Contains(query, "task_count") {
				continue // a row per project, environment, kind and state
			}
			steps, err := db.Explain(t.Context(), query, args[i]...)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if plan := strings.Join(steps, "\n"); !strings.Contains(plan, l.along) && os.Getenv(storetest.PostgresEnv) == "" {
				t.Errorf("%s: it does not go along %s\n%s\n%s", name, l.along, query, plan)
			}
			for _, step := range steps {
				if trouble := scans(step, name); trouble != "" {
					t.Errorf("%s: %s\n%s\n%s", name, trouble, query, strings.Join(steps, "\n"))
				}
			}
		}
	}
}

// scans says what is wrong with a step of a plan.
func scans(step, name string) string {
	whole := name == "all"
	switch {
	case strings.Contains(step, "SCAN task") && !(whole && strings.Contains(step, "USING INDEX task_by_ord")), strings.Contains(step, "Seq Scan on task "):
		return "reads the table"
	case strings.Contains(step, "TEMP B-TREE FOR ORDER BY") && !slices.Contains([]string{"ids", "deployments", "asking"}, name):
		return "sorts"
	case strings.Contains(step, "Rows Removed by Filter: "):
		_, text, _ := strings.Cut(step, "Filter: ")
		if removed, err := strconv.Atoi(strings.Fields(text)[0]); err != nil || removed > 2000 {
			return "reads too much"
		}
	}
	return ""
}

// All lists, page by page by key, are what filtering all tasks gives, and the
// counts are right after every kind of change.
func TestListsOfTasksAreRight(t *testing.T) {
	t.Parallel()
	const n = 3_000
	db := openTasks(t, n)
	change(t, db)
	var all []store.Task
	storetest.Read(t, db, func(tx *store.Tx) (err error) {
		all, _, err = store.ListTasks(tx, store.TaskQuery{Take: n + 10})
		return err
	})
	if len(all) != n+1 {
		t.Fatalf("%d tasks", len(all))
	}
	for name, l := range listings(n) {
		q := l.q
		if q.Asking {
			continue
		}
		var want []string
		for i := range all {
			if inList(&all[i], q) {
				want = append(want, all[i].ID)
			}
		}
		total := len(want)
		if q.Before != "" {
			want = slices.DeleteFunc(want, func(id string) bool { return resource.Ordinal(id) >= resource.Ordinal(q.Before) })
		}
		for how, pages := range map[string]func(store.TaskQuery) ([]string, int){
			"by key":  func(q store.TaskQuery) ([]string, int) { return pagesByKey(t, db, q) },
			"by skip": func(q store.TaskQuery) ([]string, int) { return pagesBySkip(t, db, q) },
		} {
			if q.Before != "" && how == "by skip" {
				continue
			}
			got, said := pages(q)
			if !slices.Equal(got, want) || said != total {
				t.Errorf("%s %s: %d tasks of %d, want %d of %d", name, how, len(got), said, len(want), total)
			}
		}
	}
	storetest.Read(t, db, func(tx *store.Tx) error {
		counts, err := store.CountTasks(tx, []string{"Spaces-1"})
		for state, n := range counts {
			if n != len(slices.DeleteFunc(slices.Clone(all), func(t store.Task) bool { return t.SpaceID != "Spaces-1" || t.State != state })) {
				t.Errorf("%d tasks are said to be %s", n, state)
			}
		}
		return err
	})
}

// change does to tasks all that can be done to them.
func change(t *testing.T, db *store.DB) {
	t.Helper()
	storetest.Write(t, db, func(tx *store.Tx) error {
		if err := store.CancelTask(tx, "ServerTasks-7", "ann"); err != nil {
			return err
		}
		return store.InsertTask(tx, &store.Task{ID: "ServerTasks-900001", SpaceID: "Spaces-1", Name: "Deploy", State: store.TaskQueued, ProjectID: "Projects-new"})
	})
	storetest.Write(t, db, func(tx *store.Tx) error {
		task, err := store.GetTask(tx, "ServerTasks-900001")
		if err != nil {
			return err
		}
		task.State = store.TaskExecuting
		if err := store.UpdateTask(tx, task); err != nil {
			return err
		}
		task.State = store.TaskFailed
		return store.UpdateTask(tx, task)
	})
	if err := db.Exec(t.Context(), `DELETE FROM task WHERE id = 'ServerTasks-11'`); err != nil {
		t.Fatal(err)
	}
	storetest.Write(t, db, func(tx *store.Tx) error {
		return store.InsertTask(tx, &store.Task{ID: "ServerTasks-900002", SpaceID: "Spaces-2", Name: "Health", State: store.TaskQueued})
	})
}

func inList(t *store.Task, q store.TaskQuery) bool {
	in := func(list []string, id string) bool { return list == nil || slices.Contains(list, id) }
	is := func(want, id string) bool { return want == "" || want == id }
	return in(q.Spaces, t.SpaceID) && in(q.IDs, t.ID) && in(q.DeploymentIDs, t.DeploymentID) && (q.States == nil || slices.Contains(q.States, t.State)) &&
		is(q.Name, t.Name) && is(q.ProjectID, t.ProjectID) && is(q.EnvironmentID, t.EnvironmentID) && is(q.TenantID, t.TenantID)
}

func pagesByKey(t *testing.T, db *store.DB, q store.TaskQuery) (ids []string, total int) {
	t.Helper()
	for q.Take = 997; ; q.Before = ids[len(ids)-1] {
		page, n := listTasks(t, db, q)
		if total = n; len(page) == 0 {
			return ids, total
		}
		ids = append(ids, page...)
	}
}

func pagesBySkip(t *testing.T, db *store.DB, q store.TaskQuery) (ids []string, total int) {
	t.Helper()
	for q.Take = 701; ; q.Skip = len(ids) {
		page, n := listTasks(t, db, q)
		if total = n; len(page) == 0 {
			return ids, total
		}
		ids = append(ids, page...)
	}
}

func listTasks(tb testing.TB, db *store.DB, q store.TaskQuery) (ids []string, total int) {
	tb.Helper()
	err := db.Read(tb.Context(), func(tx *store.Tx) error {
		tasks, n, err := store.ListTasks(tx, q)
		for i := range tasks {
			ids = append(ids, tasks[i].ID)
		}
		total = n
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return ids, total
}

// The most urgent is first, whoever queued it when; what has begun is past it.
func TestPrioritize(t *testing.T) {
	t.Parallel()
	db := openTasks(t, 10)
	queued := func(id string) {
		storetest.Write(t, db, func(tx *store.Tx) error {
			return store.InsertTask(tx, &store.Task{ID: id, SpaceID: "Spaces-1", Name: "Deploy", State: store.TaskQueued})
		})
	}
	for i := range 4 {
		queued(fmt.Sprint("ServerTasks-10", i))
	}
	prioritize := func(id string, priority *int) (task *store.Task, err error) {
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			task, err = store.Prioritize(tx, id, priority)
			return err
		})
		return task, err
	}
	before := func(id string) (n int) {
		storetest.Read(t, db, func(tx *store.Tx) error {
			task, err := store.GetTask(tx, id)
			if err != nil {
				return err
			}
			n, err = store.QueuedBefore(tx, task)
			return err
		})
		return n
	}
	if n := before("ServerTasks-103"); n != 4 { // 7 of the ten waits too
		t.Errorf("%d before the last", n)
	}
	for _, id := range []string{"ServerTasks-102", "ServerTasks-103"} {
		if _, err := prioritize(id, nil); err != nil {
			t.Fatal(err)
		}
		if n := before(id); n != 0 {
			t.Errorf("%d before %s", n, id)
		}
	}
	low := -1
	if task, err := prioritize("ServerTasks-103", &low); err != nil || task.Priority != -1 || before("ServerTasks-103") != 4 {
		t.Error(task, err)
	}
	if _, err := prioritize("ServerTasks-8", nil); resource.CodeOf(err) != resource.PreconditionFailed {
		t.Errorf("a task that runs: %v", err)
	}
	if _, err := prioritize("ServerTasks-99", nil); resource.CodeOf(err) != resource.NotFound {
		t.Error(err)
	}
}

// BenchmarkMillionTasks lists a million tasks, 30 at a time: `make bench-tasks`.
func BenchmarkMillionTasks(b *testing.B) {
	const n = 1_000_000
	began := time.Now()
	db := openTasks(b, n)
	b.Logf("%d tasks made in %s", n, time.Since(began).Round(time.Millisecond))
	for name, l := range listings(n) {
		q := l.q
		q.Take = 30
		b.Run(name, func(b *testing.B) {
			var longest time.Duration
			for b.Loop() {
				start := time.Now()
				listTasks(b, db, q)
				longest = max(longest, time.Since(start))
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/list")
		})
	}
	b.Run("insert and end", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			err := db.Write(context.WithoutCancel(b.Context()), func(tx *store.Tx) error {
				task := &store.Task{ID: fmt.Sprint("ServerTasks-", 2*n+i), SpaceID: "Spaces-1", Name: "Deploy", State: store.TaskQueued, ProjectID: "Projects-1"}
				if err := store.InsertTask(tx, task); err != nil {
					return err
				}
				task.State = store.TaskSuccess
				return store.UpdateTask(tx, task)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
