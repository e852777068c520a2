package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/fail"
)

// reserveSize is the space kept back for the journal, so that results and
// tombstones can be written on a full disk (fault 19, 20).
const reserveSize = 64 << 20

// ErrLocked says that another agent process works on the same home.
var ErrLocked = errors.New("another agent runs with this home; stop it first")

// FileDisk is the Disk of a real agent: the files journal, reserve and lock in
// the agent's home.
type FileDisk struct {
	dir  string
	lock *os.File
	file *os.File
}

// OpenFileDisk opens, or makes, the files and takes the lock; ErrLocked when
// another process has it.
func OpenFileDisk(dir string) (*FileDisk, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	busy, err := lockFile(lock)
	//guard:instance I1: one agent at a time works with a home; less `busy`, with `busy && false`; seen by ./internal/agent TestFileDiskKeepsTheJournal
	if busy {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close())
	}
	d := &FileDisk{dir: dir, lock: lock}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), d.Close())
	}
	return d, nil
}

func (d *FileDisk) path() string { return filepath.Join(d.dir, "journal") }

func (d *FileDisk) open() error {
	file, err := os.OpenFile(d.path(), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.file = file
	return syncDir(d.dir)
}

// Close gives the lock up.
func (d *FileDisk) Close() error {
	var err error
	if d.file != nil {
		err = d.file.Close()
	}
	return errors.Join(err, d.lock.Close())
}

// Load implements Disk.
func (d *FileDisk) Load() ([]byte, error) {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(d.file)
}

// Write implements Disk.
func (d *FileDisk) Write(p []byte) error {
	_, err := d.file.Write(p)
	return fullDisk(err)
}

// Sync implements Disk.
func (d *FileDisk) Sync() error { return d.file.Sync() }

// Truncate implements Disk. It goes by the name, because on Windows a file that
// is open for appending may not be cut.
func (d *FileDisk) Truncate(size int64) error {
	if err := os.Truncate(d.path(), size); err != nil {
		return err
	}
	return d.file.Sync()
}

// Replace implements Disk.
func (d *FileDisk) Replace(content []byte) error {
	temp, err := writeTemp(d.dir, "journal", content)
	if err != nil {
		return err
	}
	// Windows does not replace an open file.
	if err := d.file.Close(); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	fail.Point(fail.JournalReplace)
	if err := patiently(func() error { return os.Rename(temp, d.path()) }); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	fail.Point(fail.JournalReplaced)
	return d.open()
}

// Reserve implements Disk.
func (d *FileDisk) Reserve() error { return reserveFile(filepath.Join(d.dir, "reserve"), reserveSize) }

// Spend implements Disk.
func (d *FileDisk) Spend() error {
	if err := os.Remove(filepath.Join(d.dir, "reserve")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
