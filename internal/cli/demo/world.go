package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
	"github.com/slipwayhq/slipway/internal/client"
)

// errTooLong ends a demo that hangs.
var errTooLong = errors.New("the demo took too long")

// world is all that the demo started.
type world struct {
	c      *console.Console
	sup    *supervisor
	folder string
	began  time.Time

	serverURL, agentsAt string
	thumbprint          string // of the server
	key                 string
	server              *process
	cl                  *client.Client

	token     string // of the balancer
	addresses Addresses
	balancer  balancer.Remote
	agents    map[string]*process
}

// machine is one of the story's machines.
type machine struct {
	name, role string
	polling    bool
}

func fleet() []machine {
	return []machine{
		{"web-1", "web", false},
		{"web-2", "web", false},
		{"web-3", "web", true},
		{"web-4", "web", true},
		{"db-1", "db", false},
		{"lb-1", "lb", false},
	}
}

func newWorld(c *console.Console) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	folder, err := os.MkdirTemp("", "slipway-demo-")
	if err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	return &world{
		c: c, folder: folder, began: c.Now(), sup: &supervisor{self: self, folder: folder},
		key: "API-" + rand.Text(), token: rand.Text(), agents: map[string]*process{},
	}, nil
}

// say tells the story on standard error, with the time since the beginning.
func (w *world) say(format string, args ...any) {
	w.c.Notef("%5.1fs  "+format, append([]any{w.c.Now().Sub(w.began).Seconds()}, args...)...)
}

// open starts the server and the balancer.
func (w *world) open(ctx context.Context) error {
	api, err := freePort(ctx)
	if err != nil {
		return err
	}
	agents, err := freePort(ctx)
	if err != nil {
		return err
	}
	w.serverURL, w.agentsAt = "http://127.0.0.1:"+strconv.Itoa(api), "127.0.0.1:"+strconv.Itoa(agents)
	if w.cl, err = w.c.Connect(console.Target{Server: w.serverURL, APIKey: w.key}); err != nil {
		return err
	}
	if err := w.startServer(ctx); err != nil {
		return err
	}
	if w.thumbprint, err = w.sup.run(ctx, nil, "server", "thumbprint", "--data", filepath.Join(w.folder, "server"), "--format", "basic"); err != nil {
		return err
	}
	return w.startBalancer(ctx)
}

// startServer starts the server, for the first time or after a kill, and waits
// until it answers.
func (w *world) startServer(ctx context.Context) error {
	var err error
	w.server, err = w.sup.start("server", []string{"SLIPWAY_ADMIN_API_KEY=" + w.key},
		"server", "--data", filepath.Join(w.folder, "server"),
		"--listen", strings.TrimPrefix(w.serverURL, "http://"), "--agents", w.agentsAt)
	if err != nil {
		return err
	}
	return until(ctx, "the server answers", 50*time.Millisecond, func() (bool, error) {
		if gone, last := w.server.ended(); gone {
			return false, fmt.Errorf("it has ended: %s", last)
		}
		err := w.cl.Get(ctx, "/api/environments", nil, nil)
		if _, away := errors.AsType[*client.UnreachableError](err); away {
			return false, nil
		}
		return err == nil, err
	})
}

func (w *world) startBalancer(ctx context.Context) error {
	file := filepath.Join(w.folder, "balancer.json")
	p, err := w.sup.start("balancer", []string{tokenEnv + "=" + w.token},
		"demo", "balancer", "serve", "--state", file, "--site", staging, "--site", production)
	if err != nil {
		return err
	}
	err = until(ctx, "the load balancer serves", 20*time.Millisecond, func() (bool, error) {
		if gone, last := p.ended(); gone {
			return false, fmt.Errorf("it has ended: %s", last)
		}
		data, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(data, &w.addresses) == nil, nil
	})
	w.balancer = balancer.Remote{URL: w.addresses.API, Token: w.token}
	return err
}

