package packagestore_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/slipwayhq/slipway/internal/agent/packagestore"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

func open(t *testing.T, dir string) *packagestore.Store {
	t.Helper()
	s, err := packagestore.Open(dir, func() (int64, error) { return 1 << 40, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func header(body string) *agentrpc.PutRequest_Header {
	sum := sha256.Sum256([]byte(body))
	return &agentrpc.PutRequest_Header{Sha256: hex.EncodeToString(sum[:]), Size: int64(len(body)), PackageId: "App", Version: "1.0"}
}

// chunks reads as the parts one by one; "!" is a lost link.
func chunks(parts ...string) io.Reader {
	readers := make([]io.Reader, 0, len(parts))
	for _, part := range parts {
		if part == "!" {
			readers = append(readers, iotest.ErrReader(errors.New("link lost")))
			continue
		}
		readers = append(readers, strings.NewReader(part))
	}
	return io.MultiReader(readers...)
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
	s := open(t, dir)
	h, other := header("hello world"), header("other")
	if err := s.Put(t.Context(), h, chunks("hello", " ", "world")); err != nil {
		t.Fatal(err)
	}
	missing, err := s.Missing([]string{h.Sha256, other.Sha256})
	if err != nil || !slices.Equal(missing, []string{other.Sha256}) {
		t.Error(missing, err)
	}
	f, err := s.Open(h.Sha256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); string(got) != "hello world" || err != nil {
		t.Error(string(got), err)
	}
	if _, err := s.Open(other.Sha256); !errors.Is(err, packagestore.ErrMissing) {
		t.Error(err)
	}
}

// fault 43: whatever breaks the transfer, nothing is visible and nothing left.
func TestBrokenTransfers(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{
		"short": {"hello"}, "long": {"hello world", "!!"}, "link lost": {"hello", "!"}, "other bytes": {"jello world"}, "nothing": nil,
	} {
		dir := t.TempDir()
		s := open(t, dir)
		h := header("hello world")
		err := s.Put(t.Context(), h, chunks(parts...))
		if err == nil {
			t.Errorf("I9: %s: no error", name)
		}
		var mismatch *packagestore.MismatchError
		if errors.As(err, &mismatch) != (name == "other bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if left := filesIn(t, dir); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
		if missing, err := s.Missing([]string{h.Sha256}); len(missing) != 1 || err != nil {
			t.Errorf("%s: %v %v", name, missing, err)
		}
	}
}

// fault 19: a package that does not fit is not even begun.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := packagestore.Open(dir, func() (int64, error) { return packagestore.Reserve + 10, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Put(t.Context(), header("hello world"), chunks("hello world")); !errors.Is(err, packagestore.ErrDiskFull) {
		t.Error(err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if err := s.Put(t.Context(), header("hello"), chunks("hello")); err != nil {
		t.Error(err)
	}
}

// abuse 55, fault 42: an altered package is deleted, then fetched again.
func TestAlteredPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	h := header("hello world")
	for range 2 {
		if err := s.Put(t.Context(), h, chunks("hello world")); err != nil {
			t.Fatal(err)
		}
		f, err := s.Open(h.Sha256)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := os.WriteFile(filepath.Join(dir, h.Sha256[:2], h.Sha256), []byte("hello w0rld"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Hash(h.Sha256); got != header("hello w0rld").Sha256 || err != nil {
			t.Error(got, err)
		}
		_, err = s.Open(h.Sha256)
		var mismatch *packagestore.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Want != h.Sha256 || mismatch.Got != header("hello w0rld").Sha256 {
			t.Errorf("abuse 55: an altered package is opened: %v", err)
		}
		if missing, err := s.Missing([]string{h.Sha256}); len(missing) != 1 || err != nil {
			t.Error(missing, err)
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	h := header("hello")
	if err := s.Put(t.Context(), h, chunks("hello")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "incoming", "1-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // a second process only reads
	if left := filesIn(t, dir); len(left) != 2 {
		t.Error(left)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left := filesIn(t, dir); !slices.Equal(left, []string{h.Sha256}) {
		t.Error(left)
	}
}

func TestDigestsAreNotPaths(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, digest := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("g", 64), strings.Repeat("a", 63)} {
		if _, err := s.Open(digest); !errors.Is(err, packagestore.ErrMissing) {
			t.Errorf("%q: %v", digest, err)
		}
		if err := s.Put(t.Context(), &agentrpc.PutRequest_Header{Sha256: digest}, chunks()); err == nil {
			t.Errorf("%q: stored", digest)
		}
		if _, err := s.Missing([]string{digest}); err == nil {
			t.Errorf("%q: looked for", digest)
		}
		if err := s.Remove(digest); err != nil {
			t.Errorf("%q: %v", digest, err)
		}
	}
}

func TestFreeSpace(t *testing.T) {
	t.Parallel()
	if free, err := packagestore.FreeSpace(t.TempDir()); free <= 0 || err != nil {
		t.Error(free, err)
	}
}
