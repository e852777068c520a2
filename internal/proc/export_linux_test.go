package proc

import "syscall"

// SignalRef reaches that very process or none.
func SignalRef(ref Ref, sig syscall.Signal) { signal(ref, sig) }

// ParseStat gives the fields that are used of /proc/<pid>/stat.
func ParseStat(pid int, text []byte) (parent, group, session int, start int64, dead bool, err error) {
	p, err := parseStat(pid, text)
	return p.parent, p.group, p.session, p.start, p.dead, err
}
