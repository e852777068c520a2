package task_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/task"
	"github.com/slipwayhq/slipway/internal/client"
)

// desk is a console whose clock moves only when the program waits.
type desk struct {
	*console.Console
	out, err bytes.Buffer
	mu       sync.Mutex
	at       time.Time
}

func newDesk(terminal console.Terminal) *desk {
	d := &desk{at: now()}
	d.Console = &console.Console{
		In: strings.NewReader(""), Out: &d.out, Err: &d.err, Terminal: terminal, Format: console.Table,
		Env: func(string) string { return "" }, Version: "test",
		Now: func() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.at },
		Pause: func(ctx context.Context, by time.Duration) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.at = d.at.Add(by)
			return context.Cause(ctx)
		},
	}
	return d
}

type screen struct{ tty bool }

func (s screen) IsTerminal(any) bool         { return s.tty }
func (s screen) Size() (int, int, bool)      { return 60, 10, s.tty }
func (s screen) ReadSecret() (string, error) { return "", errors.New("no") }

// story serves one details document after the other, the last one for ever.
// An empty one is a connection that breaks.
func story(t *testing.T, acts ...string) *client.Client {
	t.Helper()
	next := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		act := acts[min(next, len(acts)-1)]
		next++
		if act == "" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		_, _ = io.WriteString(w, act)
	}))
	t.Cleanup(server.Close)
	cl, err := client.New(client.Config{URL: server.URL, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

const (
	queued  = `{"Task":{"Id":"ServerTasks-1","Description":"Deploy","State":"Queued"},"ActivityLogs":[]}`
	running = `{"Task":{"Id":"ServerTasks-1","Description":"Deploy","State":"Executing"},"ActivityLogs":[{"Id":"r","Name":"Deploy","Status":"Running","Children":[{"Id":"1","Name":"Step 1","Status":"Running","Children":[{"Id":"2","Name":"web-01","Status":"Running"}]}]}]}`
	done    = `{"Task":{"Id":"ServerTasks-1","Description":"Deploy","State":"Success","IsCompleted":true,"Duration":"3 seconds"},"ActivityLogs":[{"Id":"r","Name":"Deploy","Status":"Success","Children":[{"Id":"1","Name":"Step 1","Status":"Success","Children":[{"Id":"2","Name":"web-01","Status":"Success"}]}]}]}`
)

func wait(t *testing.T, d *desk, cl *client.Client) int {
	t.Helper()
	flags := task.WaitFlags{Wait: true}
	return d.Exit(flags.Run(t.Context(), d.Console, cl, []string{"ServerTasks-1"}))
}

func TestPlainLinesSayEachChangeOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(screen{})
	if code := wait(t, d, story(t, queued, running, running, done)); code != console.ExitSuccess {
		t.Fatalf("exit code %d: %s", code, &d.err)
	}
	want := "12:00:42  ServerTasks-1 Deploy: queued\n" +
		"12:00:43  ServerTasks-1 Deploy: running\n" +
		"12:00:43  Step 1: running\n" +
		"12:00:43  Step 1 / web-01: running\n" +
		"12:00:45  ServerTasks-1 Deploy: succeeded\n" +
		"12:00:45  Step 1: success\n" +
		"12:00:45  Step 1 / web-01: success\n"
	if d.err.String() != want {
		t.Errorf("got\n%swant\n%s", &d.err, want)
	}
	if d.out.String() != "ServerTasks-1 Deploy: succeeded in 3 seconds\n" {
		t.Errorf("result %q", &d.out)
	}
}

// TestTheTreeIsRedrawnInPlace plays the escapes on a small screen: after the
// end it shows the last state and nothing of the ones before.
func TestTheTreeIsRedrawnInPlace(t *testing.T) {
	t.Parallel()
	d := newDesk(screen{tty: true})
	d.NoColor = true
	if code := wait(t, d, story(t, running, queued, done)); code != console.ExitSuccess {
		t.Fatalf("exit code %d: %s", code, &d.err)
	}
	want := "ServerTasks-1  Deploy  succeeded\n  ✓ Step 1  1 of 1\n    ✓ web-01\n"
	if got := play(t, d.err.String()); got != want {
		t.Errorf("the screen shows\n%swant\n%s", got, want)
	}
}

// play interprets the few escapes the tree uses.
func play(t *testing.T, text string) string {
	t.Helper()
	lines, row := []string{""}, 0
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AKJ")
			n := 0
			for _, r := range text[2:end] {
				n = n*10 + int(r-'0')
			}
			switch text[end] {
			case 'A':
				row -= n
			case 'K':
				lines[row] = ""
			case 'J':
				lines = append(lines[:row:row], "")
			}
			text = text[end+1:]
		case text[0] == '\r':
			text = text[1:]
		case text[0] == '\n':
			row++
			if row == len(lines) {
				lines = append(lines, "")
			}
			text = text[1:]
		default:
			n := strings.IndexAny(text, "\x1b\r\n")
			if n < 0 {
				t.Fatalf("unfinished line %q", text)
			}
			lines[row] += text[:n]
			text = text[n:]
		}
	}
	return strings.Join(lines, "\n")
}

// TestAWaitOutlivesAServerRestart: the server is away for a while, the wait
// goes on; it is away for good, the outcome is unknown, never success (P1).
func TestAWaitOutlivesAServerRestart(t *testing.T) {
	t.Parallel()
	d := newDesk(screen{})
	if code := wait(t, d, story(t, running, "", "", "", done)); code != console.ExitSuccess {
		t.Fatalf("exit code %d: %s", code, &d.err)
	}
	if strings.Count(d.err.String(), "Waiting for it to come back") != 1 {
		t.Errorf("stderr: %s", &d.err)
	}
	d = newDesk(screen{})
	if code := wait(t, d, story(t, running, "")); code != console.ExitUnknown {
		t.Errorf("exit code %d, want %d: %s", code, console.ExitUnknown, &d.err)
	}
	if spent := d.at.Sub(now()); spent < 2*time.Minute || spent > 3*time.Minute {
		t.Errorf("gave up after %s", spent)
	}
}

func TestAnInterruptedWaitIsUnknown(t *testing.T) {
	t.Parallel()
	d := newDesk(screen{})
	ctx, cancel := context.WithCancelCause(t.Context())
	d.Pause = func(ctx context.Context, _ time.Duration) error { cancel(context.Canceled); return context.Cause(ctx) }
	flags := task.WaitFlags{Wait: true}
	err := flags.Run(ctx, d.Console, story(t, running), []string{"ServerTasks-1"})
	if code := d.Exit(err); code != console.ExitUnknown || !strings.Contains(d.err.String(), "ServerTasks-1 goes on") {
		t.Errorf("exit code %d: %s", code, &d.err)
	}
}
