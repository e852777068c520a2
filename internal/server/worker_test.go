package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Two agents' keys, and the subscriptions that go with them.
var (
	keyA, keyB = strings.Repeat("A1", 20), strings.Repeat("B2", 20)
	subA, subB = "poll://aaaaaaaaaaaaaaaaaaaa/", "poll://bbbbbbbbbbbbbbbbbbbb/"
)

// fakeWorker is the test program in the place of the agent.
type fakeWorker struct {
	t                        *testing.T
	does                     string
	file                     string // with the process id of one that stays
	thumbprint, subscription string
	err                      error
	stdout                   io.Writer
	preparing                func() // nil: nothing

	mu       sync.Mutex
	prepared [][3]string
	commands []*exec.Cmd
}

func newWorker(t *testing.T, does string) *fakeWorker {
	t.Helper()
	return &fakeWorker{t: t, does: does, file: filepath.Join(t.TempDir(), "pid"), thumbprint: keyA, subscription: subA}
}

func (w *fakeWorker) Prepare(home, address, serverThumbprint string) (thumbprint, subscription string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.preparing != nil {
		w.preparing()
	}
	w.prepared = append(w.prepared, [3]string{home, address, serverThumbprint})
	return w.thumbprint, w.subscription, w.err
}

func (w *fakeWorker) Command(ctx context.Context, home string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		w.t.Error(err)
	}
	cmd := exec.CommandContext(ctx, program, home)
	cmd.Env = append(os.Environ(), workerDoes+"="+w.does, workerSays+"="+w.file)
	cmd.Stdout = w.stdout
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, cmd)
	return cmd
}

func (w *fakeWorker) started() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.commands)
}

// pid is of the process that stays, 0 as long as there is none.
func (w *fakeWorker) pid() int {
	text, _ := os.ReadFile(w.file)
	pid, _ := strconv.Atoi(string(text))
	return pid
}

// workerAnswer is a worker as the API shows it.
type workerAnswer struct {
	ID              string `json:"Id"`
	Name            string
	Thumbprint      string
	URI             string   `json:"Uri"`
	WorkerPoolIDs   []string `json:"WorkerPoolIds"`
	MachinePolicyID string   `json:"MachinePolicyId"`
}

func (r *running) workers() []workerAnswer {
	r.t.Helper()
	var list struct{ Items []workerAnswer }
	r.must(http.MethodGet, "/api/workers", nil, &list)
	return list.Items
}

// builtIn waits for the worker that has the key and subscription.
func (r *running) builtIn(thumbprint, subscription string) (found workerAnswer) {
	r.t.Helper()
	eventually(r.t, "the worker is registered", func() bool {
		for _, w := range r.workers() {
			if strings.EqualFold(w.Thumbprint, thumbprint) && w.URI == subscription {
				found = w
				return true
			}
		}
		return false
	})
	return found
}

// The worker is prepared for this server, runs while the server does, and is
// gone when the server has stopped.
func TestWorkerRunsWithTheServer(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "stays")
	cfg.Worker = w
	r := run(t, cfg)
	eventually(t, "the worker runs", func() bool { return w.pid() > 0 })
	agents := r.AgentsAddr().String()
	r.stop()
	home := filepath.Join(cfg.Data, "worker")
	if want := [3]string{home, agents, r.Thumbprint()}; len(w.prepared) != 1 || w.prepared[0] != want {
		t.Errorf("prepared: %v, want %v", w.prepared, want)
	}
	if len(w.commands) != 1 || w.commands[0].ProcessState == nil {
		t.Fatalf("%d processes, or one that was not waited for", len(w.commands))
	}
	if cmd := w.commands[0]; cmd.Process.Pid != w.pid() || cmd.ProcessState.Success() || cmd.Args[1] != home {
		t.Errorf("process %d for %q: %s", cmd.Process.Pid, cmd.Args[1:], cmd.ProcessState)
	}
}

// One that ends is started again, not at once but soon.
func TestWorkerIsRestarted(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "ends")
	cfg.Worker = w
	began := time.Now()
	r := run(t, cfg)
	eventually(t, "the worker is started again", func() bool { return w.started() > 1 })
	if took := time.Since(began); took < time.Second {
		t.Errorf("started again after %s: it would spin", took)
	}
	if r.me() != "admin" {
		t.Error("the server suffers from its worker")
	}
	r.stop()
	if len(w.prepared) != 1 {
		t.Errorf("prepared %d times", len(w.prepared))
	}
}

