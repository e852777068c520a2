//go:build unix

package shop

import (
	"os/exec"
	"syscall"
)

// Detach puts the instance into a session of its own: no hang-up or interrupt
// of its starter reaches it.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
