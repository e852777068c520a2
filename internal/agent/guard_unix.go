//go:build unix

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/slipwayhq/slipway/internal/resource"
)

// MakeHome makes the agent's home, open to its user alone.
func MakeHome(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make the agent's home: %w", err)
	}
	return nil
}

// checkPlace refuses to run from or with files that another user can change:
// whoever can write them gives the agent orders (abuse 85). The program's file
// and folder may belong to root or to the agent's user, the home and what lies
// directly in it likewise.
func checkPlace(home, program string) error {
	paths := []string{home, identityDir(home), program, filepath.Dir(program)}
	entries, err := os.ReadDir(home)
	if err != nil {
		return fmt.Errorf("check the agent's home: %w", err)
	}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(home, entry.Name()))
	}
	for _, path := range paths {
		if err := checkOwner(path); err != nil {
			return err
		}
	}
	return nil
}

func checkOwner(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the agent's files: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("check the agent's files: the owner of %s cannot be read", path)
	}
	if uid := int(stat.Uid); uid != 0 && uid != os.Geteuid() {
		return resource.Errorf(resource.PreconditionFailed,
			"%s belongs to user %d, who could give this agent orders. Make it belong to root or to the agent's user (chown), then start again.", path, uid)
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 {
		return resource.Errorf(resource.PreconditionFailed,
			"%s can be changed by other users (mode %v). Take that away with chmod go-w, then start again.", path, mode.Perm())
	}
	return nil
}
