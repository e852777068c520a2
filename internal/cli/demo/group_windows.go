package demo

import (
	"errors"
	"fmt"
	"os"
)

// killGroup ends the process; what it started ends with its pipes.
func killGroup(p *os.Process) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", p.Pid, err)
	}
	return nil
}
