// Package mark is the demo's ground truth: each script of a deployment writes
// its own start and end into a file, and what is counted is counted from
// there, not from what the server says about it.
package mark

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Event says what a script did.
type Event string

// The events.
const (
	Start Event = "start"
	End   Event = "end"
)

// Mark is one line that a script wrote about itself.
type Mark struct {
	Event      Event
	Attempt    string // as the agent names it
	Deployment string
	Action     string
	Machine    string
	At         time.Time
	Boot       string // of the operating system
	PID        int
}

// fileName is where a folder's marks are.
const fileName = "marks.jsonl"

// Write appends one mark to the file in folder and returns once it is on disk.
func Write(folder string, m Mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, fileName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	_, werr := file.Write(append(data, '\n'))
	return errors.Join(werr, file.Sync(), file.Close())
}

// Read reads all marks in folder, in the order they were written.
func Read(folder string) ([]Mark, error) {
	file, err := os.Open(filepath.Join(folder, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	defer file.Close()
	var marks []Mark
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		var m Mark
		if err := json.Unmarshal(scanner.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("read marks: line %d: %w", len(marks)+1, err)
		}
		marks = append(marks, m)
	}
	return marks, scanner.Err()
}

// Boot is the operating system's boot id, "" where it has none.
func Boot() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// cell is what may run once in a deployment: nothing in the demo declares
// retries, so a second attempt at a cell is as wrong as a second start of one.
type cell struct{ deployment, action, machine string }

// StartedTwice counts the starts beyond the first: of an attempt, or of an
// action on a machine in one deployment.
func StartedTwice(marks []Mark) int {
	attempts, cells, twice := map[string]bool{}, map[cell]bool{}, 0
	for _, m := range marks {
		if m.Event != Start {
			continue
		}
		key := cell{m.Deployment, m.Action, m.Machine}
		if m.Attempt != "" && attempts[m.Attempt] || cells[key] {
			twice++
		}
		attempts[m.Attempt], cells[key] = true, true
	}
	return twice
}

// Running counts the scripts whose own start and end enclose the moment.
func Running(marks []Mark, at time.Time) int {
	started, n := map[cell]time.Time{}, 0
	for _, m := range marks {
		key := cell{m.Deployment, m.Action, m.Machine}
		switch {
		case m.Event == Start:
			started[key] = m.At
		case !started[key].IsZero() && started[key].Before(at) && m.At.After(at):
			n++
		}
	}
	return n
}

// Unfinished lists the scripts that have started and not ended.
func Unfinished(marks []Mark) []Mark {
	open := map[cell]Mark{}
	for _, m := range marks {
		key := cell{m.Deployment, m.Action, m.Machine}
		if m.Event == Start {
			open[key] = m
		} else {
			delete(open, key)
		}
	}
	var list []Mark
	for _, m := range marks {
		if open[cell{m.Deployment, m.Action, m.Machine}] == m {
			list = append(list, m)
		}
	}
	return list
}
