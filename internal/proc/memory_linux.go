package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory counts the processes that the system has killed because the memory of
// this process's control group, or of the machine, was used up (fault 47).
type memory struct {
	// file holds the count in a line "oom_kill N", "" if nothing does.
	file string
	// group says that the count is of this process's group and those below it;
	// else it is the whole machine's.
	group bool
}

// ownMemory finds the count for this process and what it starts. In the unified
// hierarchy a group counts for all below it; in the memory one for itself alone,
// and there no process leaves it that is not moved.
func ownMemory() memory {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return memory{}
	}
	return findMemory(cgroupMount, string(text), "/proc/vmstat")
}

func findMemory(mount, groups, machine string) memory {
	for _, h := range []struct{ dir, controller, file string }{
		{"memory", "memory", "memory.oom_control"},
		{"", "", "memory.events"},
		{"unified", "", "memory.events"},
	} {
		for line := range strings.Lines(groups) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) != 3 || parts[1] != h.controller {
				continue
			}
			top := filepath.Join(mount, h.dir)
			for dir := filepath.Join(top, parts[2]); len(dir) >= len(top); dir = filepath.Dir(dir) {
				m := memory{file: filepath.Join(dir, h.file), group: true}
				if _, ok := m.kills(); ok {
					return m
				}
				if h.controller != "" {
					break // its parents do not count for it
				}
			}
		}
	}
	return memory{file: machine}
}

func (m memory) kills() (int64, bool) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if n, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			count, err := strconv.ParseInt(string(bytes.TrimSpace(n)), 10, 64)
			return count, err == nil
		}
	}
	return 0, false
}

// starved starts to watch; the function says later whether a process was killed
// for lack of memory meanwhile. A kill elsewhere on the machine counts only if
// the command itself was killed.
func starved() func(exitCode int) bool {
	m := ownMemory()
	before, ok := m.kills()
	return func(exitCode int) bool {
		now, still := m.kills()
		return ok && still && now > before && (m.group || exitCode == 128+9)
	}
}
