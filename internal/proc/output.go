package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// pipeSize is the most that a pipe holds, in bytes, unless somebody enlarged it.
const pipeSize = 64 << 10

// outputs are pipes between a command and the writers of its output. Those of
// os/exec are closed a fixed time after the command's end, and what it had
// printed is lost when a writer is slow; here it never is.
type outputs []*output

type output struct {
	to          io.Writer
	read, write *os.File
	moved       atomic.Int64 // bytes read
	writing     atomic.Bool
	done        chan struct{}
	err         error // of the writer; set before done is closed
}

// connect puts pipes in the place of the command's writers, one for both where
// they are the same, as os/exec does, and lets them flow. Files the command gets
// as they are. handOver has to follow.
func connect(cmd *exec.Cmd) (outputs, error) {
	var list outputs
	both := sameWriter(cmd.Stdout, cmd.Stderr)
	for _, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		if _, direct := (*to).(*os.File); direct || *to == nil {
			continue
		}
		if both && len(list) == 1 {
			*to = list[0].write
			continue
		}
		o := &output{to: *to, done: make(chan struct{})}
		var err error
		if o.read, o.write, err = os.Pipe(); err != nil {
			list.handOver()
			return nil, fmt.Errorf("make a pipe for output: %w", err)
		}
		*to = o.write
		list = append(list, o)
		go o.copy()
	}
	return list, nil
}

func sameWriter(a, b io.Writer) bool {
	defer func() { _ = recover() }() // of a type that cannot be compared: not the same
	return a == b
}

// handOver leaves the command as the only one with ends to write to, once it
// has them or will never have them.
func (list outputs) handOver() {
	for _, o := range list {
		_ = o.write.Close() // nothing was written to it
	}
}

// copy reads on when the writer fails: the command must not be held up by it.
func (o *output) copy() {
	defer close(o.done)
	buffer := make([]byte, 32<<10)
	for {
		n, err := o.read.Read(buffer)
		if n > 0 {
			o.writing.Store(true)
			o.moved.Add(int64(n))
			if o.err == nil {
				_, o.err = o.to.Write(buffer[:n])
			}
			o.writing.Store(false)
		}
		if err != nil {
			_ = o.read.Close()
			return
		}
	}
}

// finish returns when all that the command printed before its end has reached
// its writers, however long they take. Where something that it left behind
// holds a pipe open, it gives up after grace, or later while what was in the
// pipe is still moving; grace 0 never gives up.
func (list outputs) finish(grace time.Duration) error {
	var errs []error
	for _, o := range list {
		o.drain(grace)
		errs = append(errs, o.err)
	}
	return errors.Join(errs...)
}

func (o *output) drain(grace time.Duration) {
	var tick <-chan time.Time
	if grace > 0 {
		ticker := time.NewTicker(max(grace/2, 1))
		defer ticker.Stop()
		tick = ticker.C
	}
	// Two looks have to find it still: after a pause of the whole machine the
	// first may come before copy gets to run.
	atEnd := o.moved.Load()
	for last, still := atEnd, 0; still < 2; {
		select {
		case <-o.done:
			return
		case <-tick:
		}
		now := o.moved.Load()
		switch {
		case now-atEnd > pipeSize: // all that is older has been read
			still = 2
		case now == last && !o.writing.Load():
			still++
		default:
			last, still = now, 0
		}
	}
	_ = o.read.Close() // ends copy
	<-o.done
}
