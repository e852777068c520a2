package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// file reads n random bytes that belong to this installation, and makes them
// at the first start.
func (s *Server) file(name string, n int) ([]byte, error) {
	path := filepath.Join(s.cfg.Data, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, n)
		_, _ = rand.Read(raw)
		text = []byte(hex.EncodeToString(raw) + "\n")
		err = writeWhole(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != n {
		return nil, resource.Errorf(resource.PreconditionFailed,
			"%s is damaged: it has to hold %d hexadecimal digits. Put it back from your backup, or delete it, and the next start makes a new one.", path, 2*n)
	}
	return raw, nil
}

// writeWhole makes a file that only this user reads, whole or, after a crash,
// not at all. The caller holds the data folder.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// guid writes 16 bytes as a random (version 4) GUID.
func guid(raw []byte) string {
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	text := hex.EncodeToString(raw)
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

func newGUID() string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	return guid(raw)
}