// join registers a machine and starts its agent. The secret is an API key, or
// with a token a one-time token that names environments and role itself.
func (w *world) join(ctx context.Context, m machine, token string) error {
	home := filepath.Join(w.folder, "machines", m.name, "agent")
	args := []string{
		"agent", "register", "--home", home, "--server", w.serverURL, "--name", m.name,
		"--environment", staging, "--environment", production, "--role", m.role, "--trust", w.thumbprint,
	}
	if m.polling {
		args = append(args, "--comms-style", "TentacleActive", "--server-comms-address", w.agentsAt)
	} else {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		args = append(args, "--comms-style", "TentaclePassive", "--public-hostname", "127.0.0.1", "--port", strconv.Itoa(port))
	}
	env := []string{"SLIPWAY_API_KEY=" + w.key}
	if token != "" {
		env = []string{"SLIPWAY_AGENT_TOKEN=" + token}
	}
	if _, err := w.sup.run(ctx, env, args...); err != nil {
		return err
	}
	p, err := w.sup.start("agent-"+m.name, nil, "agent", "run", "--home", home)
	if err != nil {
		return err
	}
	w.agents[m.name] = p
	return nil
}

// machineDoc is the server's view of a machine.
func (w *world) machineDoc(ctx context.Context, name string) (client.Document, error) {
	return w.cl.Find(ctx, "machine", "/api/machines", nil, name)
}

// healthy waits until the server found all of the machines healthy.
func (w *world) healthy(ctx context.Context, names ...string) error {
	return until(ctx, strings.Join(names, ", ")+" are healthy", 100*time.Millisecond, func() (bool, error) {
		docs, err := client.List[client.Document](ctx, w.cl, "/api/machines", nil, 0)
		if err != nil {
			return false, err
		}
		n := 0
		for _, doc := range docs {
			if status := doc.Text("HealthStatus"); slices.Contains(names, doc.Text("Name")) && (status == "Healthy" || status == "HasWarnings") {
				n++
			}
		}
		return n == len(names), nil
	})
}

// vanish is a scale-in as a cloud does it: the load balancer lets go of the
// machine first, then the power is cut. Neither agent nor server is told.
func (w *world) vanish(ctx context.Context, name string) error {
	for _, site := range []string{staging, production} {
		if err := w.balancer.Drain(ctx, site, name); err != nil {
			return err
		}
	}
	if err := w.agents[name].kill(); err != nil {
		return err
	}
	return eachShop(filepath.Join(w.folder, "machines", name), killShop)
}

// deployment is a deployment that runs.
type deployment struct{ id, task string }

func (w *world) deploy(ctx context.Context, release, environment string) (deployment, error) {
	started, err := w.cl.Deploy(ctx, client.NewDeployment{Project: projectName, Release: release, Environments: []string{environment}})
	if err != nil {
		return deployment{}, fmt.Errorf("deploy %s to %s: %w", release, environment, err)
	}
	if len(started) != 1 {
		return deployment{}, fmt.Errorf("deploy %s to %s: %d tasks were started", release, environment, len(started))
	}
	return deployment{started[0].DeploymentID, started[0].ServerTaskID}, nil
}

// finish waits for the end of a deployment, across restarts of the server.
func (w *world) finish(ctx context.Context, d deployment) error {
	var task client.Task
	err := until(ctx, d.task+" is over", 100*time.Millisecond, func() (bool, error) {
		var err error
		task, err = w.cl.Task(ctx, d.task)
		if _, lost := errors.AsType[*client.UnreachableError](err); lost {
			return false, nil
		}
		return task.IsCompleted, err
	})
	if err != nil {
		return err
	}
	if task.State != client.TaskSuccess {
		var log strings.Builder
		if err := w.cl.TaskLog(ctx, d.task, &log); err != nil {
			return fmt.Errorf("%s ended as %s: %s", d.task, task.State, task.ErrorMessage)
		}
		return fmt.Errorf("%s ended as %s: %s\n%s", d.task, task.State, task.ErrorMessage, log.String())
	}
	return nil
}

// post creates a document and returns it.
func (w *world) post(ctx context.Context, path string, body any) (client.Document, error) {
	var doc client.Document
	if err := w.cl.Post(ctx, path, body, &doc); err != nil {
		return nil, fmt.Errorf("create %s: %w", strings.TrimPrefix(path, "/api/"), err)
	}
	return doc, nil
}

// edit changes fields of a document and saves it.
func (w *world) edit(ctx context.Context, path, id string, fields map[string]any) error {
	var doc client.Document
	if err := w.cl.Get(ctx, path+"/"+url.PathEscape(id), nil, &doc); err != nil {
		return fmt.Errorf("read %s: %w", id, err)
	}
	for field, value := range fields {
		if err := doc.Set(field, value); err != nil {
			return err
		}
	}
	if err := w.cl.Put(ctx, path+"/"+url.PathEscape(id), doc, nil); err != nil {
		return fmt.Errorf("save %s: %w", id, err)
	}
	return nil
}
