package server_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Who follows a task does not hold up the server's stop, however long requests
// may take to end.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := run(t, cfg)
	alter(t, database(t, cfg.Data), `INSERT INTO task (id, ord, space_id, name, description, state, arguments, project_id, environment_id, tenant_id, deployment_id,
		priority, queue_time, expiry_time, start_time, completed_time, updated_time, has_warnings, error, waits_for, created_by, node)
		VALUES ('ServerTasks-900', 900, 'Spaces-1', 'Endless', 'Endless', 'Executing', '', '', '', '', '', 0, 0, 0, 1, 0, 0, 0, '', '', '', '')`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url("/api/tasks/ServerTasks-900/events"), http.NoBody)
	check(t, err)
	req.Header.Set("X-Octopus-Apikey", r.key)
	resp, err := r.http.Do(req)
	check(t, err)
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	for line := ""; !strings.HasPrefix(line, "data:"); {
		line, err = body.ReadString('\n')
		check(t, err)
	}
	r.end(errors.New("the test stops the server"))
	if rest, err := io.ReadAll(body); err != nil || strings.Contains(string(rest), "event: end") {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	<-r.ended
	check(t, r.err)
}
