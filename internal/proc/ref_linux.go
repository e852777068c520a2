package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// BootID names this run of the system: it changes with each boot.
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// snapshot lists all processes that can be seen.
func snapshot() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readStat(pid); err == nil { // else it ended meanwhile
			all = append(all, p)
		}
	}
	return all, nil
}

// readStat reads one process, dead or alive.
func readStat(pid int) (process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return process{}, ErrGone
	}
	if err != nil {
		return process{}, err
	}
	return parseStat(pid, text)
}

// parseStat reads /proc/<pid>/stat, see proc_pid_stat(5). The command's name
// stands in parentheses and may itself hold spaces and parentheses.
func parseStat(pid int, text []byte) (process, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return process{}, fmt.Errorf("stat of process %d: no name", pid)
	}
	fields := strings.Fields(string(text[end+1:])) // fields[0] is field 3
	if len(fields) < 20 {
		return process{}, fmt.Errorf("stat of process %d: %d fields", pid, len(fields))
	}
	var numbers [5]int64
	for i, n := range [...]int{4, 5, 6, 20, 22} { // ppid, pgrp, session, num_threads, starttime
		value, err := strconv.ParseInt(fields[n-3], 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("stat of process %d: field %d: %w", pid, n, err)
		}
		numbers[i] = value
	}
	ended := fields[0] == "Z" || fields[0] == "X"
	return process{
		pid: pid, parent: int(numbers[0]), group: int(numbers[1]), session: int(numbers[2]), start: numbers[4],
		// The main thread may have ended before the others.
		dead: ended && numbers[3] <= 1,
	}, nil
}
