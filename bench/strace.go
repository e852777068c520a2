package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

var errNoStrace = errors.New("not measured: apt-get install strace")

// fsyncs counts the fsync and fdatasync calls of a process while do runs.
// SQLite in WAL mode with synchronous=FULL makes one for each committed
// transaction, and some for checkpoints.
func fsyncs(ctx context.Context, pid int, file string, do func(context.Context) error) (int, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, errNoStrace
	}
	tracer := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", file, "-p", strconv.Itoa(pid))
	if err := tracer.Start(); err != nil {
		return 0, err
	}
	attached := poll(ctx, "strace", 10*time.Millisecond, 10*time.Second, func() (bool, error) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return err == nil && !strings.Contains(string(status), "TracerPid:\t0\n"), err
	})
	err := attached
	if err == nil {
		err = do(ctx)
	}
	err = errors.Join(err, tracer.Process.Signal(os.Interrupt))
	_ = tracer.Wait() // it says that it was interrupted
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strings.Count(string(text), "fsync(") + strings.Count(string(text), "fdatasync("), nil
}
