package shop

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// Detach starts the instance without a console and in a group of its own.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
