//go:build unix

package proc

import (
	"os/exec"
	"syscall"
)

// Detach prepares cmd to outlive its starter: a session of its own, so that no
// terminal, group or hang-up signal of the starter reaches it. Under systemd
// the starter's unit must say KillMode=process, else stopping the unit ends
// everything that came from it.
func Detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
}
