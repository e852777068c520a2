package blob_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
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

// place is a store under test and what is behind it.
type place struct {
	blob.Store
	damage func(key, content string) // overwrites what is stored
	kept   func() []string           // all that lies there, half-written things included
}

// everywhere runs a test on each kind of store.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) place{"disk": onDisk, "s3": onS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func put(t *testing.T, s blob.Store, content string) blob.Ref {
	t.Helper()
	ref, err := s.Put(t.Context(), strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func content(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestPutAndOpen(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		if ref := put(t, p, "hello"); ref != (blob.Ref{SHA256: helloSHA256, SHA1: helloSHA1, Size: 5}) {
			t.Fatal(ref)
		}
		if got := content(t, p, helloSHA256); got != "hello" {
			t.Errorf("%q", got)
		}
		if has, err := p.Has(t.Context(), helloSHA256); !has || err != nil {
			t.Error(has, err)
		}
		for range 2 { // deleting what is not there is no error
			if err := p.Delete(t.Context(), helloSHA256); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Open(t.Context(), helloSHA256); !errors.Is(err, blob.ErrNotFound) {
			t.Error(err)
		}
		if has, err := p.Has(t.Context(), helloSHA256); has || err != nil {
			t.Error(has, err)
		}
		if kept := p.kept(); len(kept) > 0 {
			t.Error(kept)
		}
	})
}

// Bytes in any order, from anywhere, of blobs with no byte, one part and many.
func TestReadHereAndThere(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		for _, size := range []int{0, 1, 4096, 3<<20 + 17} {
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i * 7 >> 3)
			}
			ref := put(t, p, string(want))
			r, err := p.Open(t.Context(), ref.SHA256)
			if err != nil || r.Size() != int64(size) {
				t.Fatal(size, err)
			}
			if err := iotest.TestReader(r, want); size < 5000 && err != nil { // it reads byte by byte
				t.Error(size, err)
			}
			dice := rand.New(rand.NewPCG(1, uint64(size)))
			for range 50 {
				from := dice.Int64N(int64(size) + 1)
				n := dice.Int64N(int64(size) - from + 1)
				got := make([]byte, n)
				if _, err := r.ReadAt(got, from); err != nil || !bytes.Equal(got, want[from:from+n]) {
					t.Fatal(size, from, n, err)
				}
				if _, err := r.Seek(from, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[from:from+n]) {
					t.Fatal(size, from, n, err)
				}
			}
			if n, err := r.ReadAt(make([]byte, 9), int64(size)-int64(min(size, 3))); n != min(size, 3) || !errors.Is(err, io.EOF) {
				t.Error("beyond the end:", n, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// abuse 52: over the limit, aborted, cancelled: nothing is left.
func TestFailedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2<<20)
	cases := map[string]struct {
		canceled bool
		r        func() io.Reader
		code     resource.Code
	}{
		"too large":      {false, func() io.Reader { return strings.NewReader("hello!") }, resource.TooLarge},
		"much too large": {false, func() io.Reader { return strings.NewReader(large + "!") }, resource.TooLarge},
		"aborted": {false, func() io.Reader {
			return io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, resource.Internal},
		"aborted when full": {false, func() io.Reader {
			return io.MultiReader(strings.NewReader(large), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, resource.Internal},
		"cancelled": {true, func() io.Reader { return strings.NewReader("hello") }, resource.Internal},
	}
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		for name, c := range cases {
			ctx, limit := t.Context(), int64(5)
			if strings.Contains(name, "much") || strings.Contains(name, "full") {
				limit = int64(len(large))
			}
			if c.canceled {
				ctx = ended(t)
			}
			if _, err := p.Put(ctx, c.r(), limit); resource.CodeOf(err) != c.code {
				t.Errorf("%s: %v", name, err)
			}
			if kept := p.kept(); len(kept) > 0 {
				t.Errorf("%s: left %v", name, kept)
			}
		}
	})
}

// fault 42: who pushes the same bytes again heals a damaged copy, also one
// that is as long as the right one.
func TestPutHealsADamagedCopy(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		for _, damaged := range []string{"h", "hellO", "hello!"} {
			put(t, p, "hello")
			p.damage(helloSHA256, damaged)
			if got := content(t, p, helloSHA256); got != damaged {
				t.Fatalf("not damaged: %q", got)
			}
			put(t, p, "hello")
			if got := content(t, p, helloSHA256); got != "hello" {
				t.Errorf("%q", got)
			}
		}
	})
}

// abuse 54: a key is data; only a SHA-256 reaches the store.
func TestKeysAreNotPaths(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		put(t, p, "hello")
		for _, key := range []string{"", "..", "../../../../etc/passwd", strings.ToUpper(helloSHA256), helloSHA256[:63] + "/", strings.Repeat(".", 64)} {
			if _, err := p.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("%q: %v", key, err)
			}
			if has, err := p.Has(t.Context(), key); has || err != nil {
				t.Errorf("%q: %v %v", key, has, err)
			}
			if err := p.Delete(t.Context(), key); err != nil {
				t.Errorf("%q: %v", key, err)
			}
		}
		if kept := p.kept(); len(kept) != 1 {
			t.Error(kept)
		}
	})
}

func TestConcurrentPutsOfTheSameBytes(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		body := strings.Repeat("x", 2<<20)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := p.Put(t.Context(), strings.NewReader(body), 2<<20); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if kept := p.kept(); len(kept) != 1 {
			t.Error(kept)
		}
	})
}

func TestEach(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		t.Helper()
		var want, got []string
		for _, text := range []string{"", "hello", strings.Repeat("y", 2<<20)} {
			want = append(want, put(t, p, text).SHA256)
		}
		err := p.Each(t.Context(), func(e blob.Entry) error {
			if text := content(t, p, e.SHA256); int64(len(text)) != e.Size || e.Stored.IsZero() {
				t.Errorf("%+v", e)
			}
			got = append(got, e.SHA256)
			return nil
		})
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Error(got, want, err)
		}
		enough := errors.New("enough")
		if err := p.Each(t.Context(), func(blob.Entry) error { return enough }); !errors.Is(err, enough) {
			t.Error(err)
		}
	})
}
