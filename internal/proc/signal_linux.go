package proc

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// signal reaches that very process or none: the descriptor pins the process
// before its start time is compared. Its errors say only that it is gone, or
// not ours to signal; who outlives the signal is seen by the next look.
func signal(ref Ref, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(ref.PID, 0)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
		if alive, err := Alive(ref); err == nil && alive {
			_ = syscall.Kill(ref.PID, sig)
		}
		return
	}
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	if alive, err := Alive(ref); err == nil && alive {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// AdoptOrphans makes this process the parent of all its descendants whose
// parents end, so that no daemon escapes a sole tree.
func AdoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}
