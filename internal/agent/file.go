package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// writeFile makes dir/name have the content, wholly or not at all, and durably:
// temporary file, fsync, rename, fsync of the folder. Mode 0600.
func writeFile(dir, name string, content []byte) error {
	temp, err := writeTemp(dir, name, content)
	if err != nil {
		return err
	}
	if err := patiently(func() error { return os.Rename(temp, filepath.Join(dir, name)) }); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(dir)
}

// claimFile is writeFile for exactly one of several processes: to the others it
// gives fs.ErrExist.
func claimFile(dir, name string, content []byte) error {
	temp, err := writeTemp(dir, name, content)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := os.Link(temp, filepath.Join(dir, name)); err != nil {
		return err // a link, unlike a rename, never replaces
	}
	return syncDir(dir)
}

func writeTemp(dir, name string, content []byte) (path string, err error) {
	temp, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return "", fullDisk(err)
	}
	_, err = temp.Write(content)
	if err == nil {
		err = syncFile(temp)
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return "", fullDisk(errors.Join(err, os.Remove(temp.Name())))
	}
	return temp.Name(), nil
}

// syncDir makes the names in dir durable. Windows has no such call and journals
// its folders itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(d), d.Close())
}

// ErrDiskFailed says that the disk could not make durable what it had taken.
var ErrDiskFailed = errors.New("the disk failed")

// syncFile is fsync. After an input/output error what is on the disk is not
// known, and another fsync would say that all is well (fault 22).
func syncFile(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EIO) {
		return errors.Join(ErrDiskFailed, err)
	}
	return err
}

// fullDisk makes the system's several errors of a full disk ErrDiskFull.
func fullDisk(err error) error {
	for _, full := range fullErrors() {
		if errors.Is(err, full) {
			return errors.Join(ErrDiskFull, err)
		}
	}
	return err
}

// readOptional reads a file; nil when there is none.
func readOptional(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// reserveFile makes a file of that size whose space is really taken.
func reserveFile(path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fullDisk(err)
	}
	err = allocate(f, size)
	if err := errors.Join(err, f.Close()); err != nil {
		return fullDisk(errors.Join(err, os.Remove(path)))
	}
	return nil
}

// fill takes space by writing it, where the system cannot just allocate.
func fill(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
