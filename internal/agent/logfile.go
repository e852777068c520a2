package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// logFile is the end of the shim's log. On a full disk it ends the log with a
// marker line and drops the rest, so that the job goes on (fault 20).
type logFile struct {
	folder Folder
	clock  func() time.Time

	mu   sync.Mutex
	file *os.File
	size int64
	full bool
}

func openLog(folder Folder, clock func() time.Time) (*logFile, error) {
	file, err := os.OpenFile(filepath.Join(folder.Path, fileLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &logFile{folder: folder, clock: clock, file: file, size: folder.logLength()}, nil
}

// Write appends whole lines, or none of them.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return len(p), nil
	}
	_, err := l.file.Write(p)
	if err == nil {
		l.size += int64(len(p))
		return len(p), nil
	}
	if err := fullDisk(err); !errors.Is(err, ErrDiskFull) {
		return 0, err
	}
	l.full = true
	return len(p), l.stop()
}

// stop ends the log with the marker, in space from the reserve. It goes by the
// name, because on Windows a file that is open for appending may not be cut.
func (l *logFile) stop() error {
	if err := os.Truncate(filepath.Join(l.folder.Path, fileLog), l.size); err != nil {
		return err
	}
	reserve := filepath.Join(l.folder.Path, fileReserve)
	if err := os.Truncate(reserve, exitReserve-logReserve); err != nil {
		return err
	}
	_, err := fmt.Fprintf(l.file, "%d\tWarning\tThe log is cut off here: the machine's disk is full. The job goes on.\n", l.clock().UnixMilli())
	return err
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.file.Sync(), l.file.Close())
}
