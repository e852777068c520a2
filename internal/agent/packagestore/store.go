// Package packagestore keeps the packages that came to this machine, each
// under the SHA-256 of its bytes. A package is visible whole or not at all,
// also after a power loss, and is hashed again each time it is used: a local
// user or a bad disk may have changed it since (abuse 55, fault 42).
package packagestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync/atomic"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
)

const (
	incoming = "incoming"
	// Reserve is the space that a package never takes: the journal needs it to
	// record how the attempt ended (fault 19).
	Reserve = 64 << 20
)

// ErrDiskFull is in the chain when a package did not fit on the disk; nothing
// of it is left.
var ErrDiskFull = errors.New("packagestore: disk full")

// ErrMissing is returned for a package that the store does not hold.
var ErrMissing = errors.New("packagestore: package is not here")

// MismatchError says that bytes are not those of the digest they came or were
// kept under. They are deleted, so that the next Missing asks for them again.
type MismatchError struct {
	Want string // SHA-256, lower-case hex
	Got  string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the package has digest %s instead of %s", e.Got, e.Want)
}

// Store is a folder of packages: sha256[:2]/sha256, and "incoming". Several
// processes may read it while the agent writes.
type Store struct {
	root *os.Root
	free func() (int64, error)
	next atomic.Int64
}

// Open opens the store in dir, which it makes (0700) when it is not there.
// free tells the bytes free on the disk; nil asks the system.
func Open(dir string, free func() (int64, error)) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open package store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open package store: %w", err)
	}
	if free == nil {
		free = func() (int64, error) { return FreeSpace(dir) }
	}
	return &Store{root: root, free: free}, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// Sweep removes what an earlier process left half-written. Only the agent may
// call it, before its first Put.
func (s *Store) Sweep() error {
	if err := s.root.RemoveAll(incoming); err != nil {
		return fmt.Errorf("sweep package store: %w", err)
	}
	return nil
}

// Missing lists those of the digests that the store does not hold. It does not
// hash.
func (s *Store) Missing(digests []string) ([]string, error) {
	var missing []string
	for _, digest := range digests {
		if !isDigest(digest) {
			return nil, fmt.Errorf("look for package %q: not a digest", digest)
		}
		_, err := s.root.Stat(place(digest))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, digest)
		case err != nil:
			return nil, fmt.Errorf("look for package %s: %w", digest, err)
		}
	}
	return missing, nil
}

// Put stores one package as content gives it. It hashes while it writes, fsyncs
// and renames; on any error nothing is left. Errors: a *MismatchError, or one
// with ErrDiskFull and the system's own, or content's.
func (s *Store) Put(ctx context.Context, h *agentrpc.PutRequest_Header, content io.Reader) (err error) {
	if !isDigest(h.GetSha256()) || h.GetSize() < 0 {
		return fmt.Errorf("store package %q: not a digest and size", h.GetSha256())
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("store package %s %s: %w", h.GetPackageId(), h.GetVersion(), err)
		}
	}()
	if free, err := s.free(); err != nil || free-Reserve < h.GetSize() {
		return errors.Join(err, fmt.Errorf("%w: %d bytes free, %d needed and %d kept back: %w", ErrDiskFull, free, h.GetSize(), Reserve, fullErrors[0]))
	}
	temp, f, err := s.create()
	if err != nil {
		return full(err)
	}
	err = receive(ctx, f, h, content)
	if err == nil {
		err = full(f.Sync())
	}
	err = errors.Join(err, full(f.Close()))
	if err == nil {
		err = full(s.publish(temp, h.GetSha256()))
	}
	if err != nil {
		return errors.Join(err, s.discard(temp))
	}
	return nil
}

func (s *Store) discard(temp string) error {
	if err := s.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Store) create() (string, *os.File, error) {
	if err := s.root.MkdirAll(incoming, 0o700); err != nil {
		return "", nil, err
	}
	for {
		name := path.Join(incoming, strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(s.next.Add(1), 10))
		f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return name, f, err
		}
	}
}

