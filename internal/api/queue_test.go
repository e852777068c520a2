package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// Clients that follow Page.Next see each task once, though new ones come; the
// queue is put in another order by who may, and each task says what it waits for.
func TestTasksByPageAndPriority(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	queue := func(from, to int) {
		storetest.Write(t, r.db, func(tx *store.Tx) error {
			for i := from; i < to; i++ {
				task := &store.Task{ID: fmt.Sprint("ServerTasks-", i), SpaceID: "Spaces-1", Name: "Deploy", Description: "Deploy", State: store.TaskQueued, ProjectID: "Projects-1"}
				if err := store.InsertTask(tx, task); err != nil {
					return err
				}
			}
			return nil
		})
	}
	queue(9000, 9070)
	seen := map[string]bool{}
	for next, pages := "/api/Spaces-1/tasks?name=Deploy&take=30", 0; next != ""; pages++ {
		page := r.get(next)
		for _, item := range page.items() {
			id := item.text("Id")
			if seen[id] {
				t.Errorf("%s is on two pages", id)
			}
			seen[id] = true
		}
		next = page.text("Links", "Page.Next")
		if pages == 0 {
			queue(9100, 9110)
			if !strings.Contains(next, "before=ServerTasks-9040") {
				t.Errorf("the next page is %s", next)
			}
		}
		if pages > 5 {
			t.Fatal("the pages do not end")
		}
	}
	if len(seen) != 70 {
		t.Errorf("saw %d of 70", len(seen))
	}
	task := r.get("/api/Spaces-1/tasks/ServerTasks-9069")
	if !strings.Contains(task.text("WaitsFor"), "69 queued tasks are before it") {
		t.Errorf("it waits for %q", task.text("WaitsFor"))
	}
	first := r.want(200, "POST", task.text("Links", "Prioritize"), nil)
	if first["Priority"] != 1.0 || strings.Contains(first.text("WaitsFor"), "before it") {
		t.Errorf("%v waits for %q", first["Priority"], first.text("WaitsFor"))
	}
	r.want(400, "POST", "/api/tasks/ServerTasks-9068/prioritize", map[string]any{"Priority": 10_000_000})
	if given := r.want(200, "POST", "/api/tasks/ServerTasks-9068/prioritize", map[string]any{"Priority": 7}); given["Priority"] != 7.0 {
		t.Errorf("%v", given["Priority"])
	}
	r.want(200, "POST", "/api/tasks/ServerTasks-9068/cancel", nil)
	r.want(400, "POST", "/api/tasks/ServerTasks-9068/prioritize", nil)
}
