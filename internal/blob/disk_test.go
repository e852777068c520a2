package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
)

const (
	helloSHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	helloSHA1   = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
)

func open(t *testing.T, dir string) *blob.Disk {
	t.Helper()
	d, err := blob.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
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

func TestPutAndOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	ref, err := d.Put(t.Context(), strings.NewReader("hello"), 5)
	if err != nil || ref != (blob.Ref{SHA256: helloSHA256, SHA1: helloSHA1, Size: 5}) {
		t.Fatal(ref, err)
	}
	r, err := d.Open(t.Context(), ref.SHA256)
	if err != nil || r.Size() != 5 {
		t.Fatal(err)
	}
	defer r.Close()
	if err := d.Delete(t.Context(), ref.SHA256); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if string(got) != "hello" || err != nil {
		t.Errorf("after delete: %q %v", got, err)
	}
	if _, err := d.Open(t.Context(), ref.SHA256); !errors.Is(err, blob.ErrNotFound) {
		t.Error(err)
	}
	if has, err := d.Has(t.Context(), ref.SHA256); has || err != nil {
		t.Error(has, err)
	}
	if err := d.Delete(t.Context(), ref.SHA256); err != nil {
		t.Error(err)
	}
}

// abuse 52: over the limit, aborted, cancelled: nothing is left.
func TestFailedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("client went away"))
	cases := map[string]struct {
		canceled bool
		r        io.Reader
		code     resource.Code
	}{
		"too large": {false, strings.NewReader("hello!"), resource.TooLarge},
		"aborted":   {false, io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(io.ErrUnexpectedEOF)), resource.Internal},
		"cancelled": {true, strings.NewReader("hello"), resource.Internal},
	}
	for name, c := range cases {
		dir := t.TempDir()
		d := open(t, dir)
		ctx := t.Context()
		if c.canceled {
			ctx = canceled
		}
		if _, err := d.Put(ctx, c.r, 5); resource.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if files := filesIn(t, dir); len(files) > 0 {
			t.Errorf("%s: left %v", name, files)
		}
	}
}

func TestOpenSweepsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	if _, err := d.Put(t.Context(), strings.NewReader("hello"), 5); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "incoming", "7"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if files := filesIn(t, dir); len(files) != 1 || files[0] != helloSHA256 {
		t.Error(files)
	}
}

func TestPutHealsADamagedCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	for range 2 {
		if _, err := d.Put(t.Context(), strings.NewReader("hello"), 5); err != nil {
			t.Fatal(err)
		}
		r, err := d.Open(t.Context(), helloSHA256)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(r); string(got) != "hello" {
			t.Errorf("%q", got)
		}
		r.Close()
		if err := os.WriteFile(filepath.Join(dir, helloSHA256[:2], helloSHA256), []byte("h"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// abuse 54: a key is data; only a SHA-256 reaches the disk.
func TestKeysAreNotPaths(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, key := range []string{"", "..", "../../../../etc/passwd", strings.ToUpper(helloSHA256), helloSHA256[:63] + "/", strings.Repeat(".", 64)} {
		if _, err := d.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%q: %v", key, err)
		}
		if has, err := d.Has(t.Context(), key); has || err != nil {
			t.Errorf("%q: %v %v", key, has, err)
		}
		if err := d.Delete(t.Context(), key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestConcurrentPutsOfTheSameBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	body := bytes.Repeat([]byte("x"), 1<<20)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := d.Put(t.Context(), bytes.NewReader(body), 1<<20); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if files := filesIn(t, dir); len(files) != 1 {
		t.Error(files)
	}
}
