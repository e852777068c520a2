package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
)

// TestMain gives all tests the credentials of nobody.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const (
	bucket = "release-bytes"
	prefix = "slipway/one"
)

// storage is an S3 server in this process, with a hand in between.
type storage struct {
	backend *s3mem.Backend
	url     string
	meddle  atomic.Pointer[http.HandlerFunc] // answers instead; does nothing to let a request pass
}

func newStorage(t *testing.T) *storage {
	t.Helper()
	s := &storage{backend: s3mem.New()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	faker := gofakes3.New(s.backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meddle := s.meddle.Load(); meddle != nil {
			seen := &answered{ResponseWriter: w}
			if (*meddle)(seen, r); seen.done {
				return
			}
		}
		faker.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

type answered struct {
	http.ResponseWriter
	done bool
}

func (a *answered) WriteHeader(status int) {
	a.done = true
	a.ResponseWriter.WriteHeader(status)
}

// refuse answers all requests of these methods with an error of S3.
func (s *storage) refuse(status int, code string, methods ...string) {
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			if m == r.Method {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(status)
				if r.Method != http.MethodHead {
					fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
				}
			}
		}
	})
	s.meddle.Store(&hand)
}

func (s *storage) address() blob.S3Address {
	return blob.S3Address{Bucket: bucket, Prefix: prefix, Region: "eu-west-1", Endpoint: s.url}
}

func (s *storage) open(t *testing.T, scratch string) *blob.S3 {
	t.Helper()
	opened, err := blob.OpenS3(t.Context(), s.address(), scratch, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	opened.InParts(1<<20, 64<<10)
	t.Cleanup(func() { opened.Close() })
	return opened
}

func (s *storage) objects(t *testing.T) (names []string) {
	t.Helper()
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		names = append(names, o.Key)
	}
	return names
}

func (s *storage) damage(t *testing.T, key, content string) {
	t.Helper()
	if _, err := s.backend.PutObject(bucket, prefix+"/sha256/"+key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}

func onS3(t *testing.T) place {
	t.Helper()
	s, scratch := newStorage(t), t.TempDir()
	return place{
		Store:  s.open(t, scratch),
		damage: func(key, content string) { s.damage(t, key, content) },
		kept:   func() []string { return append(s.objects(t), filesIn(t, scratch)...) },
	}
}

func TestParseS3(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]blob.S3Address{
		"s3://b":                               {Bucket: "b"},
		"s3://b/":                              {Bucket: "b"},
		"s3://b/x/y/?region=eu-west-1":         {Bucket: "b", Prefix: "x/y", Region: "eu-west-1"},
		"s3://b/x?endpoint=http://127.0.0.1:9": {Bucket: "b", Prefix: "x", Endpoint: "http://127.0.0.1:9"},
	} {
		if got, err := blob.ParseS3(address); got != want || err != nil {
			t.Errorf("%s: %+v %v", address, got, err)
		}
	}
	for _, address := range []string{
		"", "b", "s3://", "s3:///x", "http://b", "s3://b:9/x", "s3://k:s@b/x", "s3://b?region=x&acl=public", "s3://b?endpoint=b", "s3://b?endpoint=ftp://b", "s3://%zz",
	} {
		_, err := blob.ParseS3(address)
		if resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "k:s@") {
			t.Errorf("shows the credentials: %v", err)
		}
	}
}

