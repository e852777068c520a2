// Package blob keeps bytes under the hash of their content: packages,
// artifacts, finished logs. Names never become paths (abuse 49, 54), a blob is
// visible whole or not at all, and nothing here knows what a blob is for.
package blob

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// Ref is what Put computed of the bytes it stored.
type Ref struct {
	SHA256 string // lower-case hex; the key
	SHA1   string // lower-case hex; what the wire contract calls Hash (octopus-api.md 2.11)
	Size   int64
}

// ErrNotFound is returned for a key under which nothing is stored, and for
// one that is not a SHA-256 in lower-case hex.
var ErrNotFound = errors.New("blob: not found")

// Reader gives a blob's bytes in any order. After a Delete it fails or yields
// the blob's bytes, never others. It ends with the context of Open.
type Reader interface {
	io.ReadSeekCloser
	io.ReaderAt
	Size() int64
}

// Store is safe for concurrent use.
type Store interface {
	// Put stores what r yields, up to limit bytes, and returns after the bytes
	// would survive a power loss. On any error nothing is stored. More than
	// limit bytes is a *resource.Error of code TooLarge. Putting stored bytes
	// again is cheap in space and heals a damaged copy.
	Put(ctx context.Context, r io.Reader, limit int64) (Ref, error)
	// Open returns ErrNotFound when there is no such blob. It does not re-hash.
	Open(ctx context.Context, sha256 string) (Reader, error)
	// Has says whether the blob is stored.
	Has(ctx context.Context, sha256 string) (bool, error)
	// Delete removes the blob; one that is not there is no error.
	Delete(ctx context.Context, sha256 string) error
	// Each calls visit for the blobs that are stored, in no order, until it
	// returns an error. Blobs stored or deleted meanwhile may be in it or not.
	Each(ctx context.Context, visit func(Entry) error) error
	// Close ends the store; nothing may be called after it.
	Close() error
}

// Entry is a blob in the store.
type Entry struct {
	SHA256 string
	Size   int64
	Stored time.Time // when its bytes were last put there, by the store's clock
}

// Open opens the store at an address: S3-compatible storage for one that
// begins with s3:// (S3Address), a folder otherwise. What is being uploaded to
// storage lies in scratch until it is there.
func Open(ctx context.Context, address, scratch string, now func() time.Time) (Store, error) {
	if !strings.Contains(address, "://") {
		disk, err := OpenDisk(address)
		if err != nil {
			return nil, err
		}
		return disk, nil
	}
	a, err := ParseS3(address)
	if err != nil {
		return nil, err
	}
	storage, err := OpenS3(ctx, a, scratch, now)
	if err != nil {
		return nil, err
	}
	return storage, nil
}

// validKey says whether key is a SHA-256 in lower-case hex.
func validKey(key string) bool {
	if len(key) != 64 {
		return false
	}
	for _, c := range []byte(key) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
