package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/fail"
)

const (
	environmentA = "Alpha"
	environmentB = "Beta"
	groups       = 5 // the roles g0 … g4 that machines belong to in turn
)

// run is one form of the server under chaos.
type run struct {
	o      options
	form   string
	shape  shape
	dir    string
	key    string
	budget int // kills and pauses
	rng    *source
	truth  *truth
	t      tallying
	places map[fail.Name]fail.Place

	nodes     []*node
	agents    []*agent
	machines  []string
	projects  []*project
	shimsHit  map[string][]string // machine: causes that leave an attempt Unknown
	shimsDead map[string]bool     // folders of attempts whose keeper we killed
	asked     map[string]bool     // tasks that we asked to cancel
	hits      map[failName]int
	projectOf map[string]*project // by task
	ordered   atomic.Int64
	ended     atomic.Int64
	takeovers takeovers
	began     time.Time
	logFile   *os.File
	out       io.Writer // of what people should see at once
	mu        sync.Mutex
}

// failName is short for the name of a point.
type failName = fail.Name

// endedByItself takes in the end of a process that nobody has killed.
func (r *run) endedByItself(name, tail string) {
	r.violation("%s ended by itself: %s", name, tail)
}

// node is one server.
type node struct {
	kept

	address, agentsAddress string
	client                 *client.Client
}

// agent is one machine's agent, behind a proxy of its own.
type agent struct {
	kept

	home, id string
	group    int
	polling  bool
	proxy    *proxy
}

func (r *run) log(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("%s %7.2f ", r.form, time.Since(r.began).Seconds()) + fmt.Sprintf(format, args...)
	fmt.Fprintln(r.logFile, text)
	if r.o.verbose || strings.HasPrefix(format, "VIOLATION") || strings.HasPrefix(format, "progress") {
		fmt.Fprintln(r.out, text)
	}
}

// setUp makes the folders, starts the servers and the agents, and waits until
// all machines are healthy.
func (r *run) setUp(ctx context.Context, keeping *sync.WaitGroup) error {
	for _, dir := range []string{"", "truth", "fail", "agents", "logs"} {
		if err := os.MkdirAll(filepath.Join(r.dir, dir), 0o755); err != nil {
			return err
		}
	}
	var err error
	if r.logFile, err = os.Create(filepath.Join(r.dir, "chaos.log")); err != nil {
		return err
	}
	r.truth = newTruth(filepath.Join(r.dir, "truth"))
	r.shimsHit, r.shimsDead = map[string][]string{}, map[string]bool{}
	r.places = map[fail.Name]fail.Place{}
	for _, p := range fail.Places() {
		if p.Only == "" || p.Only == r.shape.form() {
			r.places[p.Name] = p
		}
	}
	if err := r.startNodes(ctx, keeping); err != nil {
		return err
	}
	if err := r.prepareServer(ctx); err != nil {
		return fmt.Errorf("prepare the server: %w", err)
	}
	if err := r.startAgents(ctx, keeping); err != nil {
		return err
	}
	var sick []string
	err = poll(ctx, "the health of all machines", 200*time.Millisecond, 2*time.Minute, func() (bool, error) {
		sick = nil
		for doc, err := range client.Items[client.Document](ctx, r.nodes[0].client, "/api/machines", nil) {
			if err != nil {
				return false, nil
			}
			if s := doc.Text("HealthStatus"); s != "Healthy" && s != "HasWarnings" {
				sick = append(sick, fmt.Sprintf("%s is %s: %s", doc.Text("Name"), s, doc.Text("StatusSummary")))
			}
		}
		return len(sick) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(sick, "; "))
	}
	return nil
}

func (r *run) startNodes(ctx context.Context, keeping *sync.WaitGroup) error {
	for i := range r.shape.nodes() {
		n := &node{kept: kept{r: r, name: fmt.Sprint("node-", i+1), in: fail.Server, down: r.nodeDown}}
		for _, address := range []*string{&n.address, &n.agentsAddress} {
			port, err := freePort()
			if err != nil {
				return err
			}
			*address = "127.0.0.1:" + port
		}
		n.args = append([]string{"server", "--listen", n.address, "--agents", n.agentsAddress, "--node", n.name, "--no-worker"}, r.shape.args(r, i)...)
		n.env = append([]string{"SLIPWAY_ADMIN_API_KEY=" + r.key}, r.shape.env()...)
		if err := r.shape.prepare(r, i); err != nil {
			return err
		}
		r.nodes = append(r.nodes, n)
		if err := r.startNode(ctx, n, keeping); err != nil {
			return err
		}
	}
	return nil
}

// nodeDown is how long a node stays down after a death: where there are others,
// often longer than its lease, so that they take over and not itself.
func (r *run) nodeDown() time.Duration {
	if len(r.nodes) > 1 && r.rng.n(3) == 0 {
		return r.rng.between(9*time.Second, 12*time.Second)
	}
	return r.rng.upTo(300 * time.Millisecond)
}

