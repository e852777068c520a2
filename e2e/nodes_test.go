//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// cluster is several servers over one PostgreSQL database and one S3-compatible
// storage, behind a balancer for agents.
type cluster struct {
	*server // the one that requests go to

	nodes []*server
	lb    *balancer
}

// newCluster starts n servers. The first one's master key is the others', as the
// documentation says.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	address := storetest.Postgres(t)
	backend := s3mem.New()
	if err := backend.CreateBucket("slipway"); err != nil {
		t.Fatal(err)
	}
	storage := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(storage.Close)
	c := &cluster{lb: newBalancer(t)}
	for i := range n {
		node := newServer(t, func(s *server) {
			s.name = fmt.Sprint("node-", i+1)
			s.extra = []string{"--no-worker", "--database", address, "--blobs", "s3://slipway/e2e?region=us-east-1&endpoint=" + storage.URL}
			s.env = []string{
				"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true",
				"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
			}
			if i > 0 {
				s.joins, s.key = true, c.nodes[0].key
				copyKey(t, c.nodes[0].data, s.data)
			}
		})
		c.nodes = append(c.nodes, node)
		c.lb.add(node.agents)
	}
	for _, node := range c.nodes[1:] {
		if node.thumbprint != c.nodes[0].thumbprint {
			t.Errorf("agents would trust %s of one server and %s of another", c.nodes[0].thumbprint, node.thumbprint)
		}
	}
	front := *c.nodes[0] // requests go to the first server, agents to any
	front.agents = c.lb.address()
	c.server = &front
	return c
}

func copyKey(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(from, "master.key"))
	if err == nil {
		err = errors.Join(os.MkdirAll(to, 0o700), os.WriteFile(filepath.Join(to, "master.key"), text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// through lets requests go to another server from now on.
func (c *cluster) through(node *server) {
	c.client, c.address, c.process = node.client, node.address, node.process
}

// owner is the server that owns the rollout; nil for none.
func (c *cluster) owner(t *testing.T) *server {
	t.Helper()
	var owner *server
	eventually(t, "a server owns the rollout", func() bool {
		for _, n := range c.list(t) {
			if n.Rollouts == 1 {
				owner = c.node(n.Name)
			}
		}
		return owner != nil
	})
	return owner
}

func (c *cluster) node(name string) *server {
	return c.nodes[slices.IndexFunc(c.nodes, func(s *server) bool { return s.name == name })]
}

// other is a server that is not that one.
func (c *cluster) other(than *server) *server {
	return c.nodes[slices.IndexFunc(c.nodes, func(s *server) bool { return s != than })]
}

// nodeInfo is what `slipway node list --format json` shows of a server.
type nodeInfo struct {
	Name, State        string
	Rollouts, Sessions int
}

func (c *cluster) list(t *testing.T) (list []nodeInfo) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.must(t, "node", "list", "--format", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// balancer hands connections on to the first of its addresses that answers,
// another first each time.
type balancer struct {
	listener net.Listener

	mu   sync.Mutex
	to   []string
	next int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.hand(conn)
		}
	}()
	return b
}

func (b *balancer) address() string { return b.listener.Addr().String() }

func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = append(b.to, address)
}

func (b *balancer) hand(conn net.Conn) {
	defer conn.Close()
	b.mu.Lock()
	b.next++
	order := slices.Concat(b.to[b.next%len(b.to):], b.to[:b.next%len(b.to)])
	b.mu.Unlock()
	for _, address := range order {
		to, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		defer to.Close()
		go func() {
			_, _ = io.Copy(to, conn)
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		}()
		_, _ = io.Copy(conn, to)
		return
	}
}

// counted are the lines of a task's log that the script counted.
func (s *stage) counted(task string) (list []string) {
	lines := bufio.NewScanner(strings.NewReader(s.logOf(task)))
	for lines.Scan() {
		if _, text, ok := strings.Cut(lines.Text(), "| line "); ok {
			list = append(list, strings.TrimSpace(text))
		}
	}
	return list
}

// counts is a script that prints 300 lines, waits for a file, and prints as
// many more.
func (s *stage) counts() map[string]any {
	count := "for i in $(seq %d %d); do echo line $i; done\n"
	return script("Count", s.mark("starts")+fmt.Sprintf(count, 1, 300)+s.mark("half")+s.until("go")+fmt.Sprintf(count, 301, 600))
}

// whole wants every machine's log to hold each line once, in order.
func (s *stage) whole(task string, machines int) {
	s.t.Helper()
	seen := map[string]int{}
	for _, line := range s.counted(task) {
		seen[line]++
	}
	for i := range 600 {
		if n := seen[fmt.Sprint(i+1)]; n != machines {
			s.t.Fatalf("line %d is in the log %d times, want %d", i+1, n, machines)
		}
	}
}

// The owner of a rollout is killed with kill -9 in mid-script; another server
// takes it over in under ten seconds and nothing runs twice (faults 2, 4).
func TestOwnerKilledInMidScript(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	s := newStage(t, c.server)
	s.machine("a")
	s.machine("b")
	s.machine("c", listens)
	s.push("1.0.0", map[string]string{"app.txt": "one"})
	s.steps(
		step("Count", "web", "", s.counts()),
		step("Install", "web", "1", install("Deploy", s.app(), s.mark("installs"), nil)))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	eventually(t, "all scripts run", func() bool { return len(s.lines("half")) == 3 })
	owner := c.owner(t)
	c.through(c.other(owner))
	owner.process.kill()
	killed := time.Now()
	eventually(t, "another server owns the rollout", func() bool {
		return slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.Name != owner.name && n.Rollouts == 1 })
	})
	took := time.Since(killed)
	t.Logf("takeover after kill -9: %.1f s", took.Seconds())
	if took > 10*time.Second {
		t.Errorf("the takeover took %s", took)
	}
	s.touch("go")
	s.finish(task, "Success")
	t.Logf("from kill -9 to success: %.1f s", time.Since(killed).Seconds())
	for _, name := range []string{"starts", "installs"} {
		if n := len(s.once(name)); n != 3 {
			t.Errorf("%d %s, want 3", n, name)
		}
	}
	s.whole(task, 3)
	owner.restart(t) // and is one of two again
	eventually(t, "it is back", func() bool {
		return !slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.State != "Online" })
	})
}