// A process that the worker left behind holds its output open; the server
// stops all the same.
func TestWorkerLeavesAProcess(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "leaves")
	w.stdout = io.MultiWriter() // no file: the end of the output is waited for
	cfg.Worker, cfg.Grace = w, 100*time.Millisecond
	r := run(t, cfg)
	eventually(t, "the worker's child runs", func() bool { return w.pid() > 0 })
	t.Cleanup(func() {
		if child, err := os.FindProcess(w.pid()); err == nil {
			_ = child.Kill()
		}
	})
	asked := time.Now()
	r.stop()
	if took := time.Since(asked); took > 5*time.Second {
		t.Errorf("stopped after %s", took)
	}
}

// A worker that cannot be prepared ends the server with the reason.
func TestWorkerCannotBePrepared(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "stays")
	w.err = errors.New("the disk is full")
	cfg.Worker = w
	r := open(t, cfg)
	if err := r.Run(t.Context()); !errors.Is(err, w.err) || !strings.Contains(err.Error(), "prepare the worker") {
		t.Errorf("Run: %v", err)
	}
	if w.started() > 0 {
		t.Error("started all the same")
	}
}

// Without a port for agents there is none for the worker either.
func TestNoWorkerWithoutAgents(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "stays")
	cfg.Worker, cfg.Agents = w, ""
	r := run(t, cfg)
	if r.me() != "admin" {
		t.Error("the API does not answer")
	}
	r.stop()
	if len(w.prepared)+len(w.commands) > 0 {
		t.Error("prepared or started")
	}
}

// The worker's document follows the agent's identity: whichever part of it
// changes, and whatever people call it, there is one document.
func TestWorkerDocument(t *testing.T) {
	t.Parallel()
	cfg, w := config(t), newWorker(t, "stays")
	cfg.Worker = w
	var first workerAnswer
	for i, c := range []struct {
		what, thumbprint, subscription, rename string
	}{
		{"the first start", keyA, subA, ""},
		{"the same again", keyA, subA, ""},
		{"another subscription", keyA, subB, ""},
		{"another key", keyB, subB, ""},
		{"a new home: both are others", keyA, subA, "Server's own"},
		{"another key, under the name people gave it", keyB, subA, ""},
		{"another subscription, under that name", keyB, subB, ""},
	} {
		w.thumbprint, w.subscription = c.thumbprint, c.subscription
		r := run(t, cfg)
		now := r.builtIn(c.thumbprint, c.subscription)
		if i == 0 {
			first = now
			var pool, policy struct{ Name string }
			r.must(http.MethodGet, "/api/workerpools/"+now.WorkerPoolIDs[0], nil, &pool)
			r.must(http.MethodGet, "/api/machinepolicies/"+now.MachinePolicyID, nil, &policy)
			if now.Name != "Built-in worker" || len(now.WorkerPoolIDs) != 1 || pool.Name != "Default Worker Pool" || policy.Name != "Default Machine Policy" {
				t.Errorf("%s: %+v in %q under %q", c.what, now, pool.Name, policy.Name)
			}
		}
		if all := r.workers(); now.ID != first.ID || len(all) != 1 {
			t.Errorf("%s: %+v", c.what, all)
		}
		if c.rename != "" {
			var doc map[string]any
			r.must(http.MethodGet, "/api/workers/"+now.ID, nil, &doc)
			doc["Name"] = c.rename
			r.must(http.MethodPut, "/api/workers/"+now.ID, doc, nil)
		}
		r.stop()
	}
}

// A worker that people registered before the server had one of its own is not
// taken over, and a pool that sorts before the default one gets nothing.
func TestOtherWorkersAreLeftAlone(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := run(t, cfg)
	var pool struct {
		ID string `json:"Id"`
	}
	r.must(http.MethodPost, "/api/workerpools", map[string]any{"Name": "A pool", "WorkerPoolType": "StaticWorkerPool", "SortOrder": -1}, &pool)
	var theirs workerAnswer
	r.must(http.MethodPost, "/api/workers", map[string]any{
		"Name": "Theirs", "WorkerPoolIds": []string{pool.ID}, "MachinePolicyId": "MachinePolicies-1",
		"Endpoint": resource.PollingEndpoint(subB, keyB),
	}, &theirs)
	r.stop()
	w := newWorker(t, "stays")
	cfg.Worker = w
	r = run(t, cfg)
	own := r.builtIn(keyA, subA)
	if all := r.workers(); len(all) != 2 || own.ID == theirs.ID || own.WorkerPoolIDs[0] == pool.ID {
		t.Errorf("workers: %+v", all)
	}
	if still := r.builtIn(keyB, subB); still.ID != theirs.ID || still.Name != "Theirs" {
		t.Errorf("theirs: %+v", still)
	}
	r.stop()
}
