package client_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

// A stream that is cut off is gone on with from the last id; comments are signs
// of life.
func TestTaskEvents(t *testing.T) {
	t.Parallel()
	var asked []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Query().Get("lastEventId") == "" {
			fmt.Fprint(w, "retry: 1000\n\nevent: activity\ndata: {\"Id\":\"a\"}\n\n: alive\n\nevent: task\nid: 7\ndata: {}\n\nevent: note\nid: 9\nda")
			return
		}
		fmt.Fprint(w, "event: end\nid: 8\ndata: {}\n\nevent: never\ndata: {}\n\n")
	})
	c := open(t, client.Config{URL: server.URL, APIKey: "API-X"})
	last := ""
	var seen []string
	see := func(e client.Event) bool {
		last = e.ID
		seen = append(seen, fmt.Sprintf("%s/%s/%s", e.Name, e.ID, e.Data))
		return e.Name == "end"
	}
	for range 2 {
		if err := c.TaskEvents(t.Context(), "ServerTasks-1", last, see); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(seen, " "); got != `activity//{"Id":"a"} // task/7/{} end/8/{}` {
		t.Errorf("events: %s", got)
	}
	if got := strings.Join(asked, " "); got != "/api/tasks/ServerTasks-1/events /api/tasks/ServerTasks-1/events?lastEventId=7" {
		t.Errorf("asked: %s", got)
	}
}
