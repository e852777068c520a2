package store

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// TaskQuery narrows a list of tasks; empty fields match all.
type TaskQuery struct {
	Spaces        []string
	IDs           []string
	States        []TaskState
	Name          string
	ProjectID     string
	EnvironmentID string
	TenantID      string
	DeploymentIDs []string
	Asking        bool // only those that wait for an answer
	// Before is the id of a task: only those that come after it in the list. It
	// costs nothing, where a large Skip costs what it skips.
	Before     string
	Skip, Take int
}

// mostTaskLists bounds how many queries one list is put together from.
const mostTaskLists = 64

// ListTasks reads tasks, newest first, and how many match in all, whatever
// comes before the page. What it reads is bounded by the page where the filters
// are those of an index, however many tasks there are.
func ListTasks(tx *Tx, q TaskQuery) (tasks []Task, total int, err error) {
	if total, err = countTasks(tx, q); err != nil || total == 0 {
		return nil, total, err
	}
	q.Take, q.Skip = max(q.Take, 1), max(q.Skip, 0)
	lists := taskLists(q)
	for _, list := range lists {
		query, args := list.page(len(lists) == 1)
		some, err := readRows(tx, "tasks", query, scanTask, args...)
		if err != nil {
			return nil, 0, err
		}
		tasks = append(tasks, some...)
	}
	if len(lists) > 1 {
		slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(b.Ord, a.Ord) })
		tasks = tasks[min(q.Skip, len(tasks)):]
		tasks = tasks[:min(q.Take, len(tasks))]
	}
	return tasks, total, nil
}

// taskLists divides a query over several spaces and states into queries over
// one of each, which an index has in order. Tasks that are not over are so few
// that they need no division.
func taskLists(q TaskQuery) []TaskQuery {
	if q.few() || len(q.Spaces)*len(q.States) > mostTaskLists {
		return []TaskQuery{q}
	}
	lists := []TaskQuery{q}
	if len(q.Spaces) > 1 {
		lists = nil
		for _, space := range slices.Compact(slices.Sorted(slices.Values(q.Spaces))) {
			one := q
			one.Spaces = []string{space}
			lists = append(lists, one)
		}
	}
	if len(q.States) < 2 {
		return lists
	}
	var each []TaskQuery
	for _, state := range slices.Compact(slices.Sorted(slices.Values(q.States))) {
		for _, one := range lists {
			one.States = []TaskState{state}
			each = append(each, one)
		}
	}
	return each
}

// page reads one page; unless it is the only list, what would be skipped too,
// because others take part in the order.
func (q TaskQuery) page(only bool) (query string, args []any) {
	where := q.where()
	if q.Before != "" {
		where.args = append(where.args, resource.Ordinal(q.Before))
		where.parts = append(where.parts, fmt.Sprintf("ord < $%d", len(where.args)))
		q.Skip = 0
	}
	if !only {
		q.Take, q.Skip = q.Take+q.Skip, 0
	}
	order := "ord"
	if q.few() {
		order = "ord + 0"
	}
	page := fmt.Sprintf(` ORDER BY %s DESC LIMIT $%d OFFSET $%d`, order, len(where.args)+1, len(where.args)+2)
	return `SELECT ` + taskColumns + ` FROM task` + where.sql() + page, append(where.args, q.Take, q.Skip)
}

// few says that the query is over rows that are named one by one, or wait for
// an answer: they are looked up, and no other index is gone along.
func (q TaskQuery) few() bool { return q.IDs != nil || q.DeploymentIDs != nil || q.Asking }

func (q TaskQuery) where() *conditions {
	where := &conditions{}
	aside := "" // makes an expression of a column, which no index has
	if q.few() {
		aside = " || ''"
	}
	where.in("id", q.IDs)
	where.in("deployment_id", q.DeploymentIDs)
	if len(q.DeploymentIDs) > 0 {
		where.parts = append(where.parts, "deployment_id <> ''") // what its index holds
	}
	if q.Asking {
		where.parts = append(where.parts, "id IN (SELECT rollout_id FROM interruption WHERE closed_at = 0 AND answered_at = 0)")
	}
	where.in("space_id"+aside, q.Spaces)
	where.in("state"+aside, q.States)
	where.equal("name"+aside, q.Name)
	where.equal("project_id"+aside, q.ProjectID)
	where.equal("environment_id"+aside, q.EnvironmentID)
	where.equal("tenant_id"+aside, q.TenantID)
	return where
}

