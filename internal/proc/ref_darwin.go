package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// BootID names this run of the system: it changes with each boot.
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return id, nil
}

// readStat reads one process, dead or alive.
func readStat(pid int) (process, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		// The call answers an empty record, not an error, for an unknown pid;
		// x/sys turns that into EIO.
		return process{}, ErrGone
	}
	p := fromKinfo(info)
	if p.pid != pid {
		return process{}, ErrGone
	}
	return p, nil
}

func snapshot() ([]process, error) {
	infos, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := make([]process, 0, len(infos))
	for i := range infos {
		all = append(all, fromKinfo(&infos[i]))
	}
	return all, nil
}

func fromKinfo(info *unix.KinfoProc) process {
	start := info.Proc.P_starttime
	return process{
		pid:    int(info.Proc.P_pid),
		parent: int(info.Eproc.Ppid),
		group:  int(info.Eproc.Pgid),
		start:  start.Sec*1_000_000 + int64(start.Usec),
		dead:   info.Proc.P_stat == zombie,
	}
}
