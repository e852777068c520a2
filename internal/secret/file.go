package secret

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// KeyFile is the name of the master key's file in the data folder.
const KeyFile = "master.key"

// Load reads the master key of the data folder, and makes it when the folder
// has none and no database either: a folder with a database but without its
// key would otherwise lose every secret in silence. On Unix it refuses a file
// that others can read.
func Load(folder string) (*Keyring, error) {
	path := filepath.Join(folder, KeyFile)
	text, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(filepath.Join(folder, "slipway.db")); statErr == nil {
			return nil, resource.Errorf(resource.PreconditionFailed,
				"The data folder %s has a database but no %s. Put the key file back from your backup; without it no stored secret can be opened.", folder, KeyFile)
		}
		if err := createKey(path); err != nil {
			return nil, err
		}
		text, err = readKey(path)
	}
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != KeySize {
		return nil, resource.Errorf(resource.PreconditionFailed, "%s is not a master key: it has to hold 64 hexadecimal digits. Put the file back from your backup.", path)
	}
	return New(key)
}

func readKey(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, resource.Errorf(resource.PreconditionFailed, "%s is not a plain file. Put the key file itself there.", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, resource.Errorf(resource.PreconditionFailed, "%s can be read by other users (mode %04o). Run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if info.Size() > 1024 {
		return nil, resource.Errorf(resource.PreconditionFailed, "%s is too large for a master key. Put the file back from your backup.", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	return text, nil
}

// createKey makes the file whole or not at all; of two servers that start at
// once, one wins and both read the winner's key.
func createKey(path string) error {
	key := make([]byte, KeySize)
	rand.Read(key)
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	f, err := os.CreateTemp(folder, KeyFile+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make master key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("make master key: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make master key: %w", err)
	}
	return syncFolder(folder)
}

func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