func countTasks(tx *Tx, q TaskQuery) (total int, err error) {
	query, args := q.count()
	if err := tx.queryRow(query, args...).Scan(&total); err != nil {
		return 0, fmt.Errorf("count tasks: %w", err)
	}
	return total, nil
}

// count counts what matches: from the counts where they have the filter, else
// by an index that has only what is asked for.
func (q TaskQuery) count() (query string, args []any) {
	query = `SELECT COUNT(*) FROM task`
	if !q.few() && q.TenantID == "" {
		query = `SELECT COALESCE(SUM(n), 0) FROM task_count`
	}
	where := q.where()
	return query + where.sql(), where.args
}

// CountTasks counts tasks by state, in the given spaces or in all.
func CountTasks(tx *Tx, spaces []string) (map[TaskState]int, error) {
	var where conditions
	where.in("space_id", spaces)
	type count struct {
		state TaskState
		n     int
	}
	rows, err := readRows(tx, "task counts", `SELECT state, SUM(n) FROM task_count`+where.sql()+` GROUP BY state`,
		func(r *sql.Rows, c *count) error { return r.Scan(&c.state, &c.n) }, where.args...)
	counts := map[TaskState]int{}
	for _, c := range rows {
		counts[c.state] = c.n
	}
	return counts, err
}

// Prioritize changes how urgent a queued task is: the highest first, and the
// older of two. A nil priority puts it before all that are queued. Tasks that
// have begun are refused.
func Prioritize(tx *Tx, id string, priority *int) (*Task, error) {
	task, err := GetTask(tx, id)
	if err != nil {
		return nil, err
	}
	if task.State != TaskQueued {
		return nil, resource.Errorf(resource.PreconditionFailed, "The task '%s' is not queued any more (%s); there is nothing to put before others.", id, task.State)
	}
	if priority == nil {
		var most int
		if err := tx.queryRow(`SELECT COALESCE(MAX(priority), 0) FROM task WHERE state = 'Queued' AND id <> $1`, id).Scan(&most); err != nil {
			return nil, fmt.Errorf("prioritize task %s: %w", id, err)
		}
		most = max(task.Priority, most+1)
		priority = &most
	}
	task.Priority = *priority
	if _, err := tx.exec(`UPDATE task SET priority = $2, updated_time = $3 WHERE id = $1`, id, task.Priority, tx.Now().UnixMilli()); err != nil {
		return nil, fmt.Errorf("prioritize task %s: %w", id, err)
	}
	notifyTask(tx, id)
	tx.Notify(TopicWork)
	return task, nil
}

// QueuedBefore is how many queued tasks are more urgent than this one.
func QueuedBefore(tx *Tx, t *Task) (n int, err error) {
	err = tx.queryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM task WHERE state = 'Queued' AND queue_time <= $4 AND (priority > $1 OR priority = $1 AND ord < $2) LIMIT $3) AS before`,
		t.Priority, t.Ord, mostBefore, tx.Now().UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the queue before %s: %w", t.ID, err)
	}
	return n, nil
}

// mostBefore is where counting the queue ends.
const mostBefore = 1000

// conditions builds a WHERE clause with bound parameters only (abuse 66).
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) equal(column, value string) {
	if value != "" {
		c.args = append(c.args, value)
		c.parts = append(c.parts, fmt.Sprintf("%s = $%d", column, len(c.args)))
	}
}

// in adds nothing for a nil list and matches nothing for an empty one
// (abuse 33).
func (c *conditions) in(column string, values any) {
	var marks []string
	add := func(v any) {
		c.args = append(c.args, v)
		marks = append(marks, fmt.Sprintf("$%d", len(c.args)))
	}
	switch list := values.(type) {
	case []string:
		if list == nil {
			return
		}
		for _, v := range list {
			add(v)
		}
	case []TaskState:
		if list == nil {
			return
		}
		for _, v := range list {
			add(string(v))
		}
	}
	switch len(marks) {
	case 0:
		c.parts = append(c.parts, "1 = 0")
	case 1:
		c.parts = append(c.parts, column+" = "+marks[0])
	default:
		c.parts = append(c.parts, column+" IN ("+strings.Join(marks, ",")+")")
	}
}

func (c *conditions) sql() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}
