package proc

import "syscall"

// SignalRef reaches that very process or none.
func SignalRef(ref Ref, sig syscall.Signal) { signal(ref, sig) }

// ParseStat gives the fields that are used of /proc/<pid>/stat.
func ParseStat(pid int, text []byte) (parent, group, session int, start int64, dead bool, err error) {
	p, err := parseStat(pid, text)
	return p.parent, p.group, p.session, p.start, p.dead, err
}

// OOMKills reads the count of processes killed for lack of memory as a process
// in these groups would; group is false for the whole machine's.
func OOMKills(mount, groups, machine string) (count int64, group bool) {
	m := findMemory(mount, groups, machine)
	count, _ = m.kills()
	return count, m.group
}
