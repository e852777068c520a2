// Package proc starts processes so that all they start can be ended, and names
// them so that no other process is ever taken for them.
//
// A [Tree] is a process and all that came from it. It is found, depending on
// the system, by several nets of which each catches what slips through another:
//
//	Linux    cgroup (v2, else v1 freezer or pids, where writable),
//	         session and process group, descent; with [AdoptOrphans] also
//	         daemons that cut all of these ties
//	macOS    process group and descent
//	Windows  job object
//
// A [Ref] is pid, start time and boot id together: a process with the same pid
// but another start is a stranger, and is never signalled (fault 14).
package proc
