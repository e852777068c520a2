package packagestore

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

var fullErrors = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}

// FreeSpace is how many bytes the current user may still write in dir.
func FreeSpace(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	return int64(free), nil
}

// syncDir does nothing: Windows has no fsync of a folder.
func syncDir(*os.File) error { return nil }
