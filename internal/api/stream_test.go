package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// stream is one client that follows a task.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func (r *rig) follow(task, last string) *stream {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/tasks/"+task+"/events", http.NoBody)
	check(r.t, err)
	req.Header.Set("X-Octopus-ApiKey", r.key)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	check(r.t, err)
	s := &stream{t: r.t, lines: bufio.NewScanner(resp.Body), close: func() { cancel(); resp.Body.Close() }}
	r.t.Cleanup(s.close)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		r.t.Fatalf("status %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return s
}

// upTo reads events to the first of that name: "note 3 …, task 3 …".
func (s *stream) upTo(name string) string {
	s.t.Helper()
	var seen []string
	event, id := "", ""
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			event, id = value, "-"
		case "id":
			id = value
		case "data":
			seen = append(seen, fmt.Sprintf("%s %s %s", event, id, value))
		case "":
			if event == name {
				return strings.Join(seen, "\n")
			}
		}
	}
	s.t.Fatalf("the stream ended before %q, after %v: %v", name, seen, s.lines.Err())
	return ""
}

// state changes a task as its owner does.
func (r *rig) state(id string, change func(*store.Task)) {
	r.t.Helper()
	check(r.t, r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		task, err := store.GetTask(tx, id)
		if err != nil {
			return err
		}
		change(task)
		return store.UpdateTask(tx, task)
	}))
}

func (r *rig) say(task, text string) {
	r.t.Helper()
	check(r.t, r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		return store.Say(tx, task, rollout.Note{Category: "Info", Step: -1, Action: -1, Text: text})
	}))
}

func TestTaskIsFollowedAndGoneOnWith(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var id string
	check(t, r.db.Write(t.Context(), func(tx *store.Tx) (err error) {
		if id, err = tx.NextID("ServerTasks"); err != nil {
			return err
		}
		return store.InsertTask(tx, &store.Task{ID: id, SpaceID: "Spaces-1", Name: "Health", State: store.TaskQueued, Description: "Look"})
	}))
	r.say(id, "first")
	s := r.follow(id, "")
	got := s.upTo("task")
	if !strings.HasPrefix(got, `note - {"Number":1,`) || !strings.Contains(got, "\ntask 1 {") || !strings.Contains(got, `"State":"Queued"`) {
		t.Errorf("the beginning: %s", got)
	}
	r.say(id, "second")
	r.state(id, func(t *store.Task) { t.State = store.TaskExecuting })
	for !strings.Contains(got, `"State":"Executing"`) {
		got = s.upTo("task")
	}
	s.close()

	r.say(id, "third")
	s = r.follow(id, "1")
	got = s.upTo("task")
	if strings.Contains(got, "first") || !strings.Contains(got, "note 2 ") || !strings.Contains(got, `"MessageText":"third"`) || !strings.Contains(got, "\ntask 3 {") {
		t.Errorf("gone on with: %s", got)
	}
	r.state(id, func(t *store.Task) { t.State, t.CompletedTime = store.TaskSuccess, 1 })
	if got = s.upTo("end"); !strings.Contains(got, `"FinishedSuccessfully":true`) {
		t.Errorf("the end: %s", got)
	}
	for s.lines.Scan() {
		if s.lines.Text() != "" {
			t.Errorf("the stream goes on after the task: %q", s.lines.Text())
		}
	}

	for _, path := range []string{id + "/events?lastEventId=x", id + "/events?lastEventId=-1"} {
		if status, body := r.send("GET", "/api/tasks/"+path, nil); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := r.send("GET", "/api/tasks/ServerTasks-404/events", nil); status != 404 {
		t.Errorf("no such task: %d", status)
	}
}

// deadlines is an answer whose connection notes until when it may be read.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error { d.read = at; return nil }
func (d *deadlines) SetWriteDeadline(time.Time) error   { return nil }

// A stream ends by itself before the connection's deadline does it: net/http
// cancels a connection whose deadline has passed, and a client that comes again
// on it would be refused, whatever it asks for.
func TestTheConnectionOutlivesAStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var id string
	check(t, r.db.Write(t.Context(), func(tx *store.Tx) (err error) {
		if id, err = tx.NextID("ServerTasks"); err != nil {
			return err
		}
		return store.InsertTask(tx, &store.Task{ID: id, SpaceID: "Spaces-1", Name: "Health", State: store.TaskSuccess, Description: "Look"})
	}))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/tasks/"+id+"/events", http.NoBody)
	req.Header.Set("X-Octopus-ApiKey", r.key)
	answer := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	began := time.Now()
	r.handler.ServeHTTP(answer, req)
	const life = time.Minute // of a stream
	if left := answer.read.Sub(began); left < life+time.Second || !strings.Contains(answer.Body.String(), "event: end") {
		t.Errorf("the connection may be read for %v: %s", left, answer.Body)
	}
}

// A request that is cut off says so, instead of blaming the server and naming a
// log entry that there is not.
func TestACutOffRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/tasks", http.NoBody)
	req.Header.Set("X-Octopus-ApiKey", r.key)
	answer := httptest.NewRecorder()
	r.handler.ServeHTTP(answer, req)
	if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "cut off") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