// The owner of a rollout stands still for longer than its lease and wakes up:
// others took over, it changes nothing and starts nothing (faults 30, 31).
func TestOwnerPausedInMidScript(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	s := newStage(t, c.server)
	s.machine("a")
	s.machine("b")
	s.steps(step("Count", "web", "", s.counts()), step("Then", "web", "", script("Then", s.mark("then"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	eventually(t, "all scripts run", func() bool { return len(s.lines("half")) == 2 })
	owner := c.owner(t)
	c.through(c.other(owner))
	owner.process.signal(t, syscall.SIGSTOP)
	paused := time.Now()
	eventually(t, "another server owns the rollout", func() bool {
		return slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.Name != owner.name && n.Rollouts == 1 })
	})
	took := time.Since(paused)
	t.Logf("takeover after SIGSTOP: %.1f s", took.Seconds())
	if took > 10*time.Second {
		t.Errorf("the takeover took %s", took)
	}
	s.touch("go")
	eventually(t, "it has stood still for longer than any lease, ping or patience", func() bool { return time.Since(paused) > 31*time.Second })
	owner.process.signal(t, syscall.SIGCONT)
	s.finish(task, "Success")
	eventually(t, "the server that slept works again", func() bool {
		return !slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.State != "Online" })
	})
	s.finish(s.deploy("1.0.0"), "Success")
	for name, want := range map[string]int{"starts": 4, "then": 4} {
		if n := len(s.once(name)); n != want {
			t.Errorf("%d %s, want %d", n, name, want)
		}
	}
	s.whole(task, 2)
}

// A server is drained, stopped and started again in the middle of a deployment,
// as for an upgrade, and then the other one: nothing is started twice, nothing is
// lost, and the deployment never stands still for a lease (fault 45).
func TestDrainedInMidRollout(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	s := newStage(t, c.server)
	s.machine("a")
	s.machine("b")
	s.machine("c", listens)
	s.push("1.0.0", map[string]string{"app.txt": "one"})
	s.steps(
		step("Count", "web", "", s.counts()),
		step("Install", "web", "1", install("Deploy", s.app(), s.mark("installs")+s.until("done"), nil)))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	eventually(t, "all scripts run", func() bool { return len(s.lines("half")) == 3 })
	c.upgrade(t, c.owner(t))
	s.touch("go")
	eventually(t, "the next step runs", func() bool { return len(s.lines("installs")) == 1 })
	c.upgrade(t, c.owner(t))
	s.touch("done")
	s.finish(task, "Success")
	for _, name := range []string{"starts", "installs"} {
		if n := len(s.once(name)); n != 3 {
			t.Errorf("%d %s, want 3", n, name)
		}
	}
	s.whole(task, 3)
	if r := c.cli(t, "node", "drain", "node-9"); r.code == 0 || !strings.Contains(r.stderr, "no server 'node-9'") {
		t.Errorf("drain a server that there is not: %v", r)
	}
}

// upgrade drains a server, stops it, and starts it again, as the documentation
// says.
func (c *cluster) upgrade(t *testing.T, node *server) {
	t.Helper()
	other := c.other(node)
	c.through(other)
	began := time.Now()
	contains(t, "the command", c.must(t, "node", "drain", node.name, "--wait"), "may be stopped")
	t.Logf("%s drained, takeover included, after %.1f s", node.name, time.Since(began).Seconds())
	eventually(t, "all agents and the rollout are at the other server", func() bool {
		return slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.Name == other.name && n.Sessions == 3 })
	})
	node.process.stop(t)
	node.restart(t)
	eventually(t, "both work", func() bool {
		return !slices.ContainsFunc(c.list(t), func(n nodeInfo) bool { return n.State != "Online" })
	})
}
