package proc

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// Options say how a tree is started.
type Options struct {
	// Name tells the tree's cgroup apart from others: letters, digits, dots
	// and dashes.
	Name string
	// Sole says that this process runs nothing but this tree, one after the
	// other: every descendant of this process then belongs to it, and with
	// AdoptOrphans daemons do too. On Windows the request to end is a Ctrl+C
	// that this process hears as well and has to catch.
	Sole bool
}

// killWait is how long the tree may take to vanish after the kill. Longer than
// that it sits in the kernel, and is reported as left over.
const killWait = 10 * time.Second

// pollEvery is how often the tree is looked at while its end is awaited.
const pollEvery = 20 * time.Millisecond

// Tree is a started process and all that came from it.
type Tree struct {
	cmd  *exec.Cmd
	out  outputs
	root Ref
	net  *net

	wait sync.Once
	code int
	err  error
}

// Start starts cmd as the root of a tree of its own, away from the caller's
// group, session and console. The caller calls Wait, and Close at the end.
// cmd.WaitDelay is for how long its output is still read when something that
// it left behind holds it open.
func Start(cmd *exec.Cmd, o Options) (*Tree, error) {
	out, err := connect(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	n, err := start(cmd, o)
	out.handOver()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &Tree{cmd: cmd, out: out, root: n.root, net: n}, nil
}

// Ref names the root.
func (t *Tree) Ref() Ref { return t.root }

// Wait waits for the root and the copying of its output, and gives its exit
// code; 128 plus the signal's number when a signal ended it. Others of the tree
// may run on.
func (t *Tree) Wait() (code int, err error) {
	t.wait.Do(func() {
		err := t.cmd.Wait()
		if _, ended := errors.AsType[*exec.ExitError](err); ended {
			err = nil
		}
		if err = errors.Join(err, t.out.finish(t.cmd.WaitDelay)); err != nil {
			t.code, t.err = -1, fmt.Errorf("wait for %s: %w", t.cmd.Path, err)
			return
		}
		t.code = exitCode(t.cmd.ProcessState)
	})
	return t.code, t.err
}

// Members lists who of the tree is alive.
func (t *Tree) Members() ([]Ref, error) { return t.net.members() }

// Kill asks all of the tree to end, and kills what is left of it after grace.
// It returns when the tree is empty, or with those that outlived even that
// (fault 38). Somebody has to Wait for the root meanwhile.
func (t *Tree) Kill(grace time.Duration) (left []Ref, err error) {
	if left, err = t.net.members(); err != nil || len(left) == 0 {
		return left, err
	}
	if grace > 0 {
		t.net.ask(left)
		if left, err = t.until(grace, func([]Ref) {}); err != nil || len(left) == 0 {
			return left, err
		}
	}
	t.net.kill(left)
	return t.until(killWait, t.net.kill)
}

// until polls, acting on who is left, until nobody is or the time is over.
func (t *Tree) until(limit time.Duration, act func([]Ref)) (left []Ref, err error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if left, err = t.net.members(); err != nil || len(left) == 0 {
			return left, err
		}
		act(left)
		select {
		case <-tick.C:
		case <-timeout.C:
			return left, nil
		}
	}
}

// Close gives up what was held to keep the tree together. It ends no process.
func (t *Tree) Close() { t.net.close() }