func (r *run) startNode(ctx context.Context, n *node, keeping *sync.WaitGroup) error {
	n.log = filepath.Join(r.dir, "logs", n.name+".log")
	n.failDir = filepath.Join(r.dir, "fail", n.name)
	if err := os.MkdirAll(n.failDir, 0o755); err != nil {
		return err
	}
	var err error
	if n.client, err = client.New(client.Config{URL: "http://" + n.address, APIKey: r.key}); err != nil {
		return err
	}
	keeping.Go(func() { n.keep(ctx) })
	return poll(ctx, "the first answer of "+n.name, 20*time.Millisecond, time.Minute, func() (bool, error) { return n.ready(ctx), nil })
}

// ready says whether the node answers.
func (n *node) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errSlow)
	defer cancel()
	return n.client.Get(ctx, "/api/users/me", nil, nil) == nil
}

var errSlow = errors.New("no answer in time")

// startAgents registers the agents at the server, each behind its proxy, and
// starts them. Every third listens; the others poll.
func (r *run) startAgents(ctx context.Context, keeping *sync.WaitGroup) error {
	out, err := r.command(ctx, "server", "thumbprint", "--data", filepath.Join(r.dir, "data"), "--format", "basic")
	if err != nil {
		return err
	}
	for i := range r.o.agents {
		a := &agent{group: i % groups, polling: i%3 != 0}
		a.kept = kept{r: r, name: fmt.Sprintf("m%02d", i), in: fail.Agent, down: func() time.Duration { return r.rng.upTo(time.Second) }}
		a.home = filepath.Join(r.dir, "agents", a.name)
		a.log = filepath.Join(r.dir, "logs", a.name+".log")
		a.failDir = filepath.Join(r.dir, "fail", a.name)
		a.args = []string{"agent", "run", "--home", a.home}
		if err := os.MkdirAll(a.failDir, 0o755); err != nil {
			return err
		}
		if err := r.register(ctx, a, i, strings.TrimSpace(out)); err != nil {
			return err
		}
		go a.proxy.serve(ctx)
		keeping.Go(func() { a.keep(ctx) })
		r.agents = append(r.agents, a)
		r.machines = append(r.machines, a.name)
	}
	return nil
}

func (r *run) register(ctx context.Context, a *agent, i int, trust string) (err error) {
	args := []string{
		"agent", "register", "--home", a.home, "--app", filepath.Join(a.home, "app"), "--name", a.name, "--server", "http://" + r.nodes[0].address,
		"--environment", environmentA, "--environment", environmentB, "--role", "all", "--role", fmt.Sprint("g", a.group),
		"--trust", trust, "--format", "basic",
	}
	own, target := "", func() string { return r.agentsAddress(i) }
	if !a.polling {
		port, err := freePort()
		if err != nil {
			return err
		}
		own = "127.0.0.1:" + port
		target = func() string { return own }
	}
	if a.proxy, err = newProxy("127.0.0.1:0", target, r.cutFired); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(a.proxy.address())
	if err != nil {
		return err
	}
	if a.polling {
		args = append(args, "--comms-style", "TentacleActive", "--server-comms-address", a.proxy.address())
	} else {
		args = append(args, "--comms-style", "TentaclePassive", "--public-hostname", "127.0.0.1", "--port", port)
	}
	out, err := r.command(ctx, args...)
	if err != nil {
		return err
	}
	a.id = strings.TrimSpace(out)
	if a.polling {
		return nil
	}
	return listenOn(filepath.Join(a.home, "agent.json"), own)
}

// agentsAddress is where the i-th agent's next connection goes: for every
// fourth always to the same node, for the others to any that is up, as behind a
// balancer.
func (r *run) agentsAddress(i int) string {
	if i%4 == 0 {
		return r.nodes[i/4%len(r.nodes)].agentsAddress
	}
	first := r.rng.n(len(r.nodes))
	for j := range r.nodes {
		if n := r.nodes[(first+j)%len(r.nodes)]; n.up() {
			return n.agentsAddress
		}
	}
	return r.nodes[first].agentsAddress
}

// listenOn makes an agent listen elsewhere than where the server dials.
func listenOn(file, address string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	config["Listen"] = address
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// command runs slipway to its end.
func (r *run) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.o.slipway, args...)
	cmd.Env = environ(r.dir, "SLIPWAY_API_KEY="+r.key)
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			said = string(failed.Stderr)
		}
		return "", fmt.Errorf("slipway %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return string(out), nil
}

// on calls f with the client of a node that is up, and again with others until
// it works or the limit is over.
func (r *run) on(ctx context.Context, limit time.Duration, f func(*client.Client) error) error {
	var last error
	err := poll(ctx, "an answer of a server", 100*time.Millisecond, limit, func() (bool, error) {
		for _, n := range r.nodes {
			if last = f(n.client); last == nil {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