func receive(ctx context.Context, f *os.File, h *agentrpc.PutRequest_Header, content io.Reader) error {
	sum, size, buffer := sha256.New(), int64(0), make([]byte, 1<<17)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, readErr := content.Read(buffer)
		if size += int64(n); size > h.GetSize() {
			return fmt.Errorf("more than the announced %d bytes came", h.GetSize())
		}
		sum.Write(buffer[:n])
		if _, err := f.Write(buffer[:n]); err != nil {
			return full(err)
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return readErr
		}
	}
	if size != h.GetSize() {
		return fmt.Errorf("%d of %d bytes came: %w", size, h.GetSize(), io.ErrUnexpectedEOF)
	}
	//guard:package-arrived I9: a package that arrived is the one that was sent; seen by ./internal/agent/packagestore TestBrokenTransfers
	if got := hex.EncodeToString(sum.Sum(nil)); got != h.GetSha256() {
		return &MismatchError{Want: h.GetSha256(), Got: got}
	}
	return nil
}

func (s *Store) publish(temp, digest string) error {
	if err := s.root.MkdirAll(digest[:2], 0o700); err != nil {
		return err
	}
	fail.Point(fail.PackageWritten)
	if err := s.root.Rename(temp, place(digest)); err != nil {
		return err
	}
	fail.Point(fail.PackageRenamed)
	for _, dir := range []string{digest[:2], "."} {
		f, err := s.root.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(syncDir(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Open hashes the package and opens it at its first byte. A package that was
// altered is deleted, and the error is a *MismatchError; ErrMissing says that
// there is none.
func (s *Store) Open(digest string) (*os.File, error) {
	f, got, err := s.hash(digest)
	if err != nil {
		return nil, err
	}
	//guard:package-hash abuse 55: a package is checked in the moment it is used; seen by ./internal/agent/packagestore TestAlteredPackage
	if got != digest {
		return nil, errors.Join(&MismatchError{Want: digest, Got: got}, f.Close(), s.Remove(digest))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("open package %s: %w", digest, err), f.Close())
	}
	return f, nil
}

// Hash reads the package's bytes from the disk and gives their SHA-256, which
// is not digest when they were altered.
func (s *Store) Hash(digest string) (string, error) {
	f, got, err := s.hash(digest)
	if err != nil {
		return "", err
	}
	return got, f.Close()
}

func (s *Store) hash(digest string) (*os.File, string, error) {
	if !isDigest(digest) {
		return nil, "", fmt.Errorf("open package %q: %w", digest, ErrMissing)
	}
	f, err := s.root.Open(place(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("open package %s: %w", digest, ErrMissing)
	}
	if err != nil {
		return nil, "", fmt.Errorf("open package %s: %w", digest, err)
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{f}, make([]byte, 1<<17)); err != nil {
		return nil, "", errors.Join(fmt.Errorf("read package %s: %w", digest, err), f.Close())
	}
	return f, hex.EncodeToString(sum.Sum(nil)), nil
}

// Remove deletes a package; one that is not there is no error.
func (s *Store) Remove(digest string) error {
	if !isDigest(digest) {
		return nil
	}
	if err := s.root.Remove(place(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove package %s: %w", digest, err)
	}
	return nil
}

func place(digest string) string { return path.Join(digest[:2], digest) }

func isDigest(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size && hex.EncodeToString(raw) == s
}

// IsFull says whether the error is one of a full disk, ours or the system's.
func IsFull(err error) bool {
	for _, code := range fullErrors {
		if errors.Is(err, code) {
			return true
		}
	}
	return errors.Is(err, ErrDiskFull)
}

func full(err error) error {
	if err != nil && IsFull(err) {
		return errors.Join(ErrDiskFull, err)
	}
	return err
}
