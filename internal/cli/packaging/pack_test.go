package packaging_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/cli/packaging"
)

func write(t *testing.T, folder, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// TestPackIsTheSameBytesEachTime: a package that did not change has the same
// digest, so nothing travels twice.
func TestPackIsTheSameBytesEachTime(t *testing.T) {
	t.Parallel()
	var archives [2][]byte
	for i := range archives {
		folder, out := t.TempDir(), filepath.Join(t.TempDir(), "a.1.0.0.zip")
		write(t, folder, "bin/start.sh", "echo hi", 0o755)
		write(t, folder, "a.txt", "a", 0o600)
		old := time.Unix(int64(i)*1e9, 0)
		if err := os.Chtimes(filepath.Join(folder, "a.txt"), old, old); err != nil {
			t.Fatal(err)
		}
		if n, err := packaging.Pack(folder, out); err != nil || n != 2 {
			t.Fatalf("%d files, %v", n, err)
		}
		archives[i], _ = os.ReadFile(out)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
	reader, err := zip.NewReader(bytes.NewReader(archives[0]), int64(len(archives[0])))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]os.FileMode{}
	for _, file := range reader.File {
		got[file.Name] = file.Mode()
	}
	want := map[string]os.FileMode{"a.txt": 0o644, "bin/start.sh": 0o755}
	if runtime.GOOS == "windows" { // has no execute bit to keep
		want["bin/start.sh"] = 0o644
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPackRefusesLinks: what a link leads to is not in the folder.
func TestPackRefusesLinks(t *testing.T) {
	t.Parallel()
	folder, out := t.TempDir(), filepath.Join(t.TempDir(), "a.1.0.0.zip")
	if err := os.Symlink("/etc/passwd", filepath.Join(folder, "link")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := packaging.Pack(folder, out); err == nil {
		t.Error("a link was packed")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("half a package was left behind")
	}
}
