//go:build unix

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// byHand is the note where no firewall of this machine could be opened.
func byHand(port int) string {
	return "No firewall was changed. If this machine or its network has one, let the server reach TCP port " + strconv.Itoa(port) + "."
}

// place writes a file of the system's under Root and makes it readable by all.
func (i *Installer) place(path, text string) error {
	path = filepath.Join(i.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := writeFile(filepath.Dir(path), filepath.Base(path), []byte(text)); err != nil {
		return err
	}
	return os.Chmod(path, 0o644) //nolint:gosec // a service file holds nothing secret and is read by tools of all users
}

// removed makes an error of removing what is not there none.
func removed(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
