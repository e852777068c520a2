package blob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/slipwayhq/slipway/internal/blob"
)

func openDisk(t *testing.T, dir string) *blob.Disk {
	t.Helper()
	d, err := blob.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func onDisk(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	return place{
		Store: openDisk(t, dir), kept: func() []string { return filesIn(t, dir) },
		damage: func(key, content string) {
			if err := os.WriteFile(filepath.Join(dir, key[:2], key), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func filesIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("client went away"))
	return ctx
}

func TestOpenSweepsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, openDisk(t, dir), "hello")
	if err := os.WriteFile(filepath.Join(dir, "incoming", "7"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openDisk(t, dir)
	if files := filesIn(t, dir); len(files) != 1 || files[0] != helloSHA256 {
		t.Error(files)
	}
}

// What is open stays readable when the file goes.
func TestReadAfterDelete(t *testing.T) {
	t.Parallel()
	d := openDisk(t, t.TempDir())
	put(t, d, "hello")
	r, err := d.Open(t.Context(), helloSHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := d.Delete(t.Context(), helloSHA256); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "hello" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}
