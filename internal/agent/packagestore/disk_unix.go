//go:build unix

package packagestore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var fullErrors = []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}

// FreeSpace is how many bytes an ordinary user may still write in dir.
func FreeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // types differ by system
}

func syncDir(f *os.File) error { return f.Sync() }
