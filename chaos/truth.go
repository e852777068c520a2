package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// truth is what scripts themselves have written down about their starts and
// ends, a file per machine:
//
//	start <attempt> <boot id> <unix seconds> <pid>
//	end <attempt> <unix seconds> <exit code> <lines> <bytes of each line's tail>
//
// Each line was synced before the script went on, so none is lost with it.
type truth struct {
	dir string

	mu    sync.Mutex
	files map[string]*truthFile // by machine
	runs  map[string]*scriptRun // by attempt
}

type truthFile struct {
	offset int64
	part   string // of a line that is being written
	open   map[string]*scriptRun
}

// scriptRun is one attempt as its script saw it.
type scriptRun struct {
	attempt, machine string
	starts           int
	startedAt        float64 // the first start, unix seconds
	pid              int
	ends             int
	endedAt          float64
	code             int
	lines, tail      int
}

func newTruth(dir string) *truth {
	return &truth{dir: dir, files: map[string]*truthFile{}, runs: map[string]*scriptRun{}}
}

func (t *truth) path(machine string) string { return filepath.Join(t.dir, machine) }

// look reads what is new of every machine.
func (t *truth) look(machines []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, m := range machines {
		if t.files[m] == nil {
			t.files[m] = &truthFile{open: map[string]*scriptRun{}}
		}
		errs = append(errs, t.read(m, t.files[m]))
	}
	return errors.Join(errs...)
}

func (t *truth) read(machine string, f *truthFile) error {
	file, err := os.Open(t.path(machine))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(f.offset, io.SeekStart); err != nil {
		return err
	}
	for in := bufio.NewReader(file); ; {
		line, err := in.ReadString('\n')
		f.offset += int64(len(line))
		if f.part += line; err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		t.take(machine, f, strings.Fields(f.part))
		f.part = ""
	}
}

func (t *truth) take(machine string, f *truthFile, words []string) {
	if len(words) < 2 {
		return
	}
	run := t.runs[words[1]]
	if run == nil {
		run = &scriptRun{attempt: words[1], machine: machine}
		t.runs[words[1]] = run
	}
	switch {
	case words[0] == "start" && len(words) == 5:
		if run.starts++; run.starts == 1 {
			run.startedAt, _ = strconv.ParseFloat(words[3], 64)
		}
		run.pid, _ = strconv.Atoi(words[4])
		f.open[run.attempt] = run
	case words[0] == "end" && len(words) == 6:
		run.ends++
		run.endedAt, _ = strconv.ParseFloat(words[2], 64)
		run.code, _ = strconv.Atoi(words[3])
		run.lines, _ = strconv.Atoi(words[4])
		run.tail, _ = strconv.Atoi(words[5])
		delete(f.open, run.attempt)
	}
}

// running are the attempts whose scripts have started, have not ended, and are
// alive: on one machine, or on all for "".
func (t *truth) running(machine string) (list []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, f := range t.files {
		if machine != "" && name != machine {
			continue
		}
		for attempt, run := range f.open {
			if syscall.Kill(run.pid, 0) != nil { // killed with its keeper
				delete(f.open, attempt)
				continue
			}
			list = append(list, attempt)
		}
	}
	return list
}

// all are the attempts that scripts have written about.
func (t *truth) all() map[string]*scriptRun {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.runs
}
