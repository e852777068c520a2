package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// queued puts deployments of three projects into the queue, oldest first.
func (r *rig) queued(ids ...string) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		for _, id := range ids {
			task := &store.Task{ID: id, SpaceID: space, Name: "Deploy", Description: "Deploy", State: store.TaskQueued, ProjectID: r.project.ID}
			if strings.HasSuffix(id, "9") {
				task.QueueTime = time.Now().Add(time.Hour).UnixMilli()
			}
			if err := store.InsertTask(tx, task); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *rig) waitsFor(id string) string {
	r.t.Helper()
	task, err := r.Task(r.t.Context(), r.who, space, id)
	check(r.t, err)
	return task.WaitsFor
}

// Each queued task says what it waits for, also where nobody holds it up.
func TestQueuedTasksSayWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.queued("ServerTasks-901", "ServerTasks-902", "ServerTasks-909")
	for id, says := range map[string]string{
		"ServerTasks-901": "a server node to begin it, since 20",
		"ServerTasks-902": "1 queued tasks are before it",
		"ServerTasks-909": "its start time, 20",
	} {
		if got := r.waitsFor(id); !strings.Contains(got, says) {
			t.Errorf("%s waits for %q", id, got)
		}
	}
	r.restored()
	r.queued("ServerTasks-903")
	if got := r.waitsFor("ServerTasks-903"); !strings.Contains(got, "restored from a backup") {
		t.Errorf("it waits for %q", got)
	}
	details, err := r.TaskDetails(t.Context(), r.who, space, "ServerTasks-903")
	check(t, err)
	if !strings.Contains(details.Task.WaitsFor, "restored from a backup") {
		t.Errorf("its details wait for %q", details.Task.WaitsFor)
	}
}

// Who may edit tasks decides about the queue, not everybody who may deploy or
// cancel (abuse 94); what has begun or ended has no place in it.
func TestPrioritize(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.queued("ServerTasks-901", "ServerTasks-902", "ServerTasks-903")
	top, err := r.Prioritize(t.Context(), r.who, space, "ServerTasks-903", nil)
	check(t, err)
	if top.Priority != 1 || !strings.HasPrefix(top.WaitsFor, "a server node to begin it") || strings.Contains(top.WaitsFor, "before it") {
		t.Errorf("%+v", top)
	}
	low := -3
	if _, err := r.Prioritize(t.Context(), r.who, space, "ServerTasks-901", &low); err != nil {
		t.Fatal(err)
	}
	if got := r.waitsFor("ServerTasks-901"); !strings.Contains(got, "2 queued tasks are before it") {
		t.Errorf("the last waits for %q", got)
	}
	high := deploy.MostUrgent + 1
	if _, err := r.Prioritize(t.Context(), r.who, space, "ServerTasks-901", &high); resource.CodeOf(err) != resource.Invalid {
		t.Error(err)
	}
	deployer := app.Caller{Subject: authz.Subject{UserID: "Users-5", Username: "deployer", Grants: []authz.Grant{{
		Space: space, Permissions: authz.SetOf(authz.TaskView, authz.TaskCancel, authz.DeploymentCreate),
		Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Any(), Tenants: authz.Any(),
	}}}}
	if _, err := r.Prioritize(t.Context(), deployer, space, "ServerTasks-902", nil); resource.CodeOf(err) != resource.Forbidden {
		t.Error(err)
	}
	if _, err := r.CancelTask(t.Context(), r.who, space, "ServerTasks-902"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prioritize(t.Context(), r.who, space, "ServerTasks-902", nil); resource.CodeOf(err) != resource.PreconditionFailed {
		t.Error(err)
	}
	var events []string
	check(t, r.db.Read(t.Context(), func(tx *store.Tx) error {
		list, _, err := store.ListEvents(tx, store.EventQuery{Spaces: []string{space}, Take: 50})
		for i := range list {
			events = append(events, list[i].Message)
		}
		return err
	}))
	if !slices.ContainsFunc(events, func(m string) bool { return strings.Contains(m, "was given the priority 1") }) {
		t.Errorf("the audit has %q", events)
	}
}

// A page after another begins behind its last task, whatever came meanwhile.
func TestPagesOfTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.queued("ServerTasks-901", "ServerTasks-902", "ServerTasks-903")
	first, total, _, next, err := r.Tasks(t.Context(), r.who, store.TaskQuery{Spaces: []string{space}, Take: 2})
	check(t, err)
	if len(first) != 2 || total != 3 || next != "ServerTasks-902" {
		t.Errorf("%d of %d, then %s", len(first), total, next)
	}
	r.queued("ServerTasks-904")
	second, total, counts, next, err := r.Tasks(t.Context(), r.who, store.TaskQuery{Spaces: []string{space}, Take: 2, Before: next})
	check(t, err)
	if len(second) != 1 || second[0].ID != "ServerTasks-901" || total != 4 || next != "" || counts[store.TaskQueued] != 4 {
		t.Errorf("%+v of %d, then %q, %v", second, total, next, counts)
	}
}
