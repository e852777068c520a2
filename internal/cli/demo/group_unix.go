//go:build unix

package demo

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// killGroup ends a process with those that it started in its group, as the
// server's worker, also when the process itself is gone. Only groups of the
// demo's own children are ended: each leads one of its own.
func killGroup(p *os.Process) error {
	if err := syscall.Kill(-p.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end process group %d: %w", p.Pid, err)
	}
	return nil
}
