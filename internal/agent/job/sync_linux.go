package job

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncFiles makes what is installed survive a power loss, before anybody is
// told that it is there.
func syncFiles(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Syncfs(int(f.Fd())), f.Close()); err != nil {
		return fmt.Errorf("sync the installed files: %w", err)
	}
	return nil
}
