package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// DefaultGrace is how long a tree may take to end by itself (fault 38).
const DefaultGrace = 30 * time.Second

// outputGrace is how long the output of a process is still read after its end,
// when something that it left behind holds it open.
const outputGrace = 2 * time.Second

// Stop is the cause of a context whose end allows another grace than the
// runner's own.
type Stop struct {
	Grace  time.Duration
	Reason string
}

func (s *Stop) Error() string { return s.Reason }

// LeftError says that processes outlived their kill.
type LeftError struct{ Left []Ref }

func (e *LeftError) Error() string {
	pids := make([]string, len(e.Left))
	for i, ref := range e.Left {
		pids[i] = fmt.Sprint(ref.PID)
	}
	return "processes outlived their kill: " + strings.Join(pids, ", ")
}

// Runner runs commands as trees, each to its end or to the context's.
type Runner struct {
	Options

	// Grace is between asking and killing when the context's cause is no Stop.
	Grace time.Duration

	mu      sync.Mutex
	left    []Ref
	starved bool
}

// Run runs the command and gives its exit code. When ctx ends first, the whole
// tree is ended; the error then is the context's cause, joined with a LeftError
// when it is not empty even so. When the command ends by itself, what it left
// behind runs on: a script may start a daemon.
func (r *Runner) Run(ctx context.Context, cmd *exec.Cmd) (exitCode int, err error) {
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = outputGrace
	}
	starved := starved()
	tree, err := Start(cmd, r.Options)
	if err != nil {
		return -1, err
	}
	defer tree.Close()
	type end struct {
		code int
		err  error
	}
	done := make(chan end, 1)
	go func() {
		code, err := tree.Wait()
		done <- end{code, err}
	}()
	select {
	case e := <-done:
		if starved(e.code) {
			r.mu.Lock()
			r.starved = true
			r.mu.Unlock()
		}
		return e.code, e.err
	case <-ctx.Done():
	}
	killed := r.end(ctx, tree)
	if killed == nil { // the root too has ended; what it printed may still be on its way
		return (<-done).code, context.Cause(ctx)
	}
	timeout := time.NewTimer(cmd.WaitDelay + time.Second)
	defer timeout.Stop()
	select {
	case e := <-done:
		return e.code, errors.Join(context.Cause(ctx), killed)
	case <-timeout.C: // the root itself outlived the kill
		return -1, errors.Join(context.Cause(ctx), killed)
	}
}

// end ends the tree and remembers who outlived that.
func (r *Runner) end(ctx context.Context, tree *Tree) error {
	grace := r.Grace
	if stop, ok := errors.AsType[*Stop](context.Cause(ctx)); ok {
		grace = stop.Grace
	}
	left, err := tree.Kill(grace)
	if len(left) > 0 {
		r.mu.Lock()
		r.left = append(r.left, left...)
		r.mu.Unlock()
		err = errors.Join(err, &LeftError{Left: left})
	}
	return err
}

// Left lists all that outlived a kill by this runner.
func (r *Runner) Left() []Ref {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Ref(nil), r.left...)
}

// Starved says whether the system killed a process for lack of memory while one
// of the commands ran to its end (fault 47). It is known on Linux alone.
func (r *Runner) Starved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starved
}
