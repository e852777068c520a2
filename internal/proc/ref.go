package proc

import (
	"errors"
	"fmt"
	"os"
)

// Ref names one process for ever, also across reuse of its pid and reboots.
type Ref struct {
	PID int `json:"pid"`
	// Start is the process's start in the system's own unit: clock ticks since
	// boot on Linux, microseconds since 1970 on macOS, 100 ns since 1601 on
	// Windows. It is only ever compared.
	Start int64 `json:"start"`
	// Boot names the run of the system that the process belongs to.
	Boot string `json:"boot"`
}

// ErrGone says that there is no process with the pid.
var ErrGone = errors.New("no such process")

// Find names the live process that has the pid now; ErrGone when there is none.
func Find(pid int) (Ref, error) {
	boot, err := BootID()
	if err != nil {
		return Ref{}, fmt.Errorf("find process %d: %w", pid, err)
	}
	start, err := startOf(pid)
	if err != nil {
		return Ref{}, fmt.Errorf("find process %d: %w", pid, err)
	}
	return Ref{PID: pid, Start: start, Boot: boot}, nil
}

// Self names the calling process.
func Self() (Ref, error) { return Find(os.Getpid()) }

// Alive says whether that very process runs. One that has ended but was not
// waited for is not alive. An error means that it could not be found out.
func Alive(ref Ref) (bool, error) {
	now, err := Find(ref.PID)
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	return err == nil && now == ref, err
}
