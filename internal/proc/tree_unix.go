//go:build unix

package proc

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// process is one row of the system's process table.
type process struct {
	pid, parent, group int
	session            int // 0 where the system does not say
	start              int64
	dead               bool // ended, not waited for
}

// net is what a tree is caught with.
type net struct {
	root  Ref
	sole  bool
	group *cgroup // nil: none to be had

	// seen holds who was caught before, pid to start: once caught, a process
	// belongs to the tree until it is dead, also while its exit has already
	// taken it out of its group and away from its parent.
	mu   sync.Mutex
	seen map[int]int64
}

func startOf(pid int) (int64, error) {
	p, err := readStat(pid)
	if err == nil && p.dead {
		err = ErrGone
	}
	return p.start, err
}

func start(cmd *exec.Cmd, o Options) (*net, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true // leader of a session and of a group
	group := newCgroup(o.Name)
	in, err := group.start(cmd)
	if err != nil {
		group.close()
		return nil, err
	}
	if !in {
		group.close()
		group = nil
	}
	n := &net{root: Ref{PID: cmd.Process.Pid}, sole: o.Sole, group: group, seen: map[int]int64{}}
	// It may have ended already, but keeps its pid and its row until Wait.
	if p, err := readStat(n.root.PID); err == nil {
		n.root.Start = p.start
	}
	if boot, err := BootID(); err == nil {
		n.root.Boot = boot
	}
	return n, nil
}

func (n *net) close() { n.group.close() }

// members is the union of all nets, without the dead. In a sole tree it also
// waits for the orphans that this process was given.
func (n *net) members() ([]Ref, error) {
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	all, err := snapshot()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	caught := n.catch(all)
	var refs []Ref
	for _, p := range all {
		switch {
		case !p.dead && caught[p.pid]:
			n.seen[p.pid] = p.start
			refs = append(refs, Ref{PID: p.pid, Start: p.start, Boot: boot})
		case p.dead && n.sole && p.parent == os.Getpid() && p.pid != n.root.PID:
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil)
		}
	}
	return refs, nil
}

func (n *net) catch(all []process) map[int]bool {
	caught := n.group.pids()
	self := os.Getpid()
	// While any process is in the root's group or session, no other can get
	// its pid; so a stranger with the pid means that both are empty.
	reused := false
	children := make(map[int][]int, len(all))
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
		reused = reused || (p.pid == n.root.PID && p.start != n.root.Start)
	}
	var walk func(pid int)
	walk = func(pid int) {
		for _, child := range children[pid] {
			if !caught[child] && child != self {
				caught[child] = true
				walk(child)
			}
		}
	}
	for _, p := range all {
		if start, ok := n.seen[p.pid]; ok && start == p.start {
			caught[p.pid] = true
		}
		if !reused && (p.pid == n.root.PID || p.group == n.root.PID || p.session == n.root.PID) {
			caught[p.pid] = true
		}
	}
	for pid := range caught {
		walk(pid)
	}
	if n.sole {
		walk(self)
	}
	delete(caught, self)
	return caught
}

// ask sends the polite signal to all.
func (n *net) ask(refs []Ref) {
	for _, ref := range refs {
		signal(ref, syscall.SIGTERM)
		signal(ref, syscall.SIGCONT) // a stopped process cannot end politely
	}
}

func (n *net) kill(refs []Ref) {
	n.group.kill()
	for _, ref := range refs {
		signal(ref, syscall.SIGKILL)
	}
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
