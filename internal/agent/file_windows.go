package agent

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

func allocate(f *os.File, size int64) error { return fill(f, size) }

func fullErrors() []error {
	return []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}
}

// openElsewhere is how long patiently goes on.
const openElsewhere = 2 * time.Second

// patiently does again what fails because somebody else has the file open: a
// shim that is about to end, or a virus scanner. Windows neither replaces nor
// removes such a file.
func patiently(do func() error) error {
	over := time.NewTimer(openElsewhere)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) &&
			!errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return err
		}
	}
}
