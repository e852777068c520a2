//go:build chaos && unix

package fail

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// seen counts how often an armed point was passed.
var seen struct { //nolint:gochecknoglobals // one process, and only where crashes are made
	sync.Mutex

	times map[Name]int
}

// Point ends or stops the process when the point is armed and due.
func Point(name Name) {
	dir := os.Getenv("SLIPWAY_FAIL")
	if dir == "" {
		return
	}
	order, err := os.ReadFile(filepath.Join(dir, string(name)))
	if err != nil {
		return
	}
	var how string
	var times int
	if _, err := fmt.Sscan(string(order), &how, &times); err != nil || !due(name, times) {
		return
	}
	file := filepath.Join(dir, string(name))
	if os.Rename(file, file+".hit") != nil {
		return // another of the folder's processes was it
	}
	if how == "stop" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func due(name Name, times int) bool {
	seen.Lock()
	defer seen.Unlock()
	if seen.times == nil {
		seen.times = map[Name]int{}
	}
	if seen.times[name]++; seen.times[name] < times {
		return false
	}
	delete(seen.times, name)
	return true
}
