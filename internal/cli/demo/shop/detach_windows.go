package shop

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// detach starts the instance without a console and in a group of its own.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
