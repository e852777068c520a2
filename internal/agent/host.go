package agent

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
)

// folders is the Host of a real machine: a folder for each attempt below one
// directory.
type folders struct{ dir string }

func (h folders) of(attempt string) Folder {
	return Folder{Path: filepath.Join(h.dir, folderName(attempt)), Attempt: attempt}
}

func (h folders) Create(attempt string) error {
	folder := h.of(attempt)
	err := folder.create()
	if err != nil {
		_ = folder.remove() // nothing stays of an attempt that was refused
	}
	fail.Point(fail.FolderMade)
	return err
}

func (h folders) Gather(attempt string, phase Phase) (Evidence, error) {
	folder := h.of(attempt)
	e, err := folder.gather(phase)
	if err == nil && e.Marker != nil && e.Marker.Revoked {
		e.Said = folder.said()
	}
	return e, err
}

func (h folders) Revoke(attempt string) error { return h.of(attempt).revoke() }

func (h folders) Cancel(attempt string, grace time.Duration) error {
	return h.of(attempt).cancel(grace)
}

func (h folders) LogLength(attempt string) int64 { return h.of(attempt).logLength() }

func (h folders) Remove(attempt string) error { return h.of(attempt).remove() }

// said is what the shim wrote to its error output.
func (f Folder) said() string {
	text, err := os.ReadFile(filepath.Join(f.Path, fileErrors))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[:min(len(text), 1000)]))
}