// What an operator got wrong is said at the start, with what to do.
func TestOpenS3SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	all := []string{http.MethodPut, http.MethodGet, http.MethodHead, http.MethodDelete}
	for name, c := range map[string]struct {
		status  int
		code    string
		methods []string
		says    string
	}{
		"no bucket":         {404, "NoSuchBucket", all, "no bucket 'release-bytes'"},
		"no key":            {403, "InvalidAccessKeyId", all, "AWS_ACCESS_KEY_ID"},
		"wrong secret":      {403, "SignatureDoesNotMatch", all, "AWS_SECRET_ACCESS_KEY"},
		"expired":           {400, "ExpiredToken", all, "does not accept the credentials"},
		"other region":      {301, "PermanentRedirect", all, "another region"},
		"may not write":     {403, "AccessDenied", []string{http.MethodPut}, "s3:PutObject"},
		"may not read":      {403, "AccessDenied", []string{http.MethodGet}, "s3:GetObject"},
		"may not delete":    {403, "AccessDenied", []string{http.MethodDelete}, "s3:DeleteObject"},
		"wrong clock":       {403, "RequestTimeTooSkewed", all, "clock"},
		"no storage at all": {501, "NotImplemented", all, "cannot do what Slipway needs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStorage(t)
			s.refuse(c.status, c.code, c.methods...)
			_, err := blob.OpenS3(t.Context(), s.address(), t.TempDir(), time.Now)
			known, ok := errors.AsType[*resource.Error](err)
			if !ok || known.Code != resource.PreconditionFailed || !strings.Contains(known.Message, c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNoRegion(t *testing.T) {
	t.Parallel()
	_, err := blob.Open(t.Context(), "s3://bucket", t.TempDir(), time.Now)
	if resource.CodeOf(err) != resource.Invalid || !strings.Contains(err.Error(), "region") {
		t.Error(err)
	}
}

// A storage that hiccups is asked again; the caller sees nothing of it.
func TestHiccups(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	opened := s.open(t, t.TempDir())
	var requests atomic.Int64
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%2 == 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s.meddle.Store(&hand)
	large := strings.Repeat("0123456789", 1<<18)
	ref := put(t, opened, large)
	if got := content(t, opened, ref.SHA256); got != large {
		t.Errorf("%d bytes", len(got))
	}
	if requests.Load() < 10 {
		t.Error("nothing was tried again:", requests.Load())
	}
}

// fault 43: a transfer that breaks off goes on where it stopped, whether the
// blob is read from the start, from elsewhere or in pieces.
func TestBrokenTransfersGoOn(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	opened := s.open(t, t.TempDir())
	want := make([]byte, 300_000)
	for i := range want {
		want[i] = byte(i >> 5)
	}
	ref := put(t, opened, string(want))
	var cut atomic.Int64
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from, to int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil || cut.Add(1)%2 == 0 {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(to+1-from))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(want[from : from+(to+1-from)/3])
		panic(http.ErrAbortHandler)
	})
	s.meddle.Store(&hand)
	r, err := opened.Open(t.Context(), ref.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, from := range []int64{0, 1000, 299_999} {
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[from:]) {
			t.Errorf("from %d: %d bytes, %v", from, len(got), err)
		}
	}
	got := make([]byte, 200_000)
	if _, err := r.ReadAt(got, 50_000); err != nil || !bytes.Equal(got, want[50_000:250_000]) {
		t.Error(err)
	}
	if cut.Load() < 8 {
		t.Error("too few transfers were cut:", cut.Load())
	}
}

// fault 43: bytes of two versions of an object are never put together.
func TestObjectChangedWhileItIsRead(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	opened := s.open(t, t.TempDir())
	ref := put(t, opened, strings.Repeat("a", 200_000))
	r, err := opened.Open(t.Context(), ref.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	s.damage(t, ref.SHA256, strings.Repeat("b", 200_000))
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The server in this process ignores If-Match; storage does not.
		if r.Header.Get("If-Match") != "" {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
	})
	s.meddle.Store(&hand)
	if _, err := r.ReadAt(make([]byte, 10), 150_000); resource.CodeOf(err) != resource.Unavailable || !strings.Contains(err.Error(), "changed") {
		t.Error(err)
	}
}

// A storage that is gone is an error that says so, not a missing blob.
func TestStorageGone(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	opened := s.open(t, t.TempDir())
	put(t, opened, "hello")
	s.refuse(http.StatusForbidden, "AccessDenied", http.MethodHead, http.MethodGet, http.MethodPut, http.MethodDelete)
	for name, err := range map[string]error{
		"open":   second(opened.Open(t.Context(), helloSHA256)),
		"has":    second(opened.Has(t.Context(), helloSHA256)),
		"put":    second(opened.Put(t.Context(), strings.NewReader("x"), 1)),
		"delete": opened.Delete(t.Context(), helloSHA256),
		"each":   opened.Each(t.Context(), func(blob.Entry) error { return nil }),
	} {
		if resource.CodeOf(err) != resource.PreconditionFailed || errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A node that died left scratch files and an upload: the next start ends both,
// the upload only when it is a day old, because another node may be at it.
func TestS3SweepsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	s, scratch := newStorage(t), t.TempDir()
	s.open(t, scratch)
	if err := os.WriteFile(filepath.Join(scratch, "incoming", "7"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	var aborted atomic.Int64
	begun := time.Now().Add(-25 * time.Hour)
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch query := r.URL.Query(); {
		case r.Method == http.MethodGet && query.Has("uploads"):
			w.WriteHeader(http.StatusOK)
			for i, key := range []string{prefix + "/sha256/" + helloSHA256, "other/sha256/" + helloSHA256, prefix + "/sha256/" + helloSHA256} {
				if i == 0 {
					fmt.Fprint(w, "<ListMultipartUploadsResult>")
				}
				at := begun.Add(time.Duration(i) * 2 * time.Hour) // the last is fresh
				fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%d</UploadId><Initiated>%s</Initiated></Upload>", key, i, at.UTC().Format(time.RFC3339))
			}
			fmt.Fprint(w, "</ListMultipartUploadsResult>")
		case r.Method == http.MethodDelete && query.Has("uploadId"):
			if query.Get("uploadId") != "0" {
				t.Errorf("ended %s", r.URL)
			}
			aborted.Add(1)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	s.meddle.Store(&hand)
	s.open(t, scratch)
	if files := filesIn(t, scratch); len(files) > 0 || aborted.Load() != 1 {
		t.Error(files, aborted.Load())
	}
}

// Bytes that are there do not travel again.
func TestPutSendsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	opened := s.open(t, t.TempDir())
	put(t, opened, "hello")
	s.refuse(http.StatusForbidden, "AccessDenied", http.MethodPut, http.MethodPost)
	put(t, opened, "hello")
}

// A part that fails for good leaves no object and no upload behind.
func TestPartFails(t *testing.T) {
	t.Parallel()
	s, scratch := newStorage(t), t.TempDir()
	opened := s.open(t, scratch)
	var aborted atomic.Bool
	hand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch query := r.URL.Query(); {
		case query.Get("partNumber") == "2":
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodDelete && query.Has("uploadId"):
			aborted.Store(true)
		}
	})
	s.meddle.Store(&hand)
	if _, err := opened.Put(t.Context(), strings.NewReader(strings.Repeat("z", 3<<20)), 3<<20); resource.CodeOf(err) != resource.PreconditionFailed {
		t.Error(err)
	}
	if left := append(s.objects(t), filesIn(t, scratch)...); len(left) > 0 || !aborted.Load() {
		t.Error(left, aborted.Load())
	}
}
