package agent

import (
	"os"

	"golang.org/x/sys/windows"
)

func allocate(f *os.File, size int64) error { return fill(f, size) }

func fullErrors() []error {
	return []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}
}
